"""Where files are published: in a folder, by `shared` in one of several hosts, or in a bucket.

The files of one job make a group: they are written as drafts, which nobody sees, and get their
names together. Blocking: for worker threads.
"""

from bulkfetch.archive import Draft
from bulkfetch.destination.folder import FolderDestination
from bulkfetch.destination.interfaces import (
    Destination,
    ExportDestination,
    MayReplace,
    PublishGroup,
)

__all__ = [
    "Destination",
    "Draft",
    "ExportDestination",
    "FolderDestination",
    "MayReplace",
    "PublishGroup",
]
