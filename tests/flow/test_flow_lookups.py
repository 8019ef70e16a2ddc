"""Names that nobody answers for: bounded, without cost, and held by nobody's thread."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import aiohttp
import pytest
from tests.support.flow_clock import run_flow
from tests.support.flows import ids, loop_windows, settings_for, small

from bulkfetch import Client, Outcome
from bulkfetch.download import resolver
from bulkfetch.download.resolver import MOST_THREADS, Resolver
from bulkfetch.download.session import open_session
from bulkfetch.sandbox import Sandbox


class NameServer:
    """Answers in place of the system's, or hangs until the test is over.

    `silent` questions hang, then the rest are answered with this machine.
    """

    def __init__(self, silent: int) -> None:
        self.asked: list[str] = []
        self.threads: list[threading.Thread] = []
        self.over = threading.Event()
        self._silent = silent

    def look_up(self, host: str, port: int, family: socket.AddressFamily) -> object:
        self.asked.append(host)
        self.threads.append(threading.current_thread())
        if len(self.asked) <= self._silent:
            self.over.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "the test is over")
        return [
            {
                "hostname": host,
                "host": "127.0.0.1",
                "port": port,
                "family": socket.AF_INET,
                "proto": 0,
                "flags": 0,
            }
        ]


@contextmanager
def name_server(silent: int) -> Iterator[NameServer]:
    """Play a name server for a while."""
    server = NameServer(silent)
    with patch.object(resolver, "look_up", server.look_up):
        try:
            yield server
        finally:
            server.over.set()
            for thread in server.threads:
                thread.join()


def test_a_name_server_that_is_silent(tmp_path: Path) -> None:
    """Lookups are given up after connect_s and cost nothing; in the end the account ends."""

    async def main() -> None:
        with loop_windows() as windows:
            made = settings_for("http://localhost:9", tmp_path, limits={"connect_s": 7.0})
            async with Client(made) as client:
                run = client.fetch(ids(30))
                started = asyncio.get_running_loop().time()
                outcomes: list[Outcome] = [outcome async for outcome in run]
                assert {(each.status, each.attempts) for each in outcomes} == {("pending", 0)}
                codes = {each.error.code for each in outcomes if each.error is not None}
                assert codes == {"UNREACHABLE"}
                assert "no answer from the name service within 7 s" in str(outcomes[0].error)
                assert run.report.requests == 0
                assert windows[0].state().free == 10
                # Eight in a row, each bounded, and the pauses between them.
                assert asyncio.get_running_loop().time() - started < 8 * 7 + 8 * 60

    with name_server(10_000) as server:
        run_flow(main())
        assert len(server.threads) <= MOST_THREADS
        assert all(thread.daemon for thread in server.threads)


def test_a_name_server_that_comes_back(tmp_path: Path) -> None:
    """Jobs wait for it and are all done, each by one request."""

    async def main() -> None:
        async with Sandbox(small()) as sandbox:
            url = sandbox.url.replace("127.0.0.1", "localhost")
            with loop_windows():
                made = settings_for(url, tmp_path, limits={"connect_s": 5.0})
                async with Client(made) as client:
                    run = client.fetch(ids(8))
                    told = [(each.status, each.attempts) async for each in run]
                    assert told == [("done", 1)] * 8
            assert len(sandbox.results()) == 8

    with name_server(2):
        run_flow(main())


def test_a_slow_lookup_and_a_short_patience_for_answers(tmp_path: Path) -> None:
    """What has no connection when the time for an answer is over costs no slot and no try."""

    async def main() -> None:
        with loop_windows() as windows:
            limits = {"connect_s": 20.0, "headers_s": 1.0, "tries": 1}
            made = settings_for("http://localhost:9", tmp_path, limits=limits)
            async with Client(made) as client:
                run = client.fetch(ids(2))
                told = [(each.status, each.attempts) async for each in run]
                assert told == [("pending", 0)] * 2
                assert windows[0].state().free == 10

    with name_server(10_000):
        run_flow(main())


def test_a_stop_during_a_lookup(tmp_path: Path) -> None:
    """A stopped run gives its slots back where nothing was sent."""

    async def main() -> None:
        with loop_windows() as windows:
            async with Client(settings_for("http://localhost:9", tmp_path)) as client:
                run = client.fetch(ids(3))
                asyncio.get_running_loop().call_later(1.0, run.stop)
                assert {each.status async for each in run} == {"pending"}
                assert run.report.requests == 0
                assert windows[0].state().free == 10

    with name_server(10_000):
        run_flow(main())


def test_lookups_are_shared_and_cancelled_at_once() -> None:
    """Who asks for a name that is looked up waits with the others; who gives up holds nobody up."""

    async def main() -> None:
        resolvers = [Resolver(1000.0) for _ in range(MOST_THREADS + 3)]
        waiting = [asyncio.create_task(each.resolve("crm.example", 443)) for each in resolvers]
        while len(server.asked) < MOST_THREADS:
            await asyncio.sleep(0.01)
        waiting[0].cancel()
        await asyncio.wait([waiting[0]])
        assert waiting[0].cancelled()
        assert len(server.asked) == MOST_THREADS
        # Another name is not held up.
        other = asyncio.create_task(resolvers[0].resolve("other.example", 443))
        (answer,) = await other
        assert answer["host"] == "127.0.0.1"
        server.over.set()
        answers = await asyncio.gather(*waiting[1:], return_exceptions=True)
        assert {type(answer) for answer in answers} == {socket.gaierror}
        assert len({id(answer) for answer in answers}) == len(answers)

    with name_server(MOST_THREADS) as server:
        asyncio.run(main())
    assert resolver._lookups == {}


def test_what_the_system_says_is_what_is_used() -> None:
    """Real names are resolved as aiohttp's own resolver does, and real errors are OSErrors."""

    async def main() -> None:
        ours = await Resolver(30.0).resolve("localhost", 80, socket.AF_UNSPEC)
        theirs = await aiohttp.ThreadedResolver().resolve("localhost", 80, socket.AF_UNSPEC)
        assert ours == theirs
        for name in ("no such name.invalid", "x" * 300, "\udcff.example"):
            with pytest.raises(OSError, match=r"."):
                await Resolver(30.0).resolve(name, 80)

    asyncio.run(main())


def test_no_lookup_is_left_to_the_event_loop() -> None:
    """The session asks our resolver, whatever the request is for."""

    async def main() -> None:
        async with open_session(connect_s=0.05, secure=False) as session:
            loop = asyncio.get_running_loop()
            with patch.object(loop, "getaddrinfo", side_effect=AssertionError("in the loop")):
                for proxy in (None, "http://proxy.example:3128"):
                    with pytest.raises(aiohttp.ClientConnectorDNSError, match=r"0\.05 s"):
                        await session.post("http://crm.example/oauth/v2/token", proxy=proxy)

    with name_server(10_000):
        asyncio.run(main())
