-- The fleet's journal, version 3: which server each account's results came from, so that another
-- one's are not taken for them.

-- server: as settings are told apart by it. NULL: not known, as of what was asked for before.
ALTER TABLE bulkfetch.fleet_account ADD COLUMN server text;

UPDATE bulkfetch.fleet_version SET version = 3;
