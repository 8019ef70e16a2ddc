"""A request that was given up: it does not arrive later, when its slot is another one's."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from tests.support.net_hosts import missing, network, still_to_send, swallowing

from bulkfetch.download.session import open_session


@pytest.mark.skipif(bool(missing()), reason=f"a network of its own needs {missing()}")
def test_what_a_line_has_swallowed_is_not_sent_once_more() -> None:
    """By a kernel that would try for minutes: nothing of it is kept once the wait is over."""

    async def answered(_: web.BaseRequest) -> web.Response:
        return web.Response()

    async def give_up() -> None:
        runner = web.ServerRunner(web.Server(answered))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        port = runner.addresses[0][1]
        url = f"http://127.0.0.1:{port}/"
        async with open_session(secure=False) as session:
            await (await session.get(url)).read()
            with swallowing(port):
                asking = asyncio.create_task(session.get(url))
                while not still_to_send(port):
                    await asyncio.sleep(0)
                asking.cancel()
                await asyncio.wait((asking,))
                async with asyncio.timeout(20):
                    while still_to_send(port):
                        await asyncio.sleep(0)
        await runner.cleanup()

    with network(0):
        asyncio.run(give_up())
