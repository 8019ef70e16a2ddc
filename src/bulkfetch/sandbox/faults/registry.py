"""What a fault is, and the table of them all by name.

A fault is one coroutine that takes an exchange (the honest reply and the wire) and answers in its
own way. Its docstring says what the server does and goes into the tables of tests. A name may carry
an argument after a colon: `stall_in_body:2`, `limit_429_after:Wed, 21 Oct 2026 07:28:00 GMT`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches

from bulkfetch.sandbox.wire import Reply, Wire


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request being answered: what an honest server would say, and the way to say it.

    `arg` is what stood after the colon of the fault's name, "" for nothing.
    """

    wire: Wire
    reply: Reply
    arg: str = ""

    def seconds(self) -> float | None:
        """Return the argument as seconds; None (for ever) where there is none."""
        return float(self.arg) if self.arg else None


Act = Callable[[Exchange], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Fault:
    """A misbehaviour by name.

    `delivers`: a careful client still gets the right bytes from it. `before`: it strikes before the
    call is carried out, so that nothing of what was asked is done.
    """

    name: str
    does: str
    act: Act
    delivers: bool = False
    before: bool = False


FAULTS: dict[str, Fault] = {}


def fault(act: Act) -> Act:
    """Enter a coroutine into the table under its own name."""
    return _enter(act, delivers=False)


def harmless(act: Act) -> Act:
    """Enter a coroutine that is odd but delivers the right bytes."""
    return _enter(act, delivers=True)


def before(act: Act) -> Act:
    """Enter a coroutine that strikes before the call is carried out."""
    return _enter(act, delivers=False, before=True)


def add(name: str, does: str, act: Act) -> None:
    """Enter a fault under a name that is not its coroutine's."""
    FAULTS[name] = Fault(name, does, act)


class UnknownFault(ValueError):
    """There is no fault of this name. `hint` names one that is like it, else all."""

    def __init__(self, name: str) -> None:
        self.sentence = f"no fault is called {name[:60]!a}"
        near = get_close_matches(name, FAULTS, 1) or get_close_matches(name.upper(), FAULTS, 1)
        self.hint = f"did you mean {near[0]!r}?" if near else f"Available: {', '.join(FAULTS)}."
        super().__init__(f"{self.sentence}; {self.hint}")


def lookup(name: str) -> tuple[Fault, str]:
    """Return the fault and argument that a name stands for. Raises UnknownFault."""
    plain, _, arg = name.partition(":")
    if plain not in FAULTS:
        raise UnknownFault(plain)
    if FAULTS[plain].before and arg:
        lookup(arg)
    return FAULTS[plain], arg


def _enter(act: Act, *, delivers: bool, before: bool = False) -> Act:
    name = act.__name__
    FAULTS[name] = Fault(name, " ".join((act.__doc__ or "").split()), act, delivers, before)
    return act
