"""The control door: every call to Zoho that is not a download.

Creating an export, asking for its state, metadata, counts and deletions have a budget of their own
(`budget`), which all processes of the machine, or of several hosts, keep together, and never take a
slot of the window: a 429 here closes no window, nor the reverse.

The rooms: `client` the calls, each of them an `exchange`; `calls` what each one is, `responses`
what its answer says, `create_errors` why an export was refused, `retry` what follows from a failure
(all pure); `allowance` whether a call may leave now and `books` what is written of it (both pure),
`ledger` where the books of a process are, `machine_ledger` those of a machine (SQLite: `rows`) and
`hosts_ledger` those that several hosts share (PostgreSQL), `budget` who waits for a place. Import
the modules directly.
"""
