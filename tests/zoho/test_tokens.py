"""Where access tokens come from and when they are renewed."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import sys
import traceback
import types
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib.machinery import ModuleSpec
from pathlib import Path
from random import Random
from typing import Any

import aiohttp
import anyio
import pytest
from tests.support.accounts_server import AccountsServer, accounts_server

from bulkfetch.config import AccountSettings, Credentials, load_settings
from bulkfetch.errors import (
    BulkfetchError,
    ConfigError,
    InvalidToken,
    MissingCredentials,
    TokenCommandFailed,
    TokenRefused,
    TokenThrottled,
    TokenUnavailable,
)
from bulkfetch.secret import Secret
from bulkfetch.zoho.token_cache import (
    CachedToken,
    FileCache,
    KeyringCache,
    NoCache,
    cache_key,
)
from bulkfetch.zoho.token_refresh import REFRESH_TRIES, Refresh
from bulkfetch.zoho.token_response import Grant
from bulkfetch.zoho.tokens import (
    AskedToken,
    RefreshedToken,
    StaticToken,
    command_token,
    token_source,
)

CREDENTIALS = Credentials(
    client_id=Secret("1000.CLIENT"),
    client_secret=Secret("hush-hush"),
    refresh_token=Secret("1000.refresh-secret"),
)
SECRETS = ("1000.CLIENT", "hush-hush", "1000.refresh-secret")
KEY = cache_key("https://accounts.zoho.com", Secret("id"), Secret("refresh"))


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def plain(secret: Secret) -> str:
    return secret.reveal()


def tells_nothing(error: BaseException) -> bool:
    text = "".join(traceback.format_exception(error)) + repr(error)
    return not any(secret in text for secret in SECRETS)


@dataclass
class Refreshes:
    """A refresher that gives numbered tokens, or what `answers` holds, and yields in between."""

    answers: list[BulkfetchError] = field(default_factory=list)
    lifetime_s: float = 3600.0
    given: int = 0

    async def __call__(self) -> Grant:
        await anyio.sleep(0)
        if self.answers:
            raise self.answers.pop(0)
        self.given += 1
        return Grant(Secret(f"token-{self.given}"), self.lifetime_s)


@asynccontextmanager
async def refresh_against(
    server_setup: Callable[[AccountsServer], None] = lambda _: None,
) -> AsyncIterator[tuple[Refresh, AccountsServer]]:
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(accounts_server(server_setup))
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield (
            Refresh(server.url, CREDENTIALS, session, None, 0.0, Random(1)),
            server,
        )


# --- the refresh itself, over a real socket -------------------------------------------------------


@pytest.mark.anyio
async def test_a_refresh_posts_the_form_that_zoho_documents() -> None:
    """The four fields go into the body: none into the address, none into a header."""
    async with refresh_against() as (refresh, server):
        grant = await refresh()
    assert plain(grant.secret) == "1000.fresh-1"
    assert server.forms == [
        {
            "grant_type": "refresh_token",
            "refresh_token": "1000.refresh-secret",
            "client_id": "1000.CLIENT",
            "client_secret": "hush-hush",
        }
    ]
    assert "Authorization" not in server.headers[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ((200, {"error": "invalid_client"}), TokenRefused),
        ((200, {"error": "invalid_code"}), TokenRefused),
        ((200, {"error": "invalid_client_secret"}), TokenRefused),
        ((400, {"error": "invalid_code 1000.refresh-secret hush-hush"}), TokenRefused),
        ((200, {"error": "Access Denied", "status": "failure"}), TokenThrottled),
        ((400, {"error": "Access Denied"}), TokenThrottled),
        ((429, b"slow down"), TokenThrottled),
        ((302, b""), TokenRefused),
        ((404, b"<html>"), TokenRefused),
    ],
)
async def test_a_refusal_is_final(answer: tuple[int, object], expected: type[Exception]) -> None:
    """The body decides, whatever the status; a refusal is asked for once and tells no secret."""
    async with refresh_against(lambda server: server.answers.append(answer)) as (refresh, server):
        with pytest.raises(expected) as caught:
            await refresh()
    assert len(server.forms) == 1
    assert tells_nothing(caught.value)


@pytest.mark.anyio
@pytest.mark.parametrize(
    "answer",
    [
        (503, b"<html>"),
        (200, b""),
        (200, b"\xff\xfe"),
        (200, b"[" * 100_000),
        (200, {"error": "general_error"}),
        (200, {"access_token": "two\r\nheaders: x"}),
        (200, {"access_token": 7}),
        (0, None),
    ],
)
async def test_trouble_is_tried_again(answer: tuple[int, object]) -> None:
    """A server in trouble, a cut connection and nonsense get another try, and then it works."""
    async with refresh_against(lambda server: server.answers.append(answer)) as (refresh, server):
        assert plain((await refresh()).secret) == "1000.fresh-1"
    assert len(server.forms) == 2


@pytest.mark.anyio
async def test_lasting_trouble_ends_the_account() -> None:
    """After a few tries the accounts server counts as unavailable."""
    trouble = [(500, b"")] * 20
    async with refresh_against(lambda server: server.answers.extend(trouble)) as (refresh, server):
        with pytest.raises(TokenUnavailable) as caught:
            await refresh()
    assert len(server.forms) == REFRESH_TRIES
    assert tells_nothing(caught.value)


@pytest.mark.anyio
async def test_nobody_listening_is_unavailable() -> None:
    """A refused connection is told with the host and no more."""
    async with aiohttp.ClientSession() as session:
        refresh = Refresh("http://127.0.0.1:9", CREDENTIALS, session, None, 0.0)
        with pytest.raises(TokenUnavailable, match=r"127\.0\.0\.1") as caught:
            await refresh()
    assert tells_nothing(caught.value)


@pytest.mark.anyio
async def test_the_session_s_middlewares_are_passed_by() -> None:
    """A token request takes no slot of the window and carries no access token."""

    async def forbidden(
        request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        raise AssertionError("the middleware for results saw a token request")

    async with (
        accounts_server() as server,
        aiohttp.ClientSession(middlewares=(forbidden,)) as session,
    ):
        refresh = Refresh(server.url, CREDENTIALS, session)
        assert plain((await refresh()).secret) == "1000.fresh-1"


# --- renewal, on values ---------------------------------------------------------------------------


@pytest.mark.anyio
async def test_a_hundred_refused_at_once_are_one_refresh() -> None:
    """Whoever comes late with the old token gets the new one without asking."""
    refreshes = Refreshes()
    source = RefreshedToken(refreshes, NoCache())
    old = await source.token()
    fresh = await asyncio.gather(*(source.renew(old) for _ in range(100)))
    assert {plain(secret) for secret in fresh} == {"token-2"}
    assert plain(await source.token()) == "token-2"
    assert refreshes.given == 2


@pytest.mark.anyio
async def test_a_hundred_beginning_at_once_are_one_refresh() -> None:
    """The first token is got once however many workers wait for it."""
    refreshes = Refreshes()
    source = RefreshedToken(refreshes, NoCache())
    tokens = await asyncio.gather(*(source.token() for _ in range(100)))
    assert {plain(secret) for secret in tokens} == {"token-1"}


@pytest.mark.anyio
async def test_a_token_is_renewed_before_it_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute before its end a token of an hour is renewed, not earlier."""
    now = [1000.0]
    monkeypatch.setattr("bulkfetch.zoho.tokens.anyio.current_time", lambda: now[0])
    source = RefreshedToken(Refreshes(), NoCache())
    assert plain(await source.token()) == "token-1"
    now[0] += 3539
    assert plain(await source.token()) == "token-1"
    now[0] += 2
    assert plain(await source.token()) == "token-2"


@pytest.mark.anyio
async def test_a_failed_early_renewal_costs_nothing_while_the_token_lives(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A throttled or unreachable accounts server matters only once the old token has ended."""
    now = [1000.0]
    monkeypatch.setattr("bulkfetch.zoho.tokens.anyio.current_time", lambda: now[0])
    refreshes = Refreshes()
    source = RefreshedToken(refreshes, NoCache())
    await source.token()
    refreshes.answers = [TokenThrottled(), TokenUnavailable(), TokenThrottled()]
    now[0] += 3545
    assert plain(await source.token()) == "token-1"
    assert plain(await source.token()) == "token-1"
    assert len(refreshes.answers) == 2
    now[0] += 20
    assert plain(await source.token()) == "token-1"
    now[0] += 60
    with pytest.raises(TokenThrottled):
        await source.token()
    assert plain(await source.token()) == "token-2"


@pytest.mark.anyio
async def test_a_revoked_refresh_token_is_told_at_once() -> None:
    """A refusal is raised even while the old token lives, and again when asked again."""
    refreshes = Refreshes([TokenRefused(), TokenRefused()])
    source = RefreshedToken(refreshes, NoCache())
    for _ in range(2):
        with pytest.raises(TokenRefused):
            await source.token()


@pytest.mark.anyio
async def test_a_cancelled_refresh_leaves_the_source_usable() -> None:
    """Whoever comes after a cancelled refresh starts another one."""
    refreshes = Refreshes()
    source = RefreshedToken(refreshes, NoCache())
    with anyio.CancelScope() as scope:
        scope.cancel()
        await source.token()
    assert scope.cancelled_caught
    with anyio.fail_after(5):
        assert plain(await source.token()) == "token-1"


@pytest.mark.anyio
async def test_a_static_token_cannot_be_renewed() -> None:
    """A token without a refresh token ends the account when it is refused."""
    source = StaticToken(Secret("abc"))
    assert plain(await source.token()) == "abc"
    with pytest.raises(InvalidToken):
        await source.renew(Secret("abc"))


# --- the choice of a source -----------------------------------------------------------------------


NO_SESSION: Any = None  # none is needed to choose a source


def test_the_source_follows_from_the_settings(tmp_path: Path) -> None:
    """token_command is first, then the refresh token, then the bare token, then a clear error."""
    access = replace(CREDENTIALS, access_token=Secret("tok"))
    both = AccountSettings(credentials=access)
    command = replace(both, token_command=("pass",))
    only = AccountSettings(credentials=Credentials(access_token=Secret("tok")))
    assert isinstance(token_source(command, NO_SESSION, None), AskedToken)
    assert isinstance(token_source(both, NO_SESSION, tmp_path), RefreshedToken)
    assert isinstance(token_source(only, NO_SESSION, None), StaticToken)
    with pytest.raises(MissingCredentials) as caught:
        token_source(AccountSettings(env_prefix="ACME_"), NO_SESSION, None)
    assert "ACME_ZOHO_ACCESS_TOKEN" in caught.value.hint


def test_a_refresh_token_is_sent_to_no_guessed_server() -> None:
    """A free API domain that is not Zoho's needs its accounts server named."""
    account = AccountSettings(api_domain="https://crm.example", credentials=CREDENTIALS)
    with pytest.raises(ConfigError, match=r"crm\.example"):
        token_source(account, NO_SESSION, None)


@pytest.mark.anyio
async def test_another_api_domain_is_told_and_never_used() -> None:
    """The domain in a token reply is a hint for the user; the token goes where the settings say."""
    notes: list[str] = []

    def elsewhere(server: AccountsServer) -> None:
        server.api_domain = "https://www.zohoapis.eu"
        server.expires_in = 0.001

    async with accounts_server(elsewhere) as server, aiohttp.ClientSession() as session:
        account = AccountSettings(
            api_domain="https://www.zohoapis.com", accounts_url=server.url, credentials=CREDENTIALS
        )
        source = token_source(account, session, None, notes.append)
        first = await source.token()
        await source.renew(first)
    assert len(notes) == 1
    assert "zohoapis.eu" in notes[0]


# --- sharing among processes ----------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.anyio
async def test_processes_refresh_once_among_them(tmp_path: Path) -> None:
    """Four processes that begin together need one refresh, and all get its token."""
    taker = Path(__file__).parents[1] / "support" / "token_taker.py"
    async with accounts_server() as server, AsyncExitStack() as stack:
        takers = []
        for _ in range(4):
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, str(taker), server.url, str(tmp_path)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            stack.push_async_callback(process.wait)
            takers.append(process)
        for process in takers:
            assert process.stdout is not None
            assert await process.stdout.readline() == b"ready\n"
        outputs = await asyncio.gather(*(process.communicate(b"\n") for process in takers))
    expected = hashlib.sha256(b"1000.fresh-1").hexdigest().encode()
    assert [out.strip() for out, _ in outputs] == [expected] * 4
    assert len(server.forms) == 1
    names = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("refresh" in name or "client" in name for name in names)


@pytest.mark.anyio
async def test_a_refused_token_is_replaced_by_the_one_another_process_got(tmp_path: Path) -> None:
    """After a 401, what another process refreshed meanwhile is taken; the refused one never is."""
    refreshes = Refreshes()
    one = RefreshedToken(refreshes, FileCache(tmp_path / "t", KEY, pytest.fail))
    two = RefreshedToken(refreshes, FileCache(tmp_path / "t", KEY, pytest.fail))
    old = await one.token()
    assert await two.token() == old
    fresh = await one.renew(old)
    assert plain(fresh) == "token-2"
    assert await two.renew(old) == fresh
    assert refreshes.given == 2


@pytest.mark.anyio
async def test_the_shared_token_is_private_and_survives(tmp_path: Path) -> None:
    """Folder 0700, file 0600, and nothing but the access token in it."""
    folder = tmp_path / "state" / "tokens"
    cache = FileCache(folder, KEY, pytest.fail)
    await cache.store(CachedToken(Secret("tok"), 5000.0, 3600.0))
    assert await cache.load() == CachedToken(Secret("tok"), 5000.0, 3600.0)
    assert folder.stat().st_mode & 0o777 == 0o700
    (kept,) = folder.iterdir()
    assert kept.stat().st_mode & 0o777 == 0o600
    assert sorted(json.loads(kept.read_text())) == [
        "access_token",
        "expires_at",
        "lifetime_s",
        "version",
    ]


@pytest.mark.anyio
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
async def test_a_token_that_others_may_read_or_write_is_not_used(tmp_path: Path, mode: int) -> None:
    """A file with a loose mode is told of and passed by."""
    notes: list[str] = []
    cache = FileCache(tmp_path / "t", KEY, notes.append)
    await cache.store(CachedToken(Secret("tok"), 5000.0, 3600.0))
    (tmp_path / "t" / f"{KEY}.json").chmod(mode)
    assert await cache.load() is None
    assert "other users can access it" in notes[0]


@pytest.mark.anyio
async def test_a_link_or_a_pipe_in_the_token_s_place_is_not_followed(tmp_path: Path) -> None:
    """Neither a symlink nor a FIFO planted in the folder is read; a FIFO does not hang."""
    cache = FileCache(tmp_path, KEY, lambda _: None)
    await cache.store(CachedToken(Secret("tok"), 5000.0, 3600.0))
    place = tmp_path / f"{KEY}.json"
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    assert await cache.load() is None
    place.unlink()
    os.mkfifo(place, 0o600)
    assert await cache.load() is None


@pytest.mark.anyio
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b"[" * 10_000,
        b"x" * 20_000,
        b'{"version": 1, "access_token": "a\\nb", "expires_at": 1, "lifetime_s": 1}',
        b'{"version": 1, "access_token": "tok", "expires_at": "x", "lifetime_s": 1}',
        b'{"version": 1, "access_token": "tok", "expires_at": [1], "lifetime_s": null}',
        b'{"version": 2, "access_token": "tok", "expires_at": 1, "lifetime_s": 1}',
    ],
)
async def test_garbage_in_the_token_s_place_is_no_token(tmp_path: Path, raw: bytes) -> None:
    """Whatever the file holds, it is a token or nothing."""
    place = tmp_path / f"{KEY}.json"
    place.write_bytes(raw)
    place.chmod(0o600)
    assert await FileCache(tmp_path, KEY, pytest.fail).load() is None


@pytest.mark.anyio
@pytest.mark.parametrize("what", ["a file", "missing parent"])
async def test_a_state_directory_that_cannot_be_used_costs_no_run(
    tmp_path: Path, what: str
) -> None:
    """Where tokens cannot be shared, that is told and each process refreshes for itself."""
    (tmp_path / "state").write_text("in the way")
    folder = tmp_path / "state" if what == "a file" else tmp_path / "state" / "tokens"
    notes: list[str] = []
    source = RefreshedToken(Refreshes(), FileCache(folder, KEY, notes.append))
    assert plain(await source.token()) == "token-1"
    assert notes


@pytest.mark.anyio
async def test_a_folder_that_others_may_write_to_is_not_used(tmp_path: Path) -> None:
    """In a folder open to others a planted token or lock could do harm: nothing is shared there."""
    folder = tmp_path / "t"
    folder.mkdir()
    folder.chmod(0o777)
    notes: list[str] = []
    source = RefreshedToken(Refreshes(), FileCache(folder, KEY, notes.append))
    assert plain(await source.token()) == "token-1"
    assert notes
    assert not list(folder.iterdir())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("wall", "given"), [(0.0, "shared"), (3000.0, "shared"), (3550.0, "token-1"), (-9e9, "shared")]
)
async def test_a_shared_token_is_used_while_it_lives(
    tmp_path: Path, wall: float, given: str
) -> None:
    """An ended token is not taken; a clock that went back makes none live for ever."""
    cache = FileCache(tmp_path, KEY, pytest.fail)
    await cache.store(CachedToken(Secret("shared"), 3600.0, 3600.0))
    source = RefreshedToken(Refreshes(), cache, wall_clock=lambda: wall)
    assert plain(await source.token()) == given
    held = source._held
    assert held is not None
    assert held.ends_at - anyio.current_time() <= 3600


def test_the_key_of_the_cache_tells_nothing() -> None:
    """Other credentials or servers have another key, and none can be read from it."""
    same = cache_key("https://accounts.zoho.com", Secret("id"), Secret("refresh"))
    other = cache_key("https://accounts.zoho.eu", Secret("id"), Secret("refresh"))
    assert same == KEY != other
    assert KEY.isalnum()


@pytest.mark.anyio
async def test_the_keyring_keeps_a_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the extra the token lies in the keyring and not on disk."""
    kept: dict[tuple[str, str], str] = {}
    module = types.ModuleType("keyring")
    module.__spec__ = ModuleSpec("keyring", None)
    module.get_password = lambda service, name: kept.get((service, name))  # type: ignore[attr-defined]
    module.set_password = lambda service, name, text: kept.update({(service, name): text})  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    cache = KeyringCache(tmp_path, KEY, pytest.fail)
    assert plain(await RefreshedToken(Refreshes(), cache).token()) == "token-1"
    again = RefreshedToken(Refreshes([TokenRefused()]), KeyringCache(tmp_path, KEY, pytest.fail))
    assert plain(await again.token()) == "token-1"
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.anyio
async def test_a_locked_keyring_costs_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyring that raises is told of and passed by."""

    def locked(*_: object) -> None:
        raise RuntimeError("secret-ish backend text")

    module = types.ModuleType("keyring")
    module.__spec__ = ModuleSpec("keyring", None)
    module.get_password = module.set_password = locked  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    notes: list[str] = []
    source = RefreshedToken(Refreshes(), KeyringCache(None, KEY, notes.append))
    assert plain(await source.token()) == "token-1"
    assert len(notes) == 2
    assert "backend text" not in "".join(notes)


def test_the_keyring_without_the_extra_is_a_configuration_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The missing package is named with the way to get it."""
    monkeypatch.setitem(sys.modules, "keyring", None)
    account = AccountSettings(credentials=CREDENTIALS, token_cache="keyring")
    with pytest.raises(ConfigError) as caught:
        token_source(account, NO_SESSION, None)
    assert "pip install 'keyring" in caught.value.hint


def test_nothing_shows_a_secret(tmp_path: Path) -> None:
    """Neither settings nor sources nor grants tell a secret when they are printed."""
    env = {
        "ZOHO_CLIENT_ID": SECRETS[0],
        "ZOHO_CLIENT_SECRET": SECRETS[1],
        "ZOHO_REFRESH_TOKEN": SECRETS[2],
    }
    settings = load_settings(None, env)
    source = token_source(settings.accounts[0], NO_SESSION, tmp_path)
    grant = Grant(Secret(SECRETS[2]), 1.0)
    text = f"{settings!r} {settings} {source!r} {grant!r} {asdict(settings)}"
    text += json.dumps(asdict(settings), default=str)
    assert not any(secret in text for secret in SECRETS)


# --- token_command --------------------------------------------------------------------------------


def python(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


@pytest.mark.anyio
async def test_a_command_s_line_is_the_token() -> None:
    """What the program prints is the token, run once until it is refused."""
    source = command_token(python("import os; print(f'tok-{os.getpid()}')"))
    first = await source.token()
    assert await source.token() == first
    fresh = await asyncio.gather(*(source.renew(first) for _ in range(5)))
    assert len({plain(secret) for secret in fresh}) == 1
    assert fresh[0] != first


@pytest.mark.anyio
async def test_a_command_that_repeats_a_refused_token_ends_the_account() -> None:
    """The same token again is no answer to its refusal."""
    source = command_token(python("print('tok')"))
    with pytest.raises(InvalidToken):
        await source.renew(await source.token())


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("raise SystemExit(3)", "status 3"),
        ("print()", "printed nothing"),
        ("print('s3cret one\\ns3cret two')", "more than one line"),
        ("print('s3cret with spaces')", "not a token"),
        ("print('s3cret\\x1b[2J')", "not a token"),
        ("print('s3cret' * 100_000)", "too much"),
        ("import sys; sys.stderr.write('s3cret'); sys.exit(1)", "status 1"),
        ("import os; os.kill(os.getpid(), 9)", "status -9"),
    ],
)
async def test_a_failing_command_is_told_without_its_output(
    capfd: pytest.CaptureFixture[str], code: str, message: str
) -> None:
    """Whatever goes wrong is one sentence; what the program printed is not in it."""
    with pytest.raises(TokenCommandFailed, match=message) as caught:
        await command_token(python(code)).token()
    assert "s3cret" not in caught.value.message
    assert "s3cret" not in "".join(capfd.readouterr())


@pytest.mark.anyio
async def test_a_command_that_is_not_there_is_told() -> None:
    """A missing program is a failed token_command, not an OSError."""
    with pytest.raises(TokenCommandFailed, match="cannot be started"):
        await command_token(("/nonexistent/pass", "show")).token()


@pytest.mark.slow
@pytest.mark.anyio
async def test_a_command_that_hangs_is_ended_with_its_children(tmp_path: Path) -> None:
    """After its time the whole family is killed, even a child that outlived its parent."""
    pid_file = tmp_path / "pid"
    code = (
        "import os, time\n"
        "if os.fork() == 0:\n"
        f"    open({str(pid_file)!r}, 'w').write(str(os.getpid()))\n"
        "    time.sleep(600)\n"
    )
    with pytest.raises(TokenCommandFailed, match="did not finish"):
        await command_token(python(code), timeout_s=1.0).token()
    pid = int(pid_file.read_text())
    with anyio.fail_after(10):
        while _runs(pid):
            await anyio.sleep(0.01)


@pytest.mark.anyio
async def test_a_cancelled_command_is_ended(tmp_path: Path) -> None:
    """Cancelling the wait for a token leaves no program behind."""
    pid_file = tmp_path / "pid"
    code = (
        "import os, time\n"
        f"open({str(tmp_path / 'new')!r}, 'w').write(str(os.getpid()))\n"
        f"os.rename({str(tmp_path / 'new')!r}, {str(pid_file)!r})\n"
        "time.sleep(600)\n"
    )
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(command_token(python(code)).token)
            while not pid_file.exists():
                await anyio.sleep(0.01)
            group.cancel_scope.cancel()
    assert not _runs(int(pid_file.read_text()))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# --- what was refused -----------------------------------------------------------------------------


class Stubborn(NoCache):
    """A cache that cannot be written any more, and still gives what it had."""

    async def load(self) -> CachedToken | None:
        return CachedToken(Secret("stale"), 1e12, 3600.0)


@pytest.mark.anyio
async def test_a_refused_token_is_not_taken_from_a_cache_that_cannot_forget() -> None:
    """This process remembers what was refused, whatever the cache says."""
    refreshes = Refreshes()
    source = RefreshedToken(refreshes, Stubborn())
    stale = await source.token()
    assert plain(stale) == "stale"
    assert plain(await source.renew(stale)) == "token-1"
    await source.refuse(Secret("token-1"))
    assert plain(await source.token()) == "token-2"
    assert refreshes.given == 2


@pytest.mark.anyio
async def test_what_another_process_has_kept_meanwhile_stays(tmp_path: Path) -> None:
    """Only the refused token is forgotten, not the one that has taken its place."""
    refreshes = Refreshes()
    caches = [FileCache(tmp_path / "t", KEY, pytest.fail) for _ in range(3)]
    one, two, three = (RefreshedToken(refreshes, cache) for cache in caches)
    old = await one.token()
    assert await two.token() == old
    fresh = await one.renew(old)
    await two.refuse(old)
    assert await three.token() == fresh
    await three.refuse(fresh)
    assert await caches[0].load() is None
    assert "token-" not in "".join(path.read_text() for path in (tmp_path / "t").iterdir())


@pytest.mark.anyio
async def test_an_early_renewal_that_fails_does_not_bring_a_refused_token_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token that is refused while its renewal is under way is not gone on with."""
    now = [1000.0]
    monkeypatch.setattr("bulkfetch.zoho.tokens.anyio.current_time", lambda: now[0])
    refreshes = Refreshes()
    source = RefreshedToken(refreshes, NoCache())
    old = await source.token()
    now[0] += 3545
    refreshes.answers = [TokenThrottled()]
    renewal = asyncio.create_task(source.token())
    await asyncio.sleep(0)
    await source.refuse(old)
    with pytest.raises(TokenThrottled):
        await renewal
