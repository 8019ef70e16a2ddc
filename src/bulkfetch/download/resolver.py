"""Names are looked up in threads that nobody waits for.

getaddrinfo(3) can neither be interrupted nor bounded: with a name server that is silent it lasts
minutes. The event loop's own threads are joined when the loop ends and when the interpreter does,
so one such call there keeps a process from ending. These threads are daemons: neither a caller
that gives up nor a process that ends waits for them.

A lookup that was given up goes on, and the next one for the same name shares its answer. Up to
MOST_THREADS calls for one name run side by side, since a name server may be back while an old call
still waits.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp.abc import AbstractResolver, ResolveResult

# Calls for one name under way in this process, most of which have been given up.
MOST_THREADS = 4

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
# macOS knows bits that its getaddrinfo(3) refuses.
_FLAGS = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", socket.AI_ADDRCONFIG)

_Waiter = tuple[asyncio.AbstractEventLoop, "asyncio.Future[list[ResolveResult]]"]


class _Question(NamedTuple):
    """What is looked up; `pid`, since threads do not live on in a forked child."""

    pid: int
    host: str
    port: int
    family: socket.AddressFamily


@dataclass(slots=True)
class _Lookup:
    """A question under way: how many threads ask it, and the callers that wait."""

    threads: int = 0
    waiters: set[_Waiter] = field(default_factory=set)


# Of all clients and loops of this process: the bound is the process's.
_lookups: dict[_Question, _Lookup] = {}
_guard = threading.Lock()


class Resolver(AbstractResolver):
    """Looks names up for one session, each within `within_s` seconds."""

    def __init__(self, within_s: float) -> None:
        self._within_s = within_s

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return the addresses of `host`.

        Raises OSError, as getaddrinfo(3) and where there is no answer in time.
        If cancelled: at once; the lookup goes on, for whoever asks next.
        """
        try:
            async with asyncio.timeout(self._within_s):
                return await _ask(_Question(os.getpid(), host, port, family))
        except TimeoutError:
            reason = f"no answer from the name service within {self._within_s:g} s"
        # Not a TimeoutError, nor raised from one: that would be the whole request's.
        raise socket.gaierror(socket.EAI_AGAIN, reason)

    async def close(self) -> None:
        """Do nothing: nothing is held."""


async def _ask(question: _Question) -> list[ResolveResult]:
    loop = asyncio.get_running_loop()
    mine: _Waiter = (loop, loop.create_future())
    with _guard:
        lookup = _lookups.setdefault(question, _Lookup())
        lookup.waiters.add(mine)
        begin = lookup.threads < MOST_THREADS
        lookup.threads += begin
    try:
        if begin:
            _begin(question)
        return await mine[1]
    finally:
        with _guard:
            lookup.waiters.discard(mine)


def _begin(question: _Question) -> None:
    thread = threading.Thread(
        target=_answer, args=(question,), name=f"lookup of {question.host}", daemon=True
    )
    try:
        thread.start()
    except RuntimeError as error:  # no more threads
        _settle(question, OSError(f"the name cannot be looked up: {error}"))


def _answer(question: _Question) -> None:
    answer: list[ResolveResult] | OSError
    try:
        answer = look_up(question.host, question.port, question.family)
    except OSError as error:
        answer = error
    except Exception as error:  # a name that no encoding takes is a UnicodeError
        answer = OSError(f"the name cannot be looked up: {error}")
    _settle(question, answer)


def _settle(question: _Question, answer: list[ResolveResult] | OSError) -> None:
    """Deliver an answer to every waiter, each in its own loop."""
    with _guard:
        lookup = _lookups[question]
        lookup.threads -= 1
        waiters = list(lookup.waiters)
        lookup.waiters.clear()
        if not lookup.threads:
            del _lookups[question]
    for loop, future in waiters:
        with suppress(RuntimeError):  # the loop is closed, and nobody waits any more
            loop.call_soon_threadsafe(_tell, future, answer)


def _tell(
    future: asyncio.Future[list[ResolveResult]], answer: list[ResolveResult] | OSError
) -> None:
    if future.done():
        return
    if isinstance(answer, OSError):
        # One of its own for each: an instance raised in two places mixes tracebacks.
        future.set_exception(type(answer)(*answer.args))
    else:
        future.set_result(list(answer))


def look_up(host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
    """Return the addresses of `host`, as aiohttp wants them. Raises OSError. Blocks."""
    found = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, flags=_FLAGS)
    results = []
    for kind, _, proto, _, address in found:
        if kind == socket.AF_INET6 and len(address) > 3 and address[3]:
            # A link-local address is of use only with its interface.
            numeric = socket.NI_NUMERICHOST | socket.NI_NUMERICSERV
            literal = socket.getnameinfo(address, numeric)[0]
        else:
            literal = str(address[0])
        results.append(
            ResolveResult(
                hostname=host,
                host=literal,
                port=int(address[1]),
                family=kind,
                proto=proto,
                flags=_NUMERIC,
            )
        )
    return results
