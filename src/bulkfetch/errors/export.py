"""Errors of exports and of their pages."""

from __future__ import annotations

from bulkfetch.errors.base import ConfigError
from bulkfetch.errors.job import JobError


class ExportMisfit(ConfigError):
    """An export does not fit what the service says of its module. `export` is its name."""

    def __init__(self, message: str, *, hint: str, export: str) -> None:
        super().__init__(message, hint=hint)
        self.export = export


class CreateLost(JobError):
    """The replies to the create calls of a page were lost."""

    code = "CREATE_LOST"
    default_hint = (
        "The service may be in trouble; try again later. Jobs that it may have accepted harm "
        "nothing."
    )


class NoPageToken(JobError):
    """The service says that there are more pages, and does not say how to get them."""

    code = "NO_PAGE_TOKEN"
    default_hint = "Nothing was published, since rows would be missing; try again."


class PagingLoop(JobError):
    """The pages of an export lead back to one that was there before."""

    code = "PAGING_LOOP"
    default_hint = (
        "Nothing was published. Another `version` of the account asks for pages in another way."
    )


class ChainBroken(JobError):
    """The pages of an export could not be followed to their end."""

    code = "CHAIN_BROKEN"
    default_hint = "Nothing was published; try again, perhaps with split."
