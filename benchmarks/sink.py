"""A bucket that keeps nothing but sizes: `sink.py` tells its port on its first line, and serves.

It speaks as much of S3 as an upload needs. A process of its own, so that its memory and its time
are nobody's; it ends with its stdin.
"""

from __future__ import annotations

import asyncio
import itertools
import sys

from aiohttp import web

_uploads: dict[str, int] = {}  # bytes by upload
_objects: dict[str, int] = {}  # bytes by key
_numbers = itertools.count()


async def _handle(request: web.Request) -> web.StreamResponse:
    key, query, method = request.match_info["key"], request.query, request.method
    size = 0
    async for piece in request.content.iter_any():
        size += len(piece)
    upload = query.get("uploadId", "")
    match method:
        case "POST" if upload:
            _objects[key] = _uploads.pop(upload)
            return _xml("CompleteMultipartUploadResult", "<ETag>x</ETag>")
        case "POST":
            upload = f"upload-{next(_numbers)}"
            _uploads[upload] = 0
            return _xml("InitiateMultipartUploadResult", f"<UploadId>{upload}</UploadId>")
        case "PUT" if upload:
            _uploads[upload] += size
        case "PUT":
            _objects[key] = size
        case "HEAD" if key not in _objects:
            return web.Response(status=404)
        case "HEAD":
            headers = {"Last-Modified": "Sun, 29 Nov 2026 00:00:00 GMT", "ETag": "x"}
            return web.Response(headers=headers | {"Content-Length": str(_objects[key])})
        case "GET":
            return _xml("ListBucketResult", "")
    return web.Response(headers={"ETag": "x"})


def _xml(root: str, inner: str) -> web.Response:
    return web.Response(text=f"<{root}>{inner}</{root}>", content_type="application/xml")


async def main() -> None:
    """Serve until stdin is closed."""
    app = web.Application(client_max_size=1 << 40)
    app.router.add_route("*", "/lake", _whole)
    app.router.add_route("*", "/lake/{key:.*}", _handle)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(runner.addresses[0][1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await runner.cleanup()


async def _whole(request: web.Request) -> web.StreamResponse:
    request.match_info["key"] = ""
    return await _handle(request)


if __name__ == "__main__":
    asyncio.run(main())
