"""Control calls: every call to Zoho that is not a download.

Creating an export, asking for its state, metadata, counts and deletions have a budget of their own
(`budget`), which all processes of the machine, or of several hosts, keep together, and never take a
slot of the window: a 429 here closes no window, nor the reverse.

The rooms: `client` the calls as others make them, `sender` sends one; `calls` what each one is,
`responses` what its answer says, `refusals` and `create_errors` why there is no such answer,
`retry` what follows from a failure (all pure). `budget` has a call wait for its place: `allowance`
whether it may leave now, from the `usage` so far (both pure), which a ledger keeps: `ledger` for
one process, `machine_ledger` for those of a machine (SQLite: `rows`), `hosts_ledger` for several
hosts (PostgreSQL). Import the modules directly.
"""
