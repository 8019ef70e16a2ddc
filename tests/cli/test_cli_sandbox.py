import json
import re
import signal
import urllib.request

from tests.support.programs import IDS, Program

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
