"""A real browser without a window: Chromium, asked over its DevTools protocol."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


class Page:
    """One page of a browser; `events` are what it has told, in order."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.events: list[dict[str, Any]] = []
        self._socket = socket
        self._numbers = itertools.count(1)

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """Have the browser do something, and give its answer."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": params})
        while True:
            told = await self._socket.receive_json()
            if told.get("id") == number:
                assert "error" not in told, told
                result: dict[str, Any] = told["result"]
                return result
            self.events.append(told)

    async def open(self, url: str, *, width: int, scheme: str) -> None:
        """Show a page at a width of the window, light or dark, and wait until it is there."""
        for room in ("Page", "Runtime", "Log", "Network", "Accessibility"):
            await self.ask(f"{room}.enable")
        await self.ask(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=900, deviceScaleFactor=1, mobile=False,
        )  # fmt: skip
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.ask("Emulation.setEmulatedMedia", features=features)
        self.events.clear()
        await self.ask("Page.navigate", url=url)
        while not any(each.get("method") == "Page.loadEventFired" for each in self.events):
            self.events.append(await self._socket.receive_json())

    async def value(self, expression: str) -> Any:
        """Give the value of an expression in the page."""
        answer = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return answer["result"].get("value")


@asynccontextmanager
async def browser(folder: Path) -> AsyncIterator[Page]:
    """Start a browser with an empty profile in a folder, and give its page."""
    assert CHROMIUM is not None
    port_file = folder / "DevToolsActivePort"
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--no-first-run"]
    options += ["--remote-debugging-port=0", "--disable-dev-shm-usage", f"--user-data-dir={folder}"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([CHROMIUM, *options, "about:blank"], stdout=quiet, stderr=quiet)
    try:
        while not port_file.exists() or "\n" not in port_file.read_text():
            assert process.poll() is None, "the browser ended"
            await asyncio.sleep(0.05)
        at = f"http://127.0.0.1:{port_file.read_text().splitlines()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{at}/json/list") as answer:
                pages = [each for each in await answer.json() if each["type"] == "page"]
            where = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(where, max_msg_size=1 << 26) as socket:
                yield Page(socket)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
