"""What is kept of a run's events: bounded, however many there are."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from bulkfetch.observe.report.series import Series, peak, total

# Requests of an account that are drawn one by one; more are drawn as a curve.
DRAWN_REQUESTS = 400
# Codes of failures, exports and accounts that are listed by name; the rest is one group.
MOST_NAMED = 50
OTHERS = "(others)"

STAGES = ("slot", "connection", "body", "unpack")


class Durations:
    """Seconds: how many, their sum and greatest, and any quantile to within a tenth."""

    def __init__(self) -> None:
        self.count = 0
        self.sum_s = 0.0
        self.most_s = 0.0
        self._steps: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Take in a duration."""
        seconds = max(0.0, seconds)
        self.count += 1
        self.sum_s += seconds
        self.most_s = max(self.most_s, seconds)
        self._steps[round(math.log(max(seconds, 1e-3), 1.1))] += 1

    def quantile(self, share: float) -> float:
        """Return what so large a share of the durations does not exceed; 0 without any."""
        left = share * self.count
        for step in sorted(self._steps):
            left -= self._steps[step]
            if left <= 0:
                return min(1.1**step, self.most_s) if step > round(math.log(1e-3, 1.1)) else 0.0
        return self.most_s


@dataclass
class DrawnRequest:
    """A request that is drawn: its slot's lane, and when it was taken, answered, and is free."""

    lane: int
    job: str
    taken_s: float
    settled_s: float | None = None
    back_s: float | None = None
    end: str = ""


class Window:
    """The window of one account: which slots were used when, and how many in any period."""

    def __init__(self) -> None:
        self.requests = 10
        self.period_s = 60.0
        self.known = False
        self.count = 0
        self.most_taken = 0  # leaving in any period
        self.most_answered = 0  # answered in any period
        self.used = peak()  # slots that are out or not back yet
        self.most_used = 0
        self.drawn: list[DrawnRequest] = []
        self.ends: Counter[str] = Counter()
        self.marks: Counter[str] = Counter()
        self.marked: list[tuple[float, str]] = []
        self._taken: deque[float] = deque()
        self._answered: deque[float] = deque()
        self._out: dict[str, deque[tuple[float, DrawnRequest | None]]] = {}
        self._back: list[float] = []  # when slots come back, sorted
        self._out_count = 0
        self._lanes: list[float] = []  # when each is free again; inf while it is in use
        self._at_s = 0.0

    def taken(self, at_s: float, job: str) -> None:
        """Take in that a slot was taken."""
        self.count += 1
        self.move(at_s)
        self._out_count += 1
        self.most_taken = max(self.most_taken, _rolling(self._taken, at_s, self.period_s))
        drawn = None
        if self.count <= DRAWN_REQUESTS:
            drawn = DrawnRequest(self._lane(at_s), job, at_s)
            self.drawn.append(drawn)
        else:
            self.drawn = []
        self._out.setdefault(job, deque()).append((at_s, drawn))
        self._note(at_s)

    def settled(self, at_s: float, job: str, end: str, back_in_s: float) -> None:
        """Take in how a slot's request ended."""
        self.ends[end] += 1
        self.move(at_s)
        waiting = self._out.get(job)
        if not waiting:
            return  # taken before the file begins
        _, drawn = waiting.popleft()
        if not waiting:
            del self._out[job]
        self._out_count -= 1
        if end == "unused":
            self.count -= 1
            if drawn is not None and drawn in self.drawn:
                self.drawn.remove(drawn)
                self._lanes[drawn.lane] = at_s
            return
        if back_in_s:
            back = at_s + back_in_s
            self._back.insert(bisect_left(self._back, back), back)
        answered = _rolling(self._answered, at_s, self.period_s)
        self.most_answered = max(self.most_answered, answered)
        if drawn is not None:
            drawn.settled_s, drawn.back_s, drawn.end = at_s, at_s + back_in_s, end
            self._lanes[drawn.lane] = at_s + back_in_s
        self._note(at_s)

    def mark(self, at_s: float, kind: str) -> None:
        """Note that something happened to the account."""
        self.marks[kind] += 1
        if len(self.marked) < DRAWN_REQUESTS:
            self.marked.append((at_s, kind))

    def move(self, at_s: float) -> None:
        """Let time pass: slots come back."""
        while self._back and self._back[0] <= at_s:
            back = self._back[0]
            self.used.hold(self._at_s, back, len(self._back) + self._out_count)
            self._at_s = max(self._at_s, back)
            self._back.pop(0)
        if at_s > self._at_s:
            self.used.hold(self._at_s, at_s, len(self._back) + self._out_count)
            self._at_s = at_s

    def _note(self, at_s: float) -> None:
        used = len(self._back) + self._out_count
        self.most_used = max(self.most_used, used)
        self.used.add(at_s, used)

    def _lane(self, at_s: float) -> int:
        # A slot's end is known to the millisecond.
        free = [lane for lane, free_s in enumerate(self._lanes) if free_s <= at_s + 0.005]
        lane = free[0] if free else len(self._lanes)
        if not free:
            self._lanes.append(0.0)
        self._lanes[lane] = math.inf
        return lane


def _rolling(times: deque[float], at_s: float, period_s: float) -> int:
    """Add a time, and return how many there are in the period that ends with it."""
    times.append(at_s)
    while times[0] <= at_s - period_s:
        times.popleft()
    return len(times)


@dataclass
class Failures:
    """Failures of one code: of attempts that were tried again, and of jobs for good."""

    code: str
    attempts: int = 0
    jobs: int = 0
    example: str = ""
    job: str = ""
    hint: str = ""


@dataclass
class ExportTally:
    """What became of an export's pages."""

    created: int = 0
    polled: int = 0
    ready: int = 0
    counted: int = 0
    again: int = 0
    records: int = 0
    published: bool = False


@dataclass
class Tally:
    """A run. `ended` is None where its last line is missing: it was killed, or still runs."""

    started: str = ""
    version: str = ""
    command: str = ""
    last_s: float = 0.0
    ended: dict[str, int] | None = None
    done: int = 0
    failed: int = 0
    retried: int = 0
    file_bytes: int = 0
    received_bytes: int = 0
    lost_events: int = 0
    windows: dict[str, Window] = field(default_factory=dict)
    bytes: Series = field(default_factory=total)
    stages: dict[str, Durations] = field(
        default_factory=lambda: {stage: Durations() for stage in STAGES}
    )
    busy: dict[str, Series] = field(default_factory=lambda: {stage: total() for stage in STAGES})
    jobs: Durations = field(default_factory=Durations)
    failures: dict[str, Failures] = field(default_factory=dict)
    exports: dict[str, ExportTally] = field(default_factory=dict)
    notes: Counter[str] = field(default_factory=Counter)

    def window(self, account: str) -> Window:
        """Return an account's window."""
        return self.windows.setdefault(_bounded(account, self.windows), Window())

    def failures_of(self, code: str) -> Failures:
        """Return the failures of a code."""
        code = _bounded(code, self.failures)
        return self.failures.setdefault(code, Failures(code))

    def export(self, name: str) -> ExportTally:
        """Return what became of an export."""
        return self.exports.setdefault(_bounded(name, self.exports), ExportTally())


def _bounded(name: str, known: Mapping[str, object]) -> str:
    """Return the name, OTHERS for a new one where there are too many already."""
    return name if name in known or len(known) < MOST_NAMED else OTHERS
