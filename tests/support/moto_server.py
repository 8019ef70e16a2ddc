"""A second judge of buckets: moto's S3, a process of its own, which knows nothing of this project.

It is asked through boto3, for what was written may not be judged by the library that wrote it.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
import threading
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any

import pytest
from aiohttp import ClientSession, web
from tests.support.s3_server import BUCKET, Call, S3Front, serving
from yarl import URL

_OF_ONE_CONNECTION = ("Connection", "Date", "Server", "Transfer-Encoding")


class MotoServer:
    """The server at `url`, with an empty bucket BUCKET."""

    def __init__(self, url: str) -> None:
        import boto3

        self.url = url
        urllib.request.urlopen(f"{url}/moto-api/reset", data=b"").close()
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="eu-central-1",
            aws_access_key_id="of-the-judge",
            aws_secret_access_key="of-the-judge",
        )
        self._s3.create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"}
        )

    def close(self) -> None:
        """Close the judge's own connections."""
        self._s3.close()

    @property
    def objects(self) -> dict[str, bytes]:
        """The bucket's objects by their keys."""
        listed = self._s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])
        return {each["Key"]: self._read(each["Key"]) for each in listed}

    def _read(self, key: str) -> bytes:
        with self._s3.get_object(Bucket=BUCKET, Key=key)["Body"] as body:
            content: bytes = body.read()
        return content

    def put(self, key: str, content: bytes) -> None:
        """Put an object, as somebody else would."""
        self._s3.put_object(Bucket=BUCKET, Key=key, Body=content)

    def count_uploads(self) -> int:
        """Return how many uploads in parts are neither completed nor aborted."""
        return len(self._s3.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


@dataclass
class MotoFront(S3Front):
    """Stands before that server, and passes on to it each call that no fault answers."""

    moto: MotoServer = field(kw_only=True)

    @property
    def objects(self) -> dict[str, bytes]:
        """The bucket's objects by their keys."""
        return self.moto.objects

    async def answer(self, kind: Call, request: web.Request, body: bytes) -> web.Response:
        """Have the server do what is asked."""
        url = URL(f"{self.moto.url}{request.raw_path}", encoded=True)
        async with (
            ClientSession(auto_decompress=False) as session,
            session.request(
                request.method, url, headers=request.headers, data=io.BytesIO(body)
            ) as answer,
        ):
            headers = answer.headers.copy()
            for name in (
                _OF_ONE_CONNECTION if kind == "HEAD" else (*_OF_ONE_CONNECTION, "Content-Length")
            ):
                headers.popall(name, None)
            return web.Response(status=answer.status, headers=headers, body=await answer.read())


@pytest.fixture(scope="session")
def moto_process() -> Iterator[str]:
    """The URL of the server, which all tests that ask for it share."""
    if find_spec("moto") is None:
        pytest.skip("moto is not installed here")
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in process.stderr)
        url = next((match[0] for match in found if match), None)
        # Nobody wants its lines, but they have to go somewhere.
        thread = threading.Thread(target=deque, args=(process.stderr, 0))
        thread.start()
        try:
            assert url is not None, "moto did not start"
            yield url
        finally:
            process.kill()
            thread.join()


@pytest.fixture
def moto(moto_process: str) -> Iterator[MotoServer]:
    """The server, with an empty bucket."""
    server = MotoServer(moto_process)
    yield server
    server.close()


@contextmanager
def before(moto: MotoServer) -> Iterator[MotoFront]:
    """Stand before the server until the block ends."""
    front = MotoFront(moto=moto)
    with serving(front):
        yield front
