"""The POST that tells of a job's end. Only this machine is told: nothing leaves it."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import aiohttp


@dataclass(frozen=True, slots=True)
class CallbackPost:
    """A callback that was due. `status` is None where nobody answered or nobody was asked."""

    job_id: str
    url: str
    body: Any
    status: int | None


async def post_callback(job_id: str, url: str, body: Any) -> CallbackPost:
    """Post a job's end to an address of this machine; to any other, do not."""
    status = None
    if _here(url):
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10)) as session,
                session.post(url, json=body, allow_redirects=False) as reply,
            ):
                status = reply.status
        except (aiohttp.ClientError, TimeoutError):
            status = None
    return CallbackPost(job_id, url, body, status)


def _here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
