"""Many accounts, worked off by workers on several hosts that share a PostgreSQL.

The unit of work is an account's **turn**: an ordinary run over what the fleet's journal holds of
one account, for some minutes. An existing engine, PgQueuer, hands out turns and takes them from
workers that have died. It is not trusted with more: what is to be done and what was done is in the
journal, who may send is in the window's row.

The rooms: `database` the tables, which `sql/` makes step by step, `connections` the way to them;
`journal` what workers read there and write, `codec` outcomes as they stand there, `recorder`
outcomes on their way there; `submission` how lists come in, by the rules of `admission`; `servers`
where each account is asked; `watch` what became of them; `engine` hands out turns over a
`connection` of its own, the only one that knows PgQueuer; `turn` is what is done for an account, in
the `host_folder` that it has there, `poison` the same where workers have died of it, each job
`alone` in a process; `turn_exports` are its exports, of which `exports` says which are to be done
and `export_store` keeps how far they have come; `worker` a process that does turns, while its
`staging` has room, and `stopping` what ends its waits. `trial` shows all of it on one machine, with
`trial_workers` and an `embedded` PostgreSQL, which `owner_watch` has end with the process that
started them. Nothing of it is imported by a run that is none of a fleet's.
"""
