"""The tables of exports, as the step to their format makes them; `exports` has what they mean."""

EXPORT_TABLES = """
    CREATE TABLE export (
        key INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        account TEXT NOT NULL,
        committed TEXT,
        prepared_s TEXT NOT NULL DEFAULT '[]',
        turn TEXT
    );
    CREATE TABLE generation (
        key INTEGER PRIMARY KEY,
        export INTEGER NOT NULL REFERENCES export,
        account TEXT NOT NULL,
        state TEXT NOT NULL,
        step TEXT NOT NULL,
        queries TEXT NOT NULL,
        query_hash TEXT NOT NULL,
        started TEXT NOT NULL,
        folder TEXT,
        leaves TEXT,
        spent INTEGER NOT NULL,
        wasted INTEGER NOT NULL,
        warnings TEXT NOT NULL
    );
    CREATE UNIQUE INDEX generation_open ON generation (export)
        WHERE state IN ('ACTIVE', 'PUBLISHING');
    CREATE INDEX generation_of ON generation (export, key);
    CREATE TABLE page (
        generation INTEGER NOT NULL REFERENCES generation,
        chain INTEGER NOT NULL,
        number INTEGER NOT NULL,
        state TEXT NOT NULL,
        tries INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        expiries INTEGER NOT NULL,
        token TEXT,
        job_id TEXT,
        created_time TEXT,
        created_at REAL,
        ready_at REAL,
        count INTEGER,
        file TEXT,
        records INTEGER,
        bytes INTEGER,
        sha256 TEXT,
        zip_bytes INTEGER,
        requests INTEGER NOT NULL,
        error TEXT,
        PRIMARY KEY (generation, chain, number)
    ) WITHOUT ROWID;
"""

# A page may be published in several files. `ALTER TABLE` of an older SQLite drops no columns.
PAGE_FILES = """
    ALTER TABLE page RENAME TO page_of_one_file;
    CREATE TABLE page (
        generation INTEGER NOT NULL REFERENCES generation,
        chain INTEGER NOT NULL,
        number INTEGER NOT NULL,
        state TEXT NOT NULL,
        tries INTEGER NOT NULL,
        failures INTEGER NOT NULL,
        expiries INTEGER NOT NULL,
        token TEXT,
        job_id TEXT,
        created_time TEXT,
        created_at REAL,
        ready_at REAL,
        count INTEGER,
        files TEXT NOT NULL,
        records INTEGER,
        zip_bytes INTEGER,
        requests INTEGER NOT NULL,
        error TEXT,
        PRIMARY KEY (generation, chain, number)
    ) WITHOUT ROWID;
    INSERT INTO page
        SELECT generation, chain, number, state, tries, failures, expiries, token, job_id,
            created_time, created_at, ready_at, count,
            CASE WHEN file IS NULL THEN '[]' ELSE json_array(json_array(file, bytes, sha256)) END,
            records, zip_bytes, requests, error
        FROM page_of_one_file;
    DROP TABLE page_of_one_file;
"""
