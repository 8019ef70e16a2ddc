"""The files that describe an export: manifest.json, schema.json, latest.json. Pure.

They are what readers of an export build on: keys are added, never changed.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bulkfetch.exports.changes import Mode
from bulkfetch.exports.columns import Drift, ExportColumn

FORMAT = 1

MANIFEST = "manifest.json"
SCHEMA = "schema.json"
LATEST = "latest.json"
DELETED = "deleted.csv"


class PartFile(NamedTuple):
    """One form of a page on disk: its name in the export's folder, and what it is."""

    file: str
    format: str
    bytes: int
    sha256: str | None


@dataclass(frozen=True, slots=True)
class ExportPart:
    """One page on disk, in all its `files`, of which each has all of it.

    `count` is what the service says that it has, `records` what was counted, each None if unknown;
    `chain` is 1 without `split`.
    """

    files: tuple[PartFile, ...]
    job_id: str
    page: int
    count: int | None
    records: int | None
    zip_bytes: int | None
    created_time: str | None
    chain: int = 1

    def as_json(self, url: str | None) -> dict[str, Any]:
        """Return the part as the manifest has it: the first of its files, and then all of them.

        `url` is that of its folder, where it has one.
        """
        first = self.files[0]
        return {
            "file": first.file,
            "job_id": self.job_id,
            "page": self.page,
            "count": self.count,
            "records": self.records,
            "bytes": first.bytes,
            "sha256": first.sha256,
            "zip_bytes": self.zip_bytes,
            "created_time": self.created_time,
            "chain": self.chain,
            "files": [{**file._asdict(), **_located(url, file.file)} for file in self.files],
            **_located(url, first.file),
        }


class DeletedFile(NamedTuple):
    """The list of deleted ids in an export's folder."""

    file: str
    records: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an export asked for, and what became of it.

    `queries` are those of each chain's first page as they were sent. `cursor_from` and `cursor_to`
    are the service's times as it sent them; `started` and `finished` are this machine's, in UTC.
    `why` says why the export was full, or since when it lists changes. Credits are the sum over all
    runs. `url` is that of its folder, None where it is below the output folder.
    """

    export: str
    account: str
    module: str
    mode: Mode
    why: str
    queries: Sequence[Mapping[str, Any]]
    query_hash: str
    cursor_from: str | None
    cursor_to: str | None
    overlap_s: float
    started: str
    finished: str
    api_version: str
    parts: Sequence[ExportPart]
    columns: Sequence[ExportColumn]
    drift: Drift
    credits_spent: int
    credits_wasted: int
    deleted: DeletedFile | None = None
    warnings: Sequence[str] = ()
    url: str | None = None

    @property
    def records(self) -> int | None:
        """The sum of all parts' records, None if one of them is unknown."""
        counts = [part.records for part in self.parts]
        return None if None in counts else sum(count or 0 for count in counts)

    def as_json(self) -> dict[str, Any]:
        """Return the content of manifest.json."""
        return {
            "format": FORMAT,
            "export": self.export,
            "account": self.account,
            "module": self.module,
            "mode": self.mode,
            "why": self.why,
            "query": self.queries[0],
            **({"queries": list(self.queries)} if len(self.queries) > 1 else {}),
            "query_hash": self.query_hash,
            "cursor": {
                "from": self.cursor_from,
                "to": self.cursor_to,
                "overlap_s": self.overlap_s,
            },
            "started": self.started,
            "finished": self.finished,
            "api_version": self.api_version,
            "parts": [part.as_json(self.url) for part in self.parts],
            "records": self.records,
            "columns": [column.as_json() for column in self.columns],
            "drift": self.drift.as_json(),
            "deleted": self._deleted(),
            "credits": {"spent": self.credits_spent, "wasted": self.credits_wasted},
            "warnings": list(self.warnings),
        }

    def _deleted(self) -> dict[str, Any] | None:
        if self.deleted is None:
            return None
        return {**self.deleted._asdict(), **_located(self.url, self.deleted.file)}


def _located(url: str | None, file: str) -> dict[str, str]:
    """Return the key that says where a file of a folder is; none where that has no URL."""
    return {} if url is None else {"url": f"{url}/{file}"}


def schema(module: str, columns: Sequence[ExportColumn]) -> dict[str, Any]:
    """Return the content of schema.json."""
    return {
        "format": FORMAT,
        "module": module,
        "columns": [column.as_json() for column in columns],
    }


def latest(manifest: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """Return the content of latest.json for an export whose manifest is published in `folder`."""
    return {
        "format": FORMAT,
        "export": manifest["export"],
        "account": manifest["account"],
        "module": manifest["module"],
        "folder": folder,
        "manifest": f"{folder}/{MANIFEST}",
        "mode": manifest["mode"],
        "cursor": manifest["cursor"],
        "records": manifest["records"],
        "finished": manifest["finished"],
    }


def encoded(content: Mapping[str, Any]) -> bytes:
    """Return a JSON file's bytes, in UTF-8."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    # JSON writes a lone surrogate, which has no bytes, just as Python does.
    return text.encode("utf-8", "backslashreplace")
