"""Calls of the bulk and metadata endpoints as a client makes them, one line each."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Mapping
from typing import Any

from tests.support.sandbox_http import Answer, ask

from bulkfetch.sandbox import Sandbox

READ = "/crm/bulk/v8/read"


def query(module: str, **more: Any) -> dict[str, Any]:
    """Make a create call's body."""
    return {"query": {"module": {"api_name": module}, **more}}


async def create(
    sandbox: Sandbox, body: Mapping[str, Any], *, path: str = READ, token: str | None = None
) -> Answer:
    """Call create."""
    return await ask(sandbox.url, path, method="POST", json=body, token=token)


async def created(sandbox: Sandbox, body: Mapping[str, Any], *, path: str = READ) -> str:
    """Create a job and return its id."""
    answer = await create(sandbox, body, path=path)
    assert answer.status == 201, answer.json
    return str(answer.json["data"][0]["details"]["id"])


async def status(sandbox: Sandbox, job_id: str, *, path: str = READ) -> dict[str, Any]:
    """Return a job as its status tells it."""
    answer = await ask(sandbox.url, f"{path}/{job_id}")
    assert answer.status == 200, answer.json
    (job,) = answer.json["data"]
    assert isinstance(job, dict)
    return job


async def result_rows(sandbox: Sandbox, job_id: str) -> list[dict[str, str]]:
    """Download a result and return its records."""
    answer = await ask(sandbox.url, f"{READ}/{job_id}/result")
    assert answer.status == 200, answer.json
    with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
        text = archive.read(archive.namelist()[0]).decode()
    return list(csv.DictReader(io.StringIO(text, newline="")))


async def found(sandbox: Sandbox, body: Mapping[str, Any]) -> list[dict[str, str]]:
    """Create a job that needs no preparation and return its records."""
    return await result_rows(sandbox, await created(sandbox, body))


async def chain(sandbox: Sandbox, body: Mapping[str, Any]) -> list[list[dict[str, str]]]:
    """Follow a query from page to page by token; return the records of each."""
    pages = []
    asked: Mapping[str, Any] = body
    while asked:
        job_id = await created(sandbox, asked)
        result = (await status(sandbox, job_id))["result"]
        pages.append(await result_rows(sandbox, job_id))
        assert result["count"] == len(pages[-1])
        token = result.get("next_page_token")
        asked = {"query": {"page_token": token}} if token else {}
    return pages
