"""Where an export's files are once it is published, by what the journal has of it. Pure.

A generation's `folder` is the name of its folder below the output folder and the export's own, or
its URL where it is in a bucket: wherever `publish_to` points by now, it is found.
"""

from __future__ import annotations


def folder_in(url: str | None, name: str, target: str) -> str:
    """Return what the journal has of a folder `target` of an export.

    `url` is the place in a bucket that it is published below, None for the output folder.
    """
    return target if url is None else f"{url}/{place_of(name, target)}"


def target_of(folder: str) -> str:
    """Return the name of a published folder."""
    return folder.rpartition("/")[2]


def bucket_above(folder: str, name: str) -> str | None:
    """Return the URL below which an export was published, None for the output folder."""
    if "://" not in folder:
        return None
    return folder.removesuffix(f"/{place_of(name, target_of(folder))}")


def place_of(name: str, target: str, file: str = "") -> str:
    """Return the place of a published folder, or of a file in it, at its destination."""
    return f"{name}/{target}/{file}" if file else f"{name}/{target}"


def reported_file(above: str, name: str, folder: str, file: str) -> str:
    """Return a published file as reports have it.

    `above` is what they write before a path below the output folder.
    """
    return f"{folder}/{file}" if "://" in folder else above + place_of(name, folder, file)
