"""Where an export's files are once it is published, by what the journal has of it. Pure.

A generation's `folder` is the name of its folder below the output folder and the export's own, or
its URL where it is anywhere else: wherever `publish_to` points by now, it is found.
"""

from __future__ import annotations

import re

# How names of folders begin: with the service's time of the first page.
_STAMP = re.compile(r"[0-9]{8}T[0-9]{6}Z(?=-)", re.ASCII)


def folder_in(reported: str) -> str:
    """Return what the journal has of a published folder, which its destination reports as this."""
    return reported if is_url(reported) else target_of(reported)


def is_url(folder: str) -> bool:
    """Return whether a folder of the journal's is the URL of one outside the output folder."""
    return "://" in folder


def target_of(folder: str) -> str:
    """Return the name of a published folder."""
    return folder.rpartition("/")[2]


def url_above(folder: str, name: str) -> str | None:
    """Return the URL below which an export was published, None for the output folder."""
    if not is_url(folder):
        return None
    return folder.removesuffix(f"/{place_of(name, target_of(folder))}")


def place_of(name: str, target: str, file: str = "") -> str:
    """Return the place of a published folder, or of a file in it, at its destination."""
    return f"{name}/{target}/{file}" if file else f"{name}/{target}"


def reported_file(above: str, name: str, folder: str, file: str) -> str:
    """Return a published file as reports have it.

    `above` is what they write before a path below the output folder.
    """
    return f"{folder}/{file}" if is_url(folder) else above + place_of(name, folder, file)


def is_newer(target: str, than: str) -> bool:
    """Return whether a published folder is certainly of a later time than another, by its name."""
    one, other = _STAMP.match(target), _STAMP.match(than)
    return one is not None and other is not None and one[0] > other[0]
