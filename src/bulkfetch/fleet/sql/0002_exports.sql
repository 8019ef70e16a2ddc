-- The fleet's journal, version 2: exports. What each is, the settings of the workers say; here is
-- how far it has come, so that whichever host has the account's turn goes on with it.

-- One row an export, by its account and its name.
-- key: in the order in which they are done. state: 0 pending, 1 done, 2 failed.
-- whole: asked for in full, also where changes would do.
-- committed: what its last publication leaves for the next one, NULL before there is one.
-- prepared_s: seconds that its last pages took to be prepared.
-- report: what became of it last time; of a pending one, why it does not go on, if it does not.
-- ended_in: the transaction that wrote how it ended, by which one who waits finds what is new.
CREATE TABLE bulkfetch.fleet_export (
    account      text NOT NULL,
    name         text NOT NULL,
    key          bigint GENERATED ALWAYS AS IDENTITY UNIQUE,
    state        smallint NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    whole        boolean NOT NULL DEFAULT false,
    committed    text,
    prepared_s   jsonb NOT NULL DEFAULT '[]',
    report       jsonb,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    ended_in     xid8,
    PRIMARY KEY (account, name)
);
CREATE INDEX fleet_export_pending ON bulkfetch.fleet_export (account, key) WHERE state = 0;
CREATE INDEX fleet_export_ended ON bulkfetch.fleet_export (ended_in, key) WHERE state <> 0;

-- One row an attempt at an export: its pages are published together, never with another's. What the
-- columns mean is with the tables of an output folder, which are the same.
CREATE TABLE bulkfetch.fleet_generation (
    key        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    export     bigint NOT NULL REFERENCES bulkfetch.fleet_export (key) ON DELETE CASCADE,
    account    text NOT NULL,
    state      text NOT NULL,
    step       text NOT NULL,
    queries    jsonb NOT NULL,
    query_hash text NOT NULL,
    started    text NOT NULL,
    folder     text,
    leaves     text,
    spent      bigint NOT NULL,
    wasted     bigint NOT NULL,
    warnings   jsonb NOT NULL
);
CREATE UNIQUE INDEX fleet_generation_open ON bulkfetch.fleet_generation (export)
    WHERE state IN ('ACTIVE', 'PUBLISHING');
CREATE INDEX fleet_generation_of ON bulkfetch.fleet_generation (export, key);

CREATE TABLE bulkfetch.fleet_page (
    generation   bigint NOT NULL REFERENCES bulkfetch.fleet_generation ON DELETE CASCADE,
    chain        integer NOT NULL,
    number       integer NOT NULL,
    state        text NOT NULL,
    tries        integer NOT NULL,
    failures     integer NOT NULL,
    expiries     integer NOT NULL,
    token        text,
    job_id       text,
    created_time text,
    created_at   double precision,
    ready_at     double precision,
    count        bigint,
    files        jsonb NOT NULL,
    records      bigint,
    zip_bytes    bigint,
    requests     integer NOT NULL,
    error        jsonb,
    PRIMARY KEY (generation, chain, number)
);

-- What a submission asks for, each export once, beside its jobs.
-- kind: 0 to be done, 3 refused: with why in `refused`.
CREATE TABLE bulkfetch.fleet_export_item (
    submission bigint NOT NULL REFERENCES bulkfetch.fleet_submission ON DELETE CASCADE,
    position   bigint NOT NULL,
    account    text NOT NULL,
    name       text NOT NULL,
    kind       smallint NOT NULL CHECK (kind IN (0, 3)),
    refused    jsonb,
    PRIMARY KEY (submission, position)
);
CREATE INDEX fleet_export_item_export ON bulkfetch.fleet_export_item (account, name);

UPDATE bulkfetch.fleet_version SET version = 2;
