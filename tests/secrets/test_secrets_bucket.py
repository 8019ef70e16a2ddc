"""Credentials of a bucket are in nothing that is left behind, whatever its server says."""

from __future__ import annotations

import base64
import re
import traceback
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from aiohttp import web
from tests.support.destinations import AWS_ENV, bucket_options
from tests.support.programs import IDS, Program
from tests.support.s3_server import Fault, S3Server, s3_server

from bulkfetch.destination.bucket import BucketDestination
from bulkfetch.errors import DestinationFailed, DestinationRefused

pytestmark = pytest.mark.slow

PIECE = 12  # so much of a secret is a secret
WATCH = ("-vv", "--log-file", "run.log", "--events", "events.jsonl", "--metrics", "run.prom")


def leaks(text: str) -> list[str]:
    """Name the credentials of which a piece is in `text`, in any case, in base64 or in a URL."""
    found = []
    for name, secret in AWS_ENV.items():
        forms = [secret[at : at + PIECE].lower() for at in range(len(secret) - PIECE + 1)]
        forms += [base64.b64encode(secret[at:].encode()).decode()[:16].lower() for at in range(3)]
        if any(form in each.lower() for each in (text, unquote(text)) for form in forms):
            found.append(name)
    return found


@pytest.fixture
def server() -> Iterator[S3Server]:
    """A bucket's server."""
    with s3_server() as made:
        yield made


def credentials_in_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set the variables, in a frame of its own, which is gone when there is something to show."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)


def reflect(status: int, processes: list[int]) -> dict[str, Fault]:
    """Make faults that send back all that was sent, and all that a thief would like to see.

    Each notes what others may see of the processes that ask.
    """

    def answer(request: web.Request) -> web.Response:
        sent = "\n".join(f"{name}: {value}" for name, value in request.headers.items())
        assert AWS_ENV["AWS_ACCESS_KEY_ID"] in sent  # else there is nothing to be found
        quoted = " ".join((sent, *AWS_ENV.values()))
        for pid in processes:
            for part in ("cmdline", "comm"):
                assert leaks(Path(f"/proc/{pid}/{part}").read_text()) == []
        told = {"x-amz-request-id": " ".join(AWS_ENV.values())}
        reason = " ".join(AWS_ENV.values())
        code = f"<Error><Code>{reason}</Code><Message>{quoted}</Message></Error>"
        return web.Response(status=status, reason=reason, text=code, headers=told)

    return dict.fromkeys(("LIST", "HEAD", "GET", "PUT"), answer)


def test_the_search_finds_what_it_looks_for() -> None:
    """The search sees a credential whole, in part, in capitals, in base64 and in a URL."""
    secret = AWS_ENV["AWS_SECRET_ACCESS_KEY"]
    for text in (
        f"x{secret}x",
        secret[3:18],
        secret.upper(),
        base64.b64encode(f"ab{secret}".encode()).decode(),
        secret.replace("-", "%2D"),
    ):
        assert "AWS_SECRET_ACCESS_KEY" in leaks(text)
    assert leaks("AWS_SECRET_ACCESS_KEY and AKIA and nothing else") == []


# A command, and which of its calls the bucket answers with which status.
RUN, EXPORT = ("run", "jobs.toml", IDS[0]), ("export", "jobs.toml")
COMMANDS = [(RUN, "LIST", 403), (RUN, "PUT", 400), (EXPORT, "GET", 400), (EXPORT, "PUT", 403)]
COMMANDS += [(RUN, "", 200), (EXPORT, "", 200)]


def test_a_program_leaves_no_credential_of_a_bucket(tmp_path: Path, server: S3Server) -> None:
    """Arguments, streams, log, events, metrics, journal, report and every other file, of runs and
    exports that are refused, that fail, and that are done in the end."""
    program = Program(tmp_path, dict(AWS_ENV))
    program.settings(
        f'publish_to = "s3://lake/zoho"\n[destination]\nendpoint = "{server.url}"\n'
        'region = "eu-central-1"\n',
        sandbox='per_page = 20\nprepare_s = 0\n[[exports]]\nmodule = "Leads"\n',
    )
    told = []
    for arguments, call, status in COMMANDS:
        pids: list[int] = []
        server.faults = {call: reflect(status, pids)[call]} if call else {}
        process = program.start(*arguments, *WATCH)
        pids.append(process.pid)
        told += [each.decode() for each in process.communicate(timeout=60)]
        assert process.returncode == (3 if call else 0), told[-1]
    for arguments in (
        ("status", "exports", "--json"),
        ("verify", "exports", "--settings", "jobs.toml", "--download"),
        ("check", "jobs.toml", "--online"),
        ("report", "events.jsonl"),
    ):
        ended = program.run(*arguments)
        assert ended.status == 0, ended.err
        told += [ended.out, ended.err]
    program.close()
    assert {"DESTINATION_REFUSED", "DESTINATION_FAILED"} <= set(re.findall("[A-Z_]+", str(told)))
    assert [leaks(text) for text in told if leaks(text)] == []
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"run.log", "events.jsonl", "run.prom", "journal.db"} <= {path.name for path in files}
    for path in files:
        assert leaks(path.read_bytes().decode("latin-1")) == [], path
        assert leaks(path.name) == []
    for key, content in server.objects.items():
        assert leaks(key + content.decode("latin-1")) == []


@pytest.mark.parametrize("status", [400, 403])
def test_no_error_of_a_bucket_shows_a_credential(
    server: S3Server, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Neither in its words, in its frames, as tools show them that report errors, nor in the error
    of the library, which has the server's answer."""
    credentials_in_environment(monkeypatch)
    server.faults = reflect(status, [])
    bucket = BucketDestination(bucket_options(server.url))
    with pytest.raises((DestinationFailed, DestinationRefused)) as caught:
        bucket.require_usable()
    trace = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    shown = "".join(trace.format())
    assert "require_usable" in shown
    assert caught.value.__context__ is None
    for text in (shown, repr(bucket), repr(caught.value), caught.value.hint):
        assert leaks(text) == []
