"""The table of docs/faults.md: what becomes of a job under every fault, found by trying.

`python -m tests.support.fault_table` writes it anew; a test compares.
"""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import trustme
from tests.support.recording_proxy import ANSWERS, recording_proxy
from tests.support.whole_runs import (
    Ran,
    account,
    fetch,
    refresh_token_of,
    run_whole,
    settings,
    token_of,
)

from bulkfetch import Job
from bulkfetch.config import AccountSettings
from bulkfetch.config.proxies import explicit
from bulkfetch.sandbox import FAULTS, AccountSpec, Sandbox, SandboxOptions

PATH = Path(__file__).parents[2] / "docs" / "faults.md"
# A fault that "always" comes: more often than a job is tried. Only a 429 is asked again so often.
ALWAYS = 6
# The endless body meets the first of these, the bomb does not; the others leave less to wait for.
LIMITS = {"zip_bytes": 128 << 20, "idle_s": 20.0, "connect_s": 10.0, "headers_s": 20.0}
# A drip of ten bytes a second is six hundred steps of the clock a minute.
ARGUMENTS = {"drip": "drip:1"}

TOP = f"""# What becomes of a job under every fault

Made by `python -m tests.support.fault_table` from real runs of the client against the sandbox
(`bulkfetch.sandbox.FAULTS`), on loopback sockets and a virtual clock, and kept true by
`tests/faults/test_fault_table.py`. All jobs of one section run at once in one client, each with an
account of its own. Settings are the defaults, but for some smaller limits.

* **seen as**: the code of the failed attempt; `–` where the attempt brought the file.
* **once**: only the first answer was faulty. How the job ended, and the result requests it took.
* **always**: every answer was faulty ({ALWAYS} in a row for a 429, which costs the job no try).
* *pending*: the account was ended with that code; the job is untouched, a later run goes on.
"""


@dataclass(frozen=True)
class Ending:
    """How a job ended, what its first failed attempt was taken for, and its requests."""

    status: str
    code: str | None
    requests: int
    seen: str


def ending(ran: Ran, job_id: str) -> Ending:
    """Say how a job of a run ended."""
    outcome = ran.outcomes[job_id]
    code = None if outcome.error is None else outcome.error.code
    seen = [*ran.seen_codes(job_id), code or "–"]
    return Ending(outcome.status, code, outcome.attempts, seen[0])


def told(end: Ending) -> str:
    """Put an ending into a cell."""
    code = f" `{end.code}`" if end.code else ""
    return f"{end.status}{code}"


def table(head: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a Markdown table."""
    lines = [list(head), *([str(cell) for cell in row] for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


# --- answers --------------------------------------------------------------------------------------


async def answers(folder: Path) -> dict[str, tuple[Ending, Ending]]:
    """Try every fault of the sandbox, once and always: all of them in one run."""
    faults: dict[str, tuple[str, ...]] = {}
    names: dict[str, tuple[str, str]] = {}
    for number, name in enumerate(FAULTS):
        once, always = f"55402300001{number:04}", f"55402300002{number:04}"
        scripted = ARGUMENTS.get(name, name)
        faults |= {once: (scripted,), always: (scripted,) * ALWAYS}
        names[name] = once, always
    options = SandboxOptions(records=50, columns=4, named_ids=False, faults=faults)
    async with Sandbox(options) as sandbox:
        accounts = [account(sandbox.url, f"a{key}", refresh_token_of(key)) for key in faults]
        made = settings(folder, *accounts, **LIMITS)
        # In memory: a machine's window of some hundred accounts takes as many open files.
        made = replace(made, state_dir=None)
        ran = await fetch(made, [Job(key, f"a{key}") for key in faults])
    return {
        name: (ending(ran, once), ending(ran, always)) for name, (once, always) in names.items()
    }


def answers_section(found: dict[str, tuple[Ending, Ending]]) -> str:
    """Write the section of the faulty answers."""
    rows = (
        (f"`{name}`", FAULTS[name].does, once.seen, told(once), once.requests, told(always),
         always.requests)
        for name, (once, always) in found.items()
    )  # fmt: skip
    head = ("fault", "what the server does", "seen as", "once", "requests", "always", "requests")
    return "## Answers\n\n" + table(head, rows)


# --- ways to the server ---------------------------------------------------------------------------


@contextmanager
def _closed_port() -> Iterator[int]:
    """A port at which nobody listens, and that nobody else is given meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield int(taken.getsockname()[1])


@asynccontextmanager
async def _dumb(answer: bytes | None) -> AsyncIterator[int]:
    """A port that takes connections and says `answer`, then closes; None: says nothing, ever."""
    open_ones = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ones.add(writer)
        if answer is not None:
            writer.write(answer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield int(server.sockets[0].getsockname()[1])
    server.close()
    for writer in open_ones:
        writer.close()


def tls_server(authority: trustme.CA, name: str, **more: Any) -> Sandbox:
    """A sandbox over TLS with a certificate of `authority` for `name`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name, **more).configure_cert(context)
    return Sandbox(SandboxOptions(records=50, columns=4), ssl_context=context)


async def ways(folder: Path) -> list[tuple[str, str, Ending, str]]:
    """Try every way that does not lead to the server."""
    rows: dict[str, tuple[str, AccountSettings]] = {}
    async with AsyncExitStack() as stack:
        authority, other = trustme.CA(), trustme.CA()
        ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(ca_file)
        long_ago = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)

        async def served(sandbox: Sandbox) -> str:
            return (await stack.enter_async_context(sandbox)).url

        plain = await served(Sandbox(SandboxOptions(records=50, columns=4)))
        good = await served(tls_server(authority, "127.0.0.1"))
        foreign = await served(tls_server(other, "127.0.0.1"))
        named = await served(tls_server(authority, "other.example"))
        expired = await served(tls_server(authority, "127.0.0.1", not_after=long_ago))
        silent = await stack.enter_async_context(_dumb(None))
        rude = await stack.enter_async_context(_dumb(b""))
        ssh = await stack.enter_async_context(_dumb(b"SSH-2.0-OpenSSH_9.2p1\r\n"))

        def add(name: str, does: str, url: str, **more: Any) -> None:
            rows[name] = does, account(url, name, token_of(name), **more)

        closed = stack.enter_context(_closed_port())
        add("connect_refused", "Nobody listens at the port.", f"http://127.0.0.1:{closed}")
        add("host_unknown", "The host's name is not known to DNS.", "https://nothing.invalid")
        add("tls_private_authority", "The certificate's authority is the ca_file's.", good,
            ca_file=ca_file)  # fmt: skip
        add("tls_unknown_authority", "The certificate's authority is not known.", good)
        add("tls_other_authority", "The certificate is not of the ca_file's authority.", foreign,
            ca_file=ca_file)  # fmt: skip
        add("tls_other_name", "The certificate is for another host.", named, ca_file=ca_file)
        add("tls_expired", "The certificate has expired.", expired, ca_file=ca_file)
        add("tls_to_plain", "The server speaks plain HTTP where TLS is due.",
            plain.replace("http:", "https:"))  # fmt: skip
        add("tls_silence", "The server takes the connection and says nothing to the TLS greeting.",
            f"https://127.0.0.1:{silent}")  # fmt: skip
        add("tls_closed", "The server closes the connection at the TLS greeting.",
            f"https://127.0.0.1:{rude}")  # fmt: skip
        add("tls_garbage", "The server answers the TLS greeting in another protocol.",
            f"https://127.0.0.1:{ssh}")  # fmt: skip
        add("plain_to_tls", "The server speaks TLS where plain HTTP is due.",
            good.replace("https:", "http:"))  # fmt: skip
        add("proxy_refused", "Nobody listens at the proxy's port.", "https://api.invalid",
            proxies=explicit(f"http://127.0.0.1:{closed}"))  # fmt: skip
        for answer in ANSWERS:
            proxy = await stack.enter_async_context(recording_proxy(answer=answer))
            does = {
                "407": "The proxy wants to know who asks (407, HTML).",
                "502": "The proxy cannot reach the server (502, HTML).",
                "garbage": "The proxy answers in another protocol.",
                "closes": "The proxy closes the connection.",
                "silent": "The proxy takes the request for a tunnel and says nothing.",
            }[answer]
            add(f"proxy_{answer}", does, "https://api.invalid",
                proxies=explicit(f"http://{proxy.address}"))  # fmt: skip
        jobs = {name: f"55402300003{number:04}" for number, name in enumerate(rows)}
        accounts = [account for _, account in rows.values()]
        ran = await fetch(
            settings(folder, *accounts), [Job(job_id, name) for name, job_id in jobs.items()]
        )
    found = []
    for name, (does, _) in rows.items():
        end = ending(ran, jobs[name])
        held = [event for event in ran.told("unconnected", name) if "code" in event.data]
        seen = str(held[0].data["code"]) if held else end.seen
        found.append((name, does, end, seen))
    return found


# --- tokens ---------------------------------------------------------------------------------------


def _with_secrets(**more: Any) -> SandboxOptions:
    spec = {"client_id": "client", "client_secret": "hush", **more.pop("spec", {})}
    accounts = {"default": AccountSpec(refresh_tokens=("1000.refresh-of-it",), **spec)}
    return SandboxOptions(records=50, columns=4, auth=True, accounts=accounts, **more)


def token_cases() -> list[tuple[str, str, SandboxOptions]]:
    """The ways in which no token is to be had, or none that is good for anything."""
    cases = [
        ("token_revoked", "The refresh token has been revoked.",
         _with_secrets(spec={"revoked": True})),
        ("token_client_unknown", "The client id is not known.",
         _with_secrets(spec={"client_id": "another"})),
        ("token_client_secret", "The client secret is wrong.",
         _with_secrets(spec={"client_secret": "another"})),
        ("token_throttled_400", 'No token for now: HTTP 400 "Access Denied".',
         _with_secrets(token_requests=0)),
        ("token_throttled_200", 'No token for now: HTTP 200 "Access Denied".',
         _with_secrets(token_requests=0, token_throttle_status=200)),
        ("token_scope", "The token lacks the scope: 401 OAUTH_SCOPE_MISMATCH.",
         _with_secrets(spec={"error": "OAUTH_SCOPE_MISMATCH"})),
        ("token_no_account", "The token is refused: 401 AUTHENTICATION_FAILURE.",
         _with_secrets(spec={"error": "AUTHENTICATION_FAILURE"})),
        ("token_born_dead", "Every fresh token is refused: 401 INVALID_TOKEN.",
         _with_secrets(token_life_requests=0)),
    ]  # fmt: skip
    for fault in ("reset_before_head", "stall_before_head", "close_in_body", "html_502",
                  "html_200", "json_200_unknown", "empty_200", "html_429", "redirect_foreign",
                  "head_70k", "gzip_encoding", "oversize_endless"):  # fmt: skip
        options = _with_secrets(faults={"token": (fault,) * ALWAYS})
        cases.append((f"token_{fault}", f"The accounts server: {FAULTS[fault].does}", options))
    return cases


async def tokens(folder: Path) -> list[tuple[str, str, Ending]]:
    """Try every way to get no token."""
    rows, accounts = {}, []
    async with AsyncExitStack() as stack:
        for number, (name, does, options) in enumerate(token_cases()):
            sandbox = await stack.enter_async_context(Sandbox(options))
            accounts.append(account(sandbox.url, name, refresh_token_of("it"), token_cache=False))
            rows[name] = does, f"55402300004{number:04}"
        jobs = [Job(job_id, name) for name, (_, job_id) in rows.items()]
        ran = await fetch(settings(folder, *accounts), jobs)
    return [(name, does, ending(ran, job_id)) for name, (does, job_id) in rows.items()]


# --- the disk, which is not tried here ------------------------------------------------------------

DISK = """\
## The disk

Not made by the sandbox: held by `tests/durability` and `tests/journal`. An exit of 3 leaves what is
published alone, keeps every ZIP that is whole, and the same command goes on.

"""
DISK_ROWS = (
    ("Less is free than `limits.free_bytes`.", "exit 3 `DISK_FULL` with both; `check` too", 0),
    ("An announced body does not fit beside it.", "exit 3 `DISK_FULL`, nothing of it written", 1),
    ("What a ZIP unpacks to does not fit beside it.", "exit 3 `DISK_FULL`, the ZIP kept", 1),
    ("Room, quota or files run out meanwhile.", "exit 3 `DISK_FULL`", "some"),
    ("The file system says 0 of 0 free, or nothing (FUSE).", "not believed: done", 1),
    ("Folders cannot be synced, or opened for it (SMB, FUSE, 9P).", "done", 1),
    ("The device fails (EIO), or a file cannot be synced.", "exit 3 `NOT_WRITABLE`", "some"),
    ("Processes cannot share memory in it (9P, some CIFS).",
     "done; `status` has to wait for the run's end", 1),
    ("The output folder, or what is in `.bulkfetch`, may not be written, is no folder, is "
     "read-only, leads nowhere or to another file system.",
     "exit 3 `NOT_WRITABLE`, named as the user gave it; `check` too", 0),
    ("The journal is empty, or gone beside what a run left.",
     "begun anew, and said; `status`: no jobs yet", 1),
    ("The journal is of an older bulkfetch.",
     "taken forward by `run`; `plan` and `status` read a copy", 1),
    ("The journal is of a newer bulkfetch.", "exit 3 `JOURNAL_TOO_NEW`, unchanged", 0),
    ("The journal is damaged.", "exit 3 `JOURNAL_DAMAGED`", 0),
)  # fmt: skip


# --- the document ---------------------------------------------------------------------------------


def document() -> str:
    """Run everything and write the document."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = run_whole(answers(folder / "answers"))
        (folder / "ways").mkdir()
        ways_found = run_whole(ways(folder / "ways"))
        tokens_found = run_whole(tokens(folder / "tokens"))
    ways_rows = (
        (f"`{name}`", does, seen, told(end), end.requests) for name, does, end, seen in ways_found
    )
    token_rows = ((f"`{name}`", does, told(end), end.requests) for name, does, end in tokens_found)
    return "\n".join(
        (
            TOP,
            answers_section(found),
            "## Ways to the server\n\nAll of them always. What was not sent spends no slot.\n",
            table(("fault", "what happens", "seen as", "outcome", "requests"), ways_rows),
            "## Tokens\n\nAll of them always. Requests are result requests.\n",
            table(("fault", "what happens", "outcome", "requests"), token_rows),
            DISK + table(("what is wrong", "outcome", "requests"), DISK_ROWS),
        )
    )


if __name__ == "__main__":
    PATH.parent.mkdir(exist_ok=True)
    PATH.write_text(document(), encoding="utf-8")
    sys.stdout.write(f"{PATH} is written\n")
