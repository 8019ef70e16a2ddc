import json
import re
import shlex
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.kill_limits import bound_by_permissions
from tests.support.programs import IDS, Program

pytestmark = pytest.mark.slow

SECRET = "1000.hushhushhush"
FLAKY = "554023000000990600"
GONE = "554023000000990404"


def test_sandbox_serves_until_ctrl_c(program: Program) -> None:
    """It tells its address on stdout, on stderr a jobs.toml that works; Ctrl-C ends it with 0."""
    process = program.start("sandbox", "--records", "5", "--requests", "100", "--json")
    assert process.stdout is not None
    assert process.stderr is not None
    url = json.loads(process.stdout.readline())["url"]
    with urllib.request.urlopen(f"{url}/crm/bulk/v8/read/{IDS[0]}/result") as reply:
        assert reply.read(2) == b"PK"
    text = b""
    while b"and the command: " not in text:
        text += process.stderr.readline()
    snippet = re.search(r"(?s)  out = .*?(?=\nand the command)", text.decode())
    assert snippet is not None
    (program.folder / "jobs.toml").write_text(snippet[0])
    program.env["ZOHO_ACCESS_TOKEN"] = SECRET
    ended = program.run("run", "jobs.toml", IDS[0], FLAKY, GONE, "-vv")
    assert ended.status == 1
    assert sorted(ended.out.splitlines()) == [f"exports/{job}.csv" for job in (IDS[0], FLAKY)]
    # The loudest run leaves the token nowhere: not in what it says, not in what it writes.
    assert SECRET not in ended.out + ended.err
    written = [path.read_bytes() for path in program.folder.rglob("*") if path.is_file()]
    assert written
    assert not any(SECRET.encode() in text for text in written)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


def test_its_modules_are_as_large_as_told(program: Program) -> None:
    """--module, --per-page, --prepare and --credits make an org of one's own."""
    process = program.start(
        *("sandbox", "--module", "Leads=7", "--module", "Tests__c=2", "--per-page", "5"),
        *("--prepare", "0", "--credits", "60"),
    )
    assert process.stdout is not None
    url = process.stdout.readline().decode().strip()
    body = json.dumps({"query": {"module": {"api_name": "Leads"}}}).encode()
    asked = urllib.request.Request(
        f"{url}/crm/bulk/v8/read", body, {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked) as reply:
        assert reply.headers["X-API-CREDITS-REMAINING"] == "10"
        [job] = json.load(reply)["data"]
    with urllib.request.urlopen(f"{url}/crm/bulk/v8/read/{job['details']['id']}") as reply:
        [told] = json.load(reply)["data"]
    assert (told["state"], told["result"]["count"]) == ("COMPLETED", 5)
    assert told["result"]["more_records"]
    with urllib.request.urlopen(f"{url}/crm/v8/Tests__c/actions/count") as reply:
        assert json.load(reply) == {"count": 2}
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0


@contextmanager
def serving(program: Program, *options: str) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """A sandbox with --auth and jobs.toml for it; its line of JSON and the words of its command."""
    process = program.start("sandbox", "--records", "5", "--auth", "--json", *options)
    try:
        assert process.stdout is not None
        assert process.stderr is not None
        told = json.loads(process.stdout.readline())
        text = b""
        while b"and the command: " not in text:
            text += process.stderr.readline()
        [(settings, command)] = re.findall(
            r"(?s)(  out = .*?)\nand the command: (.*)\n", text.decode()
        )
        (program.folder / "jobs.toml").write_text(settings)
        yield told, shlex.split(command)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "options",
    [[], ["--client-id", "1000.A", "--client-secret", "bc", "--refresh-token", "1000.d"]],
)
def test_a_real_run_is_rehearsed(program: Program, options: list[str]) -> None:
    """With --auth the command that it tells works as it stands, by client and refresh token."""
    with serving(program, *options) as (told, words):
        given = dict(word.split("=", 1) for word in words[:3])
        for name, value in given.items():
            assert told[name.removeprefix("ZOHO_").lower()] == value
        if options:
            assert list(given.values()) == options[1::2]
        program.env |= given
        assert words[3:5] == ["bulkfetch", "run"]
        checked = program.run("check", "jobs.toml", "--online")
        assert checked.status == 0
        ended = program.run(*words[4:], "--json")
        assert (ended.status, ended.records[-1]["done"]) == (0, 1)


def test_a_rehearsal_goes_wrong_as_the_real_thing(program: Program) -> None:
    """With --auth another secret, and a token that it did not give out, are refused."""
    with serving(program) as (told, _):
        good = {f"ZOHO_{name.upper()}": told[name] for name in told if name not in ("type", "url")}
        for name in good:
            program.env = good | {name: "wrong", "BULKFETCH_STATE_DIR": str(program.folder / name)}
            ended = program.run("run", "jobs.toml", IDS[1], "--json")
            assert (ended.status, ended.records[-1]["error"]["code"]) == (3, "TOKEN_REFUSED")
        program.env = {"ZOHO_ACCESS_TOKEN": "made-up"}
        ended = program.run("run", "jobs.toml", IDS[1], "--json")
        assert (ended.status, ended.records[-1]["error"]["code"]) == (3, "INVALID_TOKEN")


def test_credentials_want_auth(program: Program) -> None:
    """Credentials without --auth would be taken for more than they are."""
    ended = program.run("sandbox", "--client-id", "1000.A")
    assert ended.status == 2
    assert "--auth" in ended.err


def test_port_in_use(program: Program) -> None:
    """A port that is taken is told in words."""
    process = program.start("sandbox")
    assert process.stdout is not None
    port = process.stdout.readline().decode().strip().rpartition(":")[2]
    ended = program.run("sandbox", "--port", port)
    process.terminate()
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert (ended.status, ended.out) == (3, "")
    assert f"cannot serve at port {port}" in ended.err


@pytest.mark.parametrize("option", ["none/x.jsonl", "file/x.jsonl", "shut/x.jsonl", "kept.jsonl"])
def test_log_that_cannot_be_written(program: Program, option: str) -> None:
    """It is the log that is named, with the cause; not the port, which is free."""
    (program.folder / "file").touch()
    (program.folder / "shut").mkdir(mode=0o555)
    (program.folder / "kept.jsonl").touch(mode=0o444)
    process = program.start("sandbox", "--log", option, preexec_fn=bound_by_permissions)
    out, err = (text.decode() for text in process.communicate(timeout=60))
    assert (process.returncode, out) == (3, "")
    assert f"error: NOT_WRITABLE: cannot write the log {option}: " in err
    assert "hint: Give --log a file" in err
    assert "port" not in err


def test_log_that_is_a_folder(program: Program) -> None:
    """A folder in the log's place is wrong usage, and named."""
    ended = program.run("sandbox", "--log", ".")
    assert (ended.status, ended.out) == (2, "")
    assert "--log" in ended.err
    assert "is a directory" in ended.err


def test_port_in_use_beside_a_log(program: Program) -> None:
    """With a log that can be written, a port that is taken is still what is named."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        ended = program.run("sandbox", "--port", port, "--log", "log.jsonl")
    assert ended.status == 3
    assert f"cannot serve at port {port}" in ended.err
    assert "log" not in ended.err


def test_log_on_a_full_disk(program: Program) -> None:
    """Whoever asks is answered as before; in the end it is said that the log is not whole."""
    process = program.start("sandbox", "--records", "5", "--requests", "100", "--log", "/dev/full")
    assert process.stdout is not None
    url = process.stdout.readline().decode().strip()
    for job in IDS[:3]:
        with urllib.request.urlopen(f"{url}/crm/bulk/v8/read/{job}/result") as reply:
            assert reply.read(2) == b"PK"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 3
    assert err.count(b"cannot write the log /dev/full: No space left on device") == 1
    assert b"Traceback" not in err
