"""A local stand-in for Zoho CRM's Bulk Read service, for trying out, for tests and benchmarks.

It is an org with modules, fields and records made from a seed, which tests change while it runs. It
creates jobs out of queries, tells their state, serves their results, refreshes tokens, keeps the
window of ten, credits and other limits as strictly as told, misbehaves by script, and logs what it
saw. It imports nothing of the rest of bulkfetch, so that server and client cannot share a mistake.

Ids need not be created first: with `implicit` (the default) any id has a result, a CSV; those that
end as in `NAMED_IDS` behave specially, `…990777` being calendars (ICS).
"""

from bulkfetch.sandbox.faults import FAULTS, Exchange, Fault, UnknownFault, lookup
from bulkfetch.sandbox.jobs import NAMED_IDS, SandboxJob
from bulkfetch.sandbox.ledger import Arrival, read_log, worst_in
from bulkfetch.sandbox.options import AccountSpec, FaultRule, JobSpec, SandboxOptions
from bulkfetch.sandbox.org.specs import FieldSpec, JobPlan, ModuleSpec
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
    "FieldSpec",
    "JobPlan",
    "JobSpec",
    "ModuleSpec",
    "Sandbox",
    "SandboxJob",
    "SandboxOptions",
    "SandboxThread",
    "UnknownFault",
    "lookup",
    "read_log",
    "serve",
    "worst_in",
]
