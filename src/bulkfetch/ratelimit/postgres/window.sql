-- Tables of what several hosts share of an account, version 1: its rate limit, and its budget of other
-- calls.
-- Each statement may be run again: what is there stays. A later version migrates forward.
--
-- The role that bulkfetch connects as needs no more than:
--   GRANT USAGE ON SCHEMA bulkfetch TO role;
--   GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA bulkfetch TO role;

CREATE SCHEMA IF NOT EXISTS bulkfetch;

-- One row. `timeline` is that of the server when it was last used: another one means a fail-over,
-- at `changed_at`, after which slots may be missing. NULL: there was none.
CREATE TABLE IF NOT EXISTS bulkfetch.window_version (
    one        boolean PRIMARY KEY DEFAULT true CHECK (one),
    version    integer NOT NULL,
    timeline   text NOT NULL,
    changed_at double precision
);

-- One row an account, by its configured name. No credentials, no job ids.
-- token, stamp, client, settled, taken: its uses, one at each place of the five arrays. `stamp` is
--   when a request was over; of one that is not settled, the end of its lease. `taken`: not refused.
-- waiting: clients that wait, by number: since, believed until, their limit and refill.
-- throttle: what 429s have taught. closed_until: nothing leaves before. hold_s, lease_s: the longest
--   that any client has named. All times are in seconds since 1970 by this server's clock.
-- The row is rewritten with each request: room on its page keeps that cheap.
CREATE TABLE IF NOT EXISTS bulkfetch.account_window (
    account      text PRIMARY KEY,
    token        bigint[] NOT NULL DEFAULT '{}',
    stamp        double precision[] NOT NULL DEFAULT '{}',
    client       bigint[] NOT NULL DEFAULT '{}',
    settled      boolean[] NOT NULL DEFAULT '{}',
    taken        boolean[] NOT NULL DEFAULT '{}',
    waiting      jsonb NOT NULL DEFAULT '{}',
    throttle     jsonb,
    closed_until double precision,
    hold_s       double precision NOT NULL DEFAULT 0,
    lease_s      double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 20);

-- Whose turn an account is in a fleet: each turn has the next number, and takes slots only while the
-- row has its own. Runs that are none of a fleet's do not look at it. Added later, and nothing to
-- bulkfetch of before: it names the columns that it writes.
ALTER TABLE bulkfetch.account_window ADD COLUMN IF NOT EXISTS generation bigint NOT NULL DEFAULT 0;

-- The budget of calls that are no downloads, one row an account, by its configured name. No
-- credentials, no job ids. Added later, and nothing to bulkfetch of before.
-- number, kind, stamp, client, settled, span: its calls of the last minute and those under way, one at
--   each place of the six arrays. `stamp` is when a call was over; of one that is not settled, the end
--   of its lease. `span` is where its credits are counted.
-- waiting: who waits: client, kind, since, believed until.
-- span_start, span_credits: what was spent in the last day, by spans of some minutes.
-- paused_until: what a 429 has asked for. remaining: what the service said of the day's credits at
--   remaining_at. closed_until: nothing leaves before. hold_s: how long anything can matter that has
--   begun. All times are in seconds since 1970 by this server's clock.
CREATE TABLE IF NOT EXISTS bulkfetch.account_control (
    account      text PRIMARY KEY,
    number       bigint[] NOT NULL DEFAULT '{}',
    kind         text[] NOT NULL DEFAULT '{}',
    stamp        double precision[] NOT NULL DEFAULT '{}',
    client       bigint[] NOT NULL DEFAULT '{}',
    settled      boolean[] NOT NULL DEFAULT '{}',
    span         double precision[] NOT NULL DEFAULT '{}',
    waiting      jsonb NOT NULL DEFAULT '[]',
    span_start   double precision[] NOT NULL DEFAULT '{}',
    span_credits integer[] NOT NULL DEFAULT '{}',
    paused_until double precision NOT NULL DEFAULT 0,
    remaining    bigint,
    remaining_at double precision NOT NULL DEFAULT 0,
    closed_until double precision,
    hold_s       double precision NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

INSERT INTO bulkfetch.window_version (version, timeline)
VALUES (1, substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))
ON CONFLICT DO NOTHING;
