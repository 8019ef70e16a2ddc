"""What cannot be sent costs neither a slot nor a try, and is never shown."""

import json
import sys

import pytest
from tests.support.programs import IDS, Program

from bulkfetch.sandbox import SandboxOptions, SandboxThread

EURO = "http://user:5%E2%82%ACzz@127.0.0.1:9"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "http_proxy"])
@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_a_proxy_password_that_no_header_can_carry(
    program: Program, name: str, command: str
) -> None:
    """It is a configuration error, told at once; nothing is started and nothing of it shown."""
    own = "" if name else f'proxy = "{EURO}"\n'
    (program.folder / "jobs.toml").write_text(
        f'[account]\napi_domain = "https://crm.example"\n{own}[[jobs]]\nid = "{IDS[0]}"\n'
    )
    program.env |= {"ZOHO_ACCESS_TOKEN": "tok"} | ({name: EURO} if name else {})
    ended = program.run(command, "jobs.toml")
    assert (ended.status, ended.out) == (2, "")
    assert (name or "jobs.toml: account.proxy") in ended.err
    assert "that no header can carry" in ended.err
    assert not any(part in ended.err for part in ("zz", "€", "20ac", "E2%82", "user:"))
    assert not (program.folder / "exports").exists()


@pytest.mark.slow
@pytest.mark.parametrize("printed", ["zz zz", "zzü€", "zz\\r\\nX: y", "zz\\x00", ""])
def test_a_token_command_that_prints_no_token(program: Program, printed: str) -> None:
    """It ends the account, whose jobs stay pending; no request is made or counted."""
    with SandboxThread(SandboxOptions(records=5)) as sandbox:
        command = json.dumps([sys.executable, "-c", f"print('{printed}')"])
        (program.folder / "jobs.toml").write_text(
            f'[account]\napi_domain = "{sandbox.url}"\ntoken_command = {command}\n'
        )
        ended = program.run("run", "jobs.toml", *IDS[:3], "--json")
        assert sandbox.log == []
    *jobs, summary = ended.records
    assert ended.status == 3
    assert [(job["status"], job["attempts"]) for job in jobs] == [("pending", 0)] * 3
    assert {job["error"]["code"] for job in jobs} == {"TOKEN_COMMAND_FAILED"}
    assert summary["requests"] == 0
    assert "zz" not in ended.err + ended.out
