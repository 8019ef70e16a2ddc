"""Tokens that the server refuses: one refresh, one repeat, and never the same token again."""

from __future__ import annotations

import asyncio
import json
import sys
import types
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest
from tests.support.scripted_service import Service, http, said, served, service
from tests.support.whole_runs import Ran, account, fetch, refresh_token_of, run_whole, settings

from bulkfetch.config import Credentials, WindowSettings
from bulkfetch.secret import Secret

JOBS = [f"55402300{number:010}" for number in range(10)]
REFUSALS = {
    "INVALID_TOKEN": said(401, "INVALID_TOKEN"),
    "AUTHENTICATION_FAILURE": said(401, "AUTHENTICATION_FAILURE"),
    "INVALID_OAUTHTOKEN": said(401, "INVALID_OAUTHTOKEN"),
    "in data": http(401, b'{"data":[{"code":"AUTHENTICATION_FAILURE"}]}'),
    "unknown": said(401, "INVALID_OAUTH"),
    "html": http(401, b"<html>"),
    "empty": http(401),
}
REFUSED = http(200, b'{"error":"invalid_code"}', "Content-Type: application/json")
FAST = WindowSettings(requests=1000, period_s=1, margin_s=0)


class Judge:
    """Serves the holders of good tokens, and says `refusal` to those of bad ones."""

    def __init__(self, refusal: bytes, *bad: str) -> None:
        self.refusal, self.bad = refusal, set(bad)
        self.made: Service | None = None

    def __call__(self, now: float, job_id: str, before: int) -> bytes:
        assert self.made is not None
        return self.refusal if self.made.sent()[-1] in self.bad else served(job_id)


def runs(
    folder: Path,
    judge: Judge,
    *lists: list[str],
    between: Callable[[Service, int], None] = lambda made, number: None,
    **more: object,
) -> tuple[list[Ran], Service]:
    """Fetch lists one after the other, each with a client of its own; state is shared."""

    async def main() -> tuple[list[Ran], Service]:
        rans = []
        async with service(judge) as made:
            judge.made = made
            credentials = more.pop("credentials", refresh_token_of("it"))
            told = settings(folder, account(made.url, "default", credentials, **more))  # type: ignore[arg-type]
            for number, jobs in enumerate(lists):
                between(made, number)
                rans.append(await fetch(told, jobs))
        return rans, made

    return run_whole(main())


def code_of(ran: Ran) -> str | None:
    return ran.report.aborted.code if ran.report.aborted else None


@pytest.mark.parametrize("how", REFUSALS)
def test_an_old_token_is_refreshed_once_however_it_is_refused(tmp_path: Path, how: str) -> None:
    """The cached token has died: the next run refreshes once, repeats once, and goes on."""
    judge = Judge(REFUSALS[how])

    def dies(made: Service, number: int) -> None:
        if number:
            judge.bad.add("1000.fresh-1")

    (first, second, third), made = runs(tmp_path, judge, JOBS[:1], JOBS[:2], JOBS[:3], between=dies)
    assert [ran.report.done for ran in (first, second, third)] == [1, 1, 1]
    assert made.sent() == ["1000.fresh-1", "1000.fresh-1", "1000.fresh-2", "1000.fresh-2"]
    assert made.tokens == 2
    assert len(second.told("token_renewed")) == 1


@pytest.mark.parametrize("how", ["AUTHENTICATION_FAILURE", "html"])
def test_ten_refused_at_once_are_one_refresh(tmp_path: Path, how: str) -> None:
    """Single flight: ten workers with the same old token ask for one new token."""
    judge = Judge(REFUSALS[how], "1000.fresh-1")
    (ran,), made = runs(tmp_path, judge, JOBS, window=FAST)
    assert ran.report.done == 10
    assert made.tokens == 2


@pytest.mark.parametrize("how", REFUSALS)
def test_a_second_refusal_keeps_the_code_and_no_run_sends_the_token_again(
    tmp_path: Path, how: str
) -> None:
    """Both tokens were refused: the account ends with the server's word, the cache is empty."""
    judge = Judge(REFUSALS[how], "1000.fresh-1", "1000.fresh-2")
    (first, second), made = runs(tmp_path, judge, JOBS[:1], JOBS[:1])
    expected = how if how in ("INVALID_TOKEN", "INVALID_OAUTHTOKEN") else "AUTHENTICATION_FAILURE"
    assert code_of(first) == expected
    assert first.report.aborted is not None
    assert first.report.aborted.http == 401
    assert [outcome.status for outcome in first.outcomes.values()] == ["pending"]
    assert second.report.done == 1
    assert made.sent() == ["1000.fresh-1", "1000.fresh-2", "1000.fresh-3"]


@pytest.mark.parametrize(
    ("answers", "code"),
    [([REFUSED], "TOKEN_REFUSED"), ([http(503, b"<html>")] * 4, "TOKEN_UNAVAILABLE")],
)
def test_a_refused_token_is_not_sent_again_where_its_refresh_failed(
    tmp_path: Path, answers: list[bytes], code: str
) -> None:
    """The shared cache forgets it before the refresh: the next run begins with a new one."""
    judge = Judge(REFUSALS["AUTHENTICATION_FAILURE"])

    def dies(made: Service, number: int) -> None:
        if number == 1:
            judge.bad.add("1000.fresh-1")
            made.token_answers = list(answers)

    (_, second, third), made = runs(tmp_path, judge, JOBS[:1], JOBS[:2], JOBS[:2], between=dies)
    assert code_of(second) == code
    assert third.report.done == 1
    assert made.sent().count("1000.fresh-1") == 2
    assert made.sent()[2:] == [f"1000.fresh-{made.tokens}"]


def test_a_refused_token_leaves_the_keyring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A keyring that can only keep and give forgets as well."""
    kept: dict[tuple[str, str], str] = {}
    module = types.ModuleType("keyring")
    module.__spec__ = ModuleSpec("keyring", None)
    module.get_password = lambda *key: kept.get(key)  # type: ignore[attr-defined]
    module.set_password = lambda service, key, text: kept.__setitem__((service, key), text)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "keyring", module)
    judge = Judge(REFUSALS["AUTHENTICATION_FAILURE"], "1000.fresh-1", "1000.fresh-2")
    (first, second), made = runs(tmp_path, judge, JOBS[:1], JOBS[:1], token_cache="keyring")
    assert code_of(first) == "AUTHENTICATION_FAILURE"
    assert second.report.done == 1
    assert made.sent() == ["1000.fresh-1", "1000.fresh-2", "1000.fresh-3"]
    assert "1000.fresh-1" not in str(kept)


def test_a_wrong_scope_is_final(tmp_path: Path) -> None:
    """No other token of these credentials has another scope: one request, no second token."""
    judge = Judge(said(401, "OAUTH_SCOPE_MISMATCH"), "1000.fresh-1", "1000.fresh-2")
    (ran,), made = runs(tmp_path, judge, JOBS[:1])
    assert code_of(ran) == "OAUTH_SCOPE_MISMATCH"
    assert (len(made.asked), made.tokens) == (1, 1)


@pytest.mark.parametrize("count", [1, 10])
def test_a_refused_token_that_is_given_again_is_repeated_once_and_not_kept(
    tmp_path: Path, count: int
) -> None:
    """However many workers have it: one refresh, and no later run finds it in the cache."""
    same = http(200, json.dumps({"access_token": "1000.same", "expires_in": 3600}).encode())
    judge = Judge(REFUSALS["AUTHENTICATION_FAILURE"], "1000.same")

    def gives(made: Service, number: int) -> None:
        made.token_answers = [same] * 20 if not number else []

    (first, second), made = runs(
        tmp_path, judge, JOBS[:count], JOBS[:count], between=gives, window=FAST
    )
    assert code_of(first) == "AUTHENTICATION_FAILURE"
    assert second.report.done == count
    assert made.tokens == 3
    assert set(made.sent()[-count:]) == {"1000.fresh-3"}
    if count == 1:
        assert made.sent() == ["1000.same", "1000.same", "1000.fresh-3"]


@pytest.mark.parametrize(
    ("how", "code"),
    [("INVALID_TOKEN", "INVALID_TOKEN"), ("AUTHENTICATION_FAILURE", "AUTHENTICATION_FAILURE"),
     ("INVALID_OAUTHTOKEN", "INVALID_OAUTHTOKEN"), ("html", "AUTHENTICATION_FAILURE")],
)  # fmt: skip
def test_a_bare_token_that_is_refused_says_that_there_is_no_other(
    tmp_path: Path, how: str, code: str
) -> None:
    """One request, the server's code, and what to do about it."""
    judge = Judge(REFUSALS[how], "1000.plain")
    bare = Credentials(access_token=Secret("1000.plain"))
    (ran,), made = runs(tmp_path, judge, JOBS[:1], credentials=bare)
    assert ran.report.aborted is not None
    assert ran.report.aborted.code == code
    assert "there is no refresh token" in ran.report.aborted.message
    assert "Get a new access token" in ran.report.aborted.hint
    assert len(made.asked) == 1


def test_a_token_command_s_refused_token_is_never_sent_again(tmp_path: Path) -> None:
    """Not the same one, and not the one before it either."""
    state = tmp_path / "count"
    code = (
        "import pathlib, sys\n"
        "place = pathlib.Path(sys.argv[1])\n"
        "count = int(place.read_text()) if place.exists() else 0\n"
        "place.write_text(str(count + 1))\n"
        "print('1000.even' if count % 2 == 0 else '1000.odd')\n"
    )
    judge = Judge(REFUSALS["AUTHENTICATION_FAILURE"], "1000.even", "1000.odd")

    async def main() -> tuple[Ran, Service]:
        async with service(judge) as made:
            judge.made = made
            command = (sys.executable, "-c", code, str(state))
            told = account(made.url, token_command=command, window=FAST)
            return await fetch(settings(tmp_path, told), JOBS[:3]), made

    ran, made = asyncio.run(main())  # real processes on the real clock
    assert code_of(ran) == "AUTHENTICATION_FAILURE"
    assert ran.report.pending == 3
    assert set(made.sent()) <= {"1000.even", "1000.odd"}
    assert made.sent().count("1000.odd") <= 3
    assert int(state.read_text()) <= 3
