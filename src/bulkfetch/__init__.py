"""Download lists of Zoho CRM bulk exports: complete, verified, extracted, once, in time.

    settings = bulkfetch.load_settings("jobs.toml")
    async with bulkfetch.Client(settings) as client:
        async for outcome in client.fetch(job_ids):
            print(outcome.job_id, outcome.status, outcome.files)

`Client.get` gives a service one result for each call. Every error is in `bulkfetch.errors`; those
that are raised, and not told as a job's `Failure`, are here too. `bulkfetch.sandbox` is a stand-in
for Zoho for your own tests; import it separately.
"""

import typing as _typing
from importlib import import_module as _import_module

if _typing.TYPE_CHECKING:
    from bulkfetch.client import Client, fetch
    from bulkfetch.clock import Clock
    from bulkfetch.config import (
        AccountSettings,
        ControlSettings,
        Credentials,
        Export,
        JobEntry,
        Limits,
        Settings,
        WindowSettings,
        load_settings,
        open_jobs,
    )
    from bulkfetch.destination import Destination, Draft, ExportDestination, PublishGroup
    from bulkfetch.errors import (
        AccountError,
        BulkfetchError,
        CertificateRefused,
        ConfigError,
        DiskFull,
        InvalidToken,
        JobError,
        JournalDamaged,
        JournalTooNew,
        MissingCredentials,
        NotReadyInTime,
        NotWritable,
        OutputLocked,
        RateLimited,
        RunError,
        ScopeMismatch,
        ServiceDown,
        TokenRefused,
        TokenUnavailable,
        Unreachable,
    )
    from bulkfetch.events import Event, EventKind
    from bulkfetch.exporter.handle import ExportRun
    from bulkfetch.journal import Counts
    from bulkfetch.models import Failure, Job, Outcome, PublishedFile, Report
    from bulkfetch.pipeline.handle import Run
    from bulkfetch.pipeline.progress import Progress
    from bulkfetch.ratelimit import WindowState
    from bulkfetch.secret import Secret
    from bulkfetch.zoho.token_provider import TokenProvider

    __version__: str

# Imported at first use (PEP 562): `bulkfetch --help` needs none of it, and stays fast.
_ROOMS = {
    "client": ("Client", "fetch"),
    "clock": ("Clock",),
    "config": (
        "AccountSettings",
        "ControlSettings",
        "Credentials",
        "Export",
        "JobEntry",
        "Limits",
        "Settings",
        "WindowSettings",
        "load_settings",
        "open_jobs",
    ),
    "destination": ("Destination", "Draft", "ExportDestination", "PublishGroup"),
    "errors": (
        "AccountError",
        "BulkfetchError",
        "CertificateRefused",
        "ConfigError",
        "DiskFull",
        "InvalidToken",
        "JobError",
        "JournalDamaged",
        "JournalTooNew",
        "MissingCredentials",
        "NotReadyInTime",
        "NotWritable",
        "OutputLocked",
        "RateLimited",
        "RunError",
        "ScopeMismatch",
        "ServiceDown",
        "TokenRefused",
        "TokenUnavailable",
        "Unreachable",
    ),
    "events": ("Event", "EventKind"),
    "exporter.handle": ("ExportRun",),
    "journal": ("Counts",),
    "models": ("Failure", "Job", "Outcome", "PublishedFile", "Report"),
    "pipeline.handle": ("Run",),
    "pipeline.progress": ("Progress",),
    "ratelimit": ("WindowState",),
    "secret": ("Secret",),
    "zoho.token_provider": ("TokenProvider",),
}
_ROOM_OF = {name: room for room, names in _ROOMS.items() for name in names}

__all__ = [
    "AccountError",
    "AccountSettings",
    "BulkfetchError",
    "CertificateRefused",
    "Client",
    "Clock",
    "ConfigError",
    "ControlSettings",
    "Counts",
    "Credentials",
    "Destination",
    "DiskFull",
    "Draft",
    "Event",
    "EventKind",
    "Export",
    "ExportDestination",
    "ExportRun",
    "Failure",
    "InvalidToken",
    "Job",
    "JobEntry",
    "JobError",
    "JournalDamaged",
    "JournalTooNew",
    "Limits",
    "MissingCredentials",
    "NotReadyInTime",
    "NotWritable",
    "Outcome",
    "OutputLocked",
    "Progress",
    "PublishGroup",
    "PublishedFile",
    "RateLimited",
    "Report",
    "Run",
    "RunError",
    "ScopeMismatch",
    "Secret",
    "ServiceDown",
    "Settings",
    "TokenProvider",
    "TokenRefused",
    "TokenUnavailable",
    "Unreachable",
    "WindowSettings",
    "WindowState",
    "fetch",
    "load_settings",
    "open_jobs",
]

if not _typing.TYPE_CHECKING:  # a type checker would take any name for one that is there

    def __getattr__(name: str) -> object:
        if name == "__version__":
            from importlib.metadata import version

            value: object = version(__name__)
        elif name in _ROOM_OF:
            value = getattr(_import_module(f"{__name__}.{_ROOM_OF[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name[:2] == "__"), *__all__, "__version__"})
