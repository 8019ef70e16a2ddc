"""The limiter that several hosts share: a row of PostgreSQL for each account.

**The promise** is that of `bulkfetch.ratelimit`, over all processes that use one database and call
the account by one name.

**Take.** A transaction locks the account's row, reads the database's clock *after* the lock was
had, and gives out a slot only where every use of the row but nine is stamped W or more ago; it
writes a new use stamped now + lease. All clients' uses are in one row and the lock makes their
transactions one sequence, so at no moment are more than ten uses younger than W.

**Settle.** The stamp of a use becomes the time of its answer: by the database's clock, the time at
which the lock was had minus the age that the client measured by its own clock from the answer to
*before* it asked for the lock. The stamp is thus never earlier than the answer, so the next use of
the slot begins W after it at the earliest, and the proof of the process's slots holds word by word.
A use is settled once: what is said again, its first reply having been lost, changes nothing.

**Lease.** A client sends its request, at the latest, LATE_S after it asked for the slot, or after
it last asked to prolong the lease: a grant that is in its hands later is given back unused. The
attempt is over a headers timeout later, and a request of unknown end arrives a grace later at most.
The stamp is headers timeout + grace + LATE_S after a moment not before it asked: never too early.

**The database's clock** is the only one whose readings are compared between hosts; that of a client
measures ages only. A step forward makes slots look free: so each reply is compared with what passed
by the client's own clock (`clock_guard`), and at a step every account is closed for a lease and a
refill. A client that connects for the first time after the step cannot see it: one that was
connected before must. Back: a stamp further ahead than can be is brought back, which closes the
slot for longer, never for less.

**Kept before sent.** Transactions commit with `synchronous_commit = on`, whatever the database
says, since a slot that a crash forgets is a slot given out twice. After a fail-over to a server
that may lack the last commits its timeline has changed: every account is closed for a lease and a
refill.

**The database is away.** Nothing new is sent: to go on alone would be a second window beside the
other hosts'. What is under way ends and is settled when the database is back; the uses of those
that die meanwhile end with their leases.

The rooms: `row` what is in a row, and as one client sees it (pure); `clock_guard` (pure); `limiter`
what a client asks of a `store`, which is `database`, the connection; `schema` its tables, which
`window.sql` makes, and whether they are there. Only these two know asyncpg. The budget of
control calls has a table of its own there (`control.hosts_ledger`), changed by the same connection.
"""
