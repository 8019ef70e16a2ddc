"""A server whose answers a test writes itself, byte by byte, by job, number and time.

For what no script of the sandbox says: a service that is down for so long whoever asks, or one that
serves all jobs but one. Imports nothing of bulkfetch.
"""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

# Seconds since the server began, the job, how many requests for it there were before.
Answers = Callable[[float, str, int], bytes]


def http(status: int, body: bytes = b"", *headers: str) -> bytes:
    """Write an answer; headers as they stand, such as `Retry-After: 30`."""
    lines = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def said(status: int, code: str, *headers: str) -> bytes:
    """Write an answer with Zoho's error body."""
    body = f'{{"code":"{code}","details":{{}},"message":"some words","status":"error"}}'
    return http(status, body.encode(), "Content-Type: application/json", *headers)


def archive(job_id: str) -> bytes:
    """Make the ZIP of a job."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr(f"{job_id}.csv", f"Id\r\n{job_id}\r\n")
    return out.getvalue()


def served(job_id: str, *headers: str) -> bytes:
    """Write the answer that brings a job's file."""
    return http(200, archive(job_id), "Content-Type: application/zip", *headers)


@dataclass
class Service:
    """`asked` are the result requests, as (seconds since the start, job, access token)."""

    answers: Answers
    url: str = ""
    asked: list[tuple[float, str, str]] = field(default_factory=list)
    tokens: int = 0
    token_answers: list[bytes] = field(default_factory=list)
    started: float = 0.0

    def times(self, job_id: str | None = None) -> list[float]:
        """When was asked for a job, or for any."""
        return [at for at, asked, _ in self.asked if job_id in (None, asked)]

    def sent(self) -> list[str]:
        """The access tokens that were sent, in order."""
        return [token for _, _, token in self.asked]

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lines = head.decode("latin-1").split("\r\n")
                headers = dict(line.lower().split(": ", 1) for line in lines[1:-2])
                await reader.readexactly(int(headers.get("content-length", "0")))
                writer.write(self.answer(lines[0], headers))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    def answer(self, line: str, headers: dict[str, str]) -> bytes:
        """Give the answer to a request."""
        if "/oauth/v2/token" in line:
            self.tokens += 1
            if self.token_answers:
                return self.token_answers.pop(0)
            body = f'{{"access_token":"1000.fresh-{self.tokens}","expires_in":3600}}'
            return http(200, body.encode(), "Content-Type: application/json")
        job_id = line.split("/read/")[1].split("/")[0]
        before = len(self.times(job_id))
        now = round(asyncio.get_running_loop().time() - self.started, 3)
        self.asked.append((now, job_id, headers["authorization"].rpartition(" ")[2]))
        return self.answers(now, job_id, before)


@asynccontextmanager
async def service(answers: Answers) -> AsyncIterator[Service]:
    """Serve on loopback, in the running loop."""
    made = Service(answers, started=asyncio.get_running_loop().time())
    writers: set[asyncio.StreamWriter] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        await made.serve(reader, writer)

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    made.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield made
    finally:
        server.close()
        for writer in writers:
            writer.close()
