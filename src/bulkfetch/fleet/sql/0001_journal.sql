-- The fleet's journal, version 1: which results are wanted, and what became of them.
-- Beside the window's tables, in the schema that those have made. Applied once, in one transaction.
--
-- The role that workers and submitters connect as needs no more than:
--   GRANT USAGE ON SCHEMA bulkfetch TO role;
--   GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA bulkfetch TO role;
--   GRANT USAGE ON ALL SEQUENCES IN SCHEMA bulkfetch TO role;   -- the engine's
--   GRANT TEMPORARY ON DATABASE database TO role;   -- what PUBLIC has unless it was taken away

-- One row: which of these files were applied.
CREATE TABLE bulkfetch.fleet_version (
    one     boolean PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL
);

-- One row an account, by its configured name. No credentials.
-- generation: of its newest turn; also in account_window, where it decides who may send.
-- worker, turn_began_at: whose that turn is or was. crashes: turns in a row that no worker has ended.
-- suspect, marked: of turns that do one job at a time, the job under way, and how often in a row.
-- held: why nothing is asked for it until it is submitted anew: {"code", "message", "hint", "http"}.
CREATE TABLE bulkfetch.fleet_account (
    account       text PRIMARY KEY,
    generation    bigint NOT NULL DEFAULT 0,
    worker        text,
    turn_began_at timestamptz,
    held          jsonb,
    crashes       integer NOT NULL DEFAULT 0,
    suspect       text,
    marked        integer NOT NULL DEFAULT 0
);

-- One row a result.
-- key: in the order in which they are asked for. name: of the file, NULL for its id.
-- claim: the name that it is published under, as the most forgiving file system compares names.
-- owns: whether that name is still its own; a newer job of the account may have got it.
-- state: 0 pending, 1 done, 2 failed. again: asked for although it was done or has failed for good.
-- outcome: what became of it; of a pending one, what became of it before.
-- ended_in: the transaction that wrote how it ended, by which one who waits finds what is new.
CREATE TABLE bulkfetch.fleet_job (
    account      text NOT NULL,
    id           text NOT NULL,
    key          bigint GENERATED ALWAYS AS IDENTITY,
    name         text,
    claim        text NOT NULL,
    owns         boolean NOT NULL DEFAULT true,
    state        smallint NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
    again        boolean NOT NULL DEFAULT false,
    outcome      jsonb,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    ended_at     timestamptz,
    ended_in     xid8,
    PRIMARY KEY (account, id)
) WITH (fillfactor = 90);
CREATE INDEX fleet_job_pending ON bulkfetch.fleet_job (account, key) WHERE state = 0;
CREATE INDEX fleet_job_failed ON bulkfetch.fleet_job (account, key) WHERE state = 2;
CREATE UNIQUE INDEX fleet_job_claim ON bulkfetch.fleet_job (account, claim) WHERE owns;
CREATE INDEX fleet_job_ended ON bulkfetch.fleet_job (ended_in, key) WHERE state <> 0;
CREATE INDEX fleet_job_old ON bulkfetch.fleet_job (ended_at) WHERE state <> 0;

-- One row a submission: a list that was given at once. items: how many jobs it has.
CREATE TABLE bulkfetch.fleet_submission (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    submitted_at timestamptz NOT NULL DEFAULT now(),
    source       text NOT NULL,
    items        bigint NOT NULL DEFAULT 0
);

-- What a submission asks for, each job once. Two submissions of one job share its row above.
-- kind: 0 to be fetched, 1 was done before, 2 had failed for good before, 3 refused: never asked
--   for, with why in `refused`, and `account` and `id` as they may be shown.
CREATE TABLE bulkfetch.fleet_item (
    submission bigint NOT NULL REFERENCES bulkfetch.fleet_submission ON DELETE CASCADE,
    position   bigint NOT NULL,
    account    text NOT NULL,
    id         text NOT NULL,
    kind       smallint NOT NULL CHECK (kind IN (0, 1, 2, 3)),
    refused    jsonb,
    PRIMARY KEY (submission, position)
);
CREATE INDEX fleet_item_job ON bulkfetch.fleet_item (account, id) WHERE kind <> 3;

-- One row a folder in which hosts of the fleet publish. mark: what is in its file .bulkfetch-store,
-- by which a host notices that its folder is another one.
CREATE TABLE bulkfetch.fleet_store (
    place text PRIMARY KEY,
    mark  text NOT NULL
);

INSERT INTO bulkfetch.fleet_version (version) VALUES (1);
