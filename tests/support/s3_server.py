"""S3 in a thread of its own, which can fail at each call: a strict stand-in, or what stands behind.

The stand-in checks what it is sent, and is stricter than S3 is on some days: a finished or aborted
upload is unknown from then on, and parts but the last are at least 5 MiB long.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import threading
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from xml.etree import ElementTree

from aiohttp import web

BUCKET = "lake"
LEAST_PART_BYTES = 5 << 20
# What is asked for: "PUT", "CREATE", "PART", "COMPLETE", "ABORT", "HEAD", "GET", "LIST", "DELETE".
Call = str
Fault = Callable[[web.Request], "web.StreamResponse | str | None"]


@dataclass
class S3Front(ABC):
    """What was asked of a server; `faults` are asked before each call of a kind.

    A fault answers in place of the server; the text "reset" breaks the connection, "lose" does what
    is asked and breaks the connection then, "hang" never answers, "trickle" does what is asked and
    answers byte by byte, `pause_s` apart; None lets the call pass.
    """

    url: str = ""
    calls: list[tuple[Call, str]] = field(default_factory=list)
    faults: dict[Call, Fault] = field(default_factory=dict)
    broken: threading.Event = field(default_factory=threading.Event)  # set with a connection
    pause_s: float = 0.05

    def count(self, call: Call) -> int:
        """Return how often a call was made."""
        return sum(kind == call for kind, _ in self.calls)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        key = request.match_info["key"]
        kind = _kind(request, key)
        body = await request.read()
        self.calls.append((kind, key))
        found = self.faults[kind](request) if kind in self.faults else None
        if isinstance(found, web.StreamResponse):
            return found
        if found == "hang":
            await asyncio.Event().wait()  # until the client leaves
        if found in ("reset", "lose"):
            # A client that was killed takes its call along, but a server does what it was asked.
            await asyncio.shield(self._break(kind, request, body, done=found == "lose"))
            raise ConnectionResetError
        answer = await self.answer(kind, request, body)
        return answer if found is None else await self._trickle(request, answer)

    async def _break(self, kind: Call, request: web.Request, body: bytes, *, done: bool) -> None:
        if done:
            await self.answer(kind, request, body)
        self.broken.set()
        if request.transport is not None:
            request.transport.abort()

    async def _trickle(self, request: web.Request, answer: web.Response) -> web.StreamResponse:
        content = answer.body if isinstance(answer.body, bytes) else b""
        slow = web.StreamResponse(status=answer.status, headers=answer.headers)
        slow.content_length = len(content)
        await slow.prepare(request)
        for at in range(len(content)):
            await slow.write(content[at : at + 1])
            await asyncio.sleep(self.pause_s)
        return slow

    @abstractmethod
    async def answer(self, kind: Call, request: web.Request, body: bytes) -> web.Response:
        """Do what is asked."""


@dataclass
class S3Server(S3Front):
    """The stand-in, and what it holds."""

    objects: dict[str, bytes] = field(default_factory=dict)
    uploads: dict[str, tuple[str, dict[int, bytes]]] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    async def answer(self, kind: Call, request: web.Request, body: bytes) -> web.Response:
        """Do what is asked, or refuse it."""
        bucket, key = request.match_info["bucket"], request.match_info["key"]
        if bucket != BUCKET:
            return error(404, "NoSuchBucket")
        query = request.query
        match kind:
            case "LIST":
                prefix = query.get("prefix", "")
                names = sorted(name for name in self.objects if name.startswith(prefix))
                return _xml("ListBucketResult", "".join(map(self._listed, names)))
            case "HEAD" | "GET":
                if key not in self.objects:
                    return error(404, "NoSuchKey")
                return _object(self.objects[key], head=kind == "HEAD")
            case "DELETE":
                self.objects.pop(key, None)
                return web.Response(status=204)
            case "PUT":
                there = _etag(self.objects[key]) if key in self.objects else None
                if request.headers.get("If-None-Match") == "*" and there is not None:
                    return error(412, "PreconditionFailed")
                if request.headers.get("If-Match", there) != there:
                    return error(412, "PreconditionFailed")
                self.objects[key] = body
                return web.Response(headers={"ETag": _etag(body)})
            case "CREATE":
                upload = f"upload-{next(self._numbers)}"
                self.uploads[upload] = (key, {})
                return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        upload = query.get("uploadId", "")
        if self.uploads.get(upload, ("", {}))[0] != key:
            return error(404, "NoSuchUpload")
        if kind == "PART":
            self.uploads[upload][1][int(query["partNumber"])] = body
            return web.Response(headers={"ETag": _etag(body)})
        if kind == "COMPLETE":
            return self._complete(upload, body)
        del self.uploads[upload]
        return web.Response(status=204)

    def _complete(self, upload: str, body: bytes) -> web.Response:
        key, parts = self.uploads[upload]
        named = [
            (int(_text(part, "PartNumber")), _text(part, "ETag").strip('"'))
            for part in ElementTree.fromstring(body)
        ]
        sent = [(number, _etag(part).strip('"')) for number, part in sorted(parts.items())]
        if named != sent:
            return error(400, "InvalidPart")
        content = [parts[number] for number, _ in named]
        if any(len(part) < LEAST_PART_BYTES for part in content[:-1]):
            return error(400, "EntityTooSmall")
        del self.uploads[upload]
        self.objects[key] = b"".join(content)
        return _xml("CompleteMultipartUploadResult", f"<ETag>{_etag(self.objects[key])}</ETag>")

    def _listed(self, key: str) -> str:
        return (
            f"<Contents><Key>{key}</Key><Size>{len(self.objects[key])}</Size>"
            f"<LastModified>2026-11-29T00:00:00.000Z</LastModified><ETag>x</ETag></Contents>"
        )


def _kind(request: web.Request, key: str) -> Call:
    query, method = request.query, request.method
    if method == "POST":
        return "COMPLETE" if "uploadId" in query else "CREATE"
    if "uploadId" in query:
        return "PART" if method == "PUT" else "ABORT"
    return "LIST" if method == "GET" and not key else method


def _text(part: ElementTree.Element, name: str) -> str:
    return next(child.text or "" for child in part if child.tag.endswith(name))


def _etag(content: bytes) -> str:
    return f'"{hashlib.md5(content).hexdigest()}"'


def _object(content: bytes, *, head: bool) -> web.Response:
    headers = {"ETag": _etag(content), "Last-Modified": "Sun, 29 Nov 2026 00:00:00 GMT"}
    if head:
        return web.Response(headers=headers | {"Content-Length": str(len(content))})
    return web.Response(body=content, headers=headers)


def _xml(root: str, inner: str) -> web.Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<{root}>{inner}</{root}>'
    return web.Response(text=text, content_type="application/xml")


def error(status: int, code: str) -> web.Response:
    """Return an error as S3 words it."""
    answer = _xml("Error", f"<Code>{code}</Code><Message>as it is</Message>")
    answer.set_status(status)
    return answer


@contextmanager
def s3_server() -> Iterator[S3Server]:
    """Serve a bucket `lake` until the block ends."""
    server = S3Server()
    with serving(server):
        yield server


@contextmanager
def serving(server: S3Front) -> Iterator[None]:
    """Have a server listen until the block ends."""
    loop = asyncio.new_event_loop()
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", "/{bucket}", _whole_bucket(server))
    app.router.add_route("*", "/{bucket}/{key:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)

    async def start() -> None:
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        server.url = f"http://127.0.0.1:{runner.addresses[0][1]}"

    loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _whole_bucket(server: S3Front) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        request.match_info["key"] = ""
        return await server.handle(request)

    return handle
