"""Which bucket files are published in: `publish_to` and `[destination]` of jobs.toml.

Nothing secret has a key here: credentials are found as the SDKs find them.
"""

from __future__ import annotations

import re
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, BeforeValidator, Field

from bulkfetch.config import fields as kinds
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.quantities import parse_size
from bulkfetch.config.tables import Table, setting

SCHEMES = ("s3", "gs", "az")
_ACCOUNT = "{account}"
_URL = re.compile(r"(?P<scheme>[a-z0-9]+)://(?P<bucket>[^/]*)(?P<prefix>.*)", re.ASCII | re.DOTALL)
_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]", re.ASCII)
_EXAMPLE = 'Such as "s3://lake/zoho/crm"; also gs:// and az://.'


class BucketPlace(NamedTuple):
    """A place in a bucket; `prefix` has no slash at its ends, and is "" for the bucket itself."""

    scheme: str
    bucket: str
    prefix: str

    @property
    def url(self) -> str:
        """The place as it is written."""
        return f"{self.scheme}://{self.bucket}" + (f"/{self.prefix}" if self.prefix else "")


def bucket_place(url: str) -> BucketPlace:
    """Return what a URL such as `s3://lake/zoho/crm` names. Raises Misfit."""
    match = _URL.fullmatch(url)
    if match is None or match["scheme"] not in SCHEMES:
        raise Misfit("must begin with s3://, gs:// or az://", hint=_EXAMPLE)
    if _BUCKET.fullmatch(match["bucket"]) is None:
        raise Misfit("must name a bucket after its scheme", hint=_EXAMPLE)
    prefix = match["prefix"].strip("/")
    if not prefix.isprintable() or any(each in prefix for each in '\\?#{}*"<>|%'):
        raise Misfit("has characters in its prefix that keys should not have", hint=_EXAMPLE)
    if prefix and any(part in ("", ".", "..") for part in prefix.split("/")):
        raise Misfit("must have a prefix without empty parts, `.` and `..`", hint=_EXAMPLE)
    return BucketPlace(match["scheme"], match["bucket"], prefix)


def place_of(publish_to: str, account: str) -> BucketPlace:
    """Return where an account's files are published."""
    return bucket_place(publish_to.replace(_ACCOUNT, account))


def _publish_to(url: str) -> str:
    bucket_place(url.replace(_ACCOUNT, "account"))
    return url


def _part(value: object) -> int:
    if (size := parse_size(value)) < 5 << 20:
        raise ValueError('must be at least "5 MiB"')
    return size


PublishTo = Annotated[
    kinds.Text,
    AfterValidator(_publish_to),
    Field(json_schema_extra={"pattern": "^(s3|gs|az)://[a-z0-9][a-z0-9._-]+[a-z0-9](/.*)?$"}),
]
PartBytes = Annotated[int, Field(le=1 << 30), BeforeValidator(_part), kinds.size_schema(5 << 20)]


class DestinationSettings(Table):
    """How the bucket of publish_to is reached and written to."""

    region: Annotated[kinds.Text, kinds.Matches(r"[a-z0-9-]{1,40}", "a region")] | None = setting(
        None, "The bucket's region; default: AWS_REGION."
    )
    endpoint: kinds.Server | None = setting(
        None, "A server that speaks as S3 or Azure does; http only on this machine."
    )
    part_bytes: PartBytes = setting(8 << 20, "A larger file is uploaded in parts of this size.")
    uploads: Annotated[kinds.Whole, Field(ge=1, le=64)] = setting(
        2, "Parts of one file on their way at once; each takes part_bytes of memory."
    )
