"""The turn of threads that move bodies: one at a time, in order, and nobody waits for ever."""

from __future__ import annotations

import threading

from bulkfetch.transfer.turn import Turn

LONG_S = 60.0


class Mover(threading.Thread):
    """Takes one turn, notes its number, and keeps the turn until told to give it back."""

    def __init__(self, turn: Turn, number: int = 0, order: list[int] | None = None) -> None:
        super().__init__(daemon=True)
        self.has_it, self.let_go = threading.Event(), threading.Event()
        self._turn, self._number, self._order = turn, number, order

    def run(self) -> None:
        """Take the turn, and give it back when told."""
        with self._turn.taken():
            if self._order is not None:
                self._order.append(self._number)
            self.has_it.set()
            self.let_go.wait(LONG_S)


def waiting(turn: Turn, count: int) -> None:
    """Wait until so many stand in line."""
    while len(turn._line) < count:
        threading.Event().wait(0.001)


def test_first_come_first_served() -> None:
    """Who waits gets the turn in the order of coming, one at a time."""
    turn, order = Turn(LONG_S), list[int]()
    movers = [Mover(turn, number, order) for number in range(5)]
    for number, mover in enumerate(movers):
        mover.start()
        if number:
            waiting(turn, number)
        else:
            assert mover.has_it.wait(LONG_S)
    for number, mover in enumerate(movers):
        assert mover.has_it.wait(LONG_S)
        assert order == list(range(number + 1))
        mover.let_go.set()
        mover.join(LONG_S)
    assert order == [0, 1, 2, 3, 4]


def test_a_bench_is_nobody_elses() -> None:
    """Who needs blocks gets those that were put back last, or new ones while somebody has them."""
    turn = Turn(LONG_S)
    one, two = turn.bench(), turn.bench()
    assert one is not two
    turn.put_back(one)
    assert turn.bench() is one


def test_nobody_waits_for_ever() -> None:
    """Who has waited long enough goes without a turn, which stays his who has it."""
    turn = Turn(patience_s=0.01)
    hung, other = Mover(turn), Mover(turn)
    hung.start()
    assert hung.has_it.wait(LONG_S)
    other.start()
    assert other.has_it.wait(LONG_S)
    other.let_go.set()
    other.join(LONG_S)
    assert turn._is_taken  # still his who hangs
    hung.let_go.set()
    hung.join(LONG_S)
    assert not turn._is_taken
    assert not turn._line


def test_a_turn_comes_back_from_an_error() -> None:
    """Whoever fails while it is his turn gives it back."""
    turn = Turn(LONG_S)
    for _ in range(3):
        try:
            with turn.taken():
                raise OSError("the disk is gone")
        except OSError:
            assert not turn._is_taken
