"""Download lists of Zoho CRM bulk exports: complete, verified, extracted, once, in time.

    settings = bulkfetch.load_settings("jobs.toml")
    async with bulkfetch.Client(settings) as client:
        async for outcome in client.fetch(job_ids):
            print(outcome.job_id, outcome.status, outcome.files)

`bulkfetch.sandbox` is a stand-in for Zoho for your own tests; import it separately.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bulkfetch.client import Client, fetch
    from bulkfetch.config import Export, Settings, load_settings
    from bulkfetch.errors import AccountError, BulkfetchError, ConfigError, JobError, RunError
    from bulkfetch.events import Event
    from bulkfetch.models import Failure, Job, Outcome, PublishedFile, Report

__all__ = [
    "AccountError",
    "BulkfetchError",
    "Client",
    "ConfigError",
    "Event",
    "Export",
    "Failure",
    "Job",
    "JobError",
    "Outcome",
    "PublishedFile",
    "Report",
    "RunError",
    "Settings",
    "fetch",
    "load_settings",
]

# Imported at first use (PEP 562): `bulkfetch --help` needs none of it, and stays fast.
_ROOMS = {
    "client": ("Client", "fetch"),
    "config": ("Export", "Settings", "load_settings"),
    "errors": ("AccountError", "BulkfetchError", "ConfigError", "JobError", "RunError"),
    "events": ("Event",),
    "models": ("Failure", "Job", "Outcome", "PublishedFile", "Report"),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _ROOM_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
