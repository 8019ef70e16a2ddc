"""A local stand-in for Zoho CRM's Bulk Read service, for trying out, for tests and benchmarks.

It creates jobs, tells their state, serves results made from a seed, refreshes tokens, keeps the
window of ten as strictly as told, misbehaves by script, and logs what it saw. It imports nothing of
the rest of bulkfetch, so that server and client cannot share a mistake.

Ids need not be created first: with `implicit` (the default) any id has a result, a CSV; those that
end as in `NAMED_IDS` behave specially, `…990777` being calendars (ICS).
"""

from bulkfetch.sandbox.faults import FAULTS, Exchange, Fault, UnknownFault, lookup
from bulkfetch.sandbox.jobs import NAMED_IDS
from bulkfetch.sandbox.ledger import Arrival, read_log, worst_in
from bulkfetch.sandbox.options import AccountSpec, FaultRule, JobSpec, SandboxOptions
from bulkfetch.sandbox.server import Sandbox
from bulkfetch.sandbox.serving import serve
from bulkfetch.sandbox.thread import SandboxThread

__all__ = [
    "FAULTS",
    "NAMED_IDS",
    "AccountSpec",
    "Arrival",
    "Exchange",
    "Fault",
    "FaultRule",
    "JobSpec",
    "Sandbox",
    "SandboxOptions",
    "SandboxThread",
    "UnknownFault",
    "lookup",
    "read_log",
    "serve",
    "worst_in",
]
