"""What a host of a fleet has of an account: a folder in its staging, as a run has it. Blocking."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

from bulkfetch.config import AccountSettings, Settings
from bulkfetch.config.regions import results_servers
from bulkfetch.disk import disk_errors, remove
from bulkfetch.errors import ConfigError
from bulkfetch.exporter.work import hidden_folder
from bulkfetch.filenames import UNFINISHED_EXPORTS
from bulkfetch.fleet.exports import ExportUnderWay
from bulkfetch.journal import JournalReader
from bulkfetch.models import Job
from bulkfetch.pipeline.layout import OutputLayout


def known_here(layout: OutputLayout) -> tuple[frozenset[str], frozenset[str]]:
    """Return the ids of ZIPs in staging, and of the results that this host has published."""
    try:
        names = os.listdir(layout.staging)
        with JournalReader.open(layout.state) as journal:
            done = [each.job_id for each in journal.outcomes() if each.status == "done"]
    except (FileNotFoundError, ConfigError):
        return frozenset(), frozenset()
    zips = [name.removesuffix(".zip") for name in names if name.endswith(".zip")]
    return frozenset(name.rpartition(".")[2] for name in zips), frozenset(done)


def remove_zips(layout: OutputLayout, ids: Iterable[str], account: AccountSettings) -> None:
    """Remove the ZIPs of these jobs."""
    for job_id in ids:
        remove(layout.zip(Job(job_id, account.name)))


def remove_ended(layout: OutputLayout, under_way: Sequence[ExportUnderWay]) -> None:
    """Remove the hidden folders of exports but those that are under way."""
    kept = {(each.name, hidden_folder(each.generation)) for each in under_way}
    for folder in _hidden_folders(layout):
        if (folder.parent.name, folder.name) not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def remove_others(settings: Settings) -> None:
    """Remove the folder where it is of another server than the account is asked at.

    Raises RunError.
    """
    layout = OutputLayout.of(settings.out)
    [account] = settings.accounts
    try:
        with JournalReader.open(layout.state) as journal:
            known = journal.server_of(account.name)
    except ConfigError:  # there is no journal
        return
    if known in (None, results_servers([account])[account.name]):
        return
    with disk_errors(layout.out):
        # The journal, which says whose they are, after the files.
        for folder in (layout.staging, *_hidden_folders(layout), layout.out):
            if folder.exists():
                shutil.rmtree(folder)


def remove_unneeded(settings: Settings) -> None:
    """Remove a folder that holds nothing but the memory of what the fleet knows."""
    layout = OutputLayout.of(settings.out)
    for folder in (layout.staging, layout.quarantine):
        with suppress(FileNotFoundError):
            if os.listdir(folder):
                return
    if not _hidden_folders(layout):
        shutil.rmtree(layout.out, ignore_errors=True)


def _hidden_folders(layout: OutputLayout) -> list[Path]:
    return list((layout.out / UNFINISHED_EXPORTS).glob("*/*/"))
