"""Which fault is due: scripts that are used up attempt by attempt, and rules of chance."""

from __future__ import annotations

from collections import deque
from random import Random

from bulkfetch.sandbox.faults import Fault, lookup
from bulkfetch.sandbox.jobs import Jobs
from bulkfetch.sandbox.options import SandboxOptions


class Scripts:
    """The faults to come of one sandbox. Raises ValueError for names that do not exist."""

    def __init__(self, options: SandboxOptions, jobs: Jobs) -> None:
        self._options = options
        self._jobs = jobs
        self._scripts: dict[str, deque[str]] = {}
        for names in options.faults.values():
            check(names)
        for spec in options.jobs.values():
            check(spec.faults)
        for rule in options.rules:
            check(rule.faults)
        for plans in options.plans.values():
            for plan in plans:
                check(plan.faults)

    def append(self, key: str, *names: str) -> None:
        """Append faults to the script of a job id, or of a kind of call."""
        check(names)
        if key not in self._scripts:
            self._scripts[key] = deque(self._first_script(key))
        self._scripts[key].extend(names)

    def restart(self, key: str) -> None:
        """Let a script begin anew."""
        self._scripts.pop(key, None)

    def of_result(self, job_id: str, attempt: int) -> tuple[Fault, str] | None:
        found = self.next(job_id)
        if found is not None:
            return found
        for rule in self._options.rules:
            chance = Random(f"{rule.seed}/{job_id}/{attempt}")
            within = rule.attempts is None or attempt <= rule.attempts
            if within and chance.random() < rule.share:
                return lookup(chance.choice(rule.faults))
        return None

    def of_call(self, kind: str, module: str | None) -> tuple[Fault, str] | None:
        """Return the fault due to a call: that of its kind for its module, else of its kind."""
        return (self.next(f"{kind}:{module}") if module else None) or self.next(kind)

    def next(self, key: str) -> tuple[Fault, str] | None:
        script = self._scripts.get(key)
        if script is None:
            names = self._first_script(key)
            if not names:
                return None
            script = self._scripts[key] = deque(names)
        name = script.popleft() if script else ""
        return lookup(name) if name else None

    def _first_script(self, key: str) -> tuple[str, ...]:
        spec = self._jobs.spec_of(key)
        return (*self._options.faults.get(key, ()), *(() if spec is None else spec.faults))


def check(names: tuple[str, ...]) -> None:
    """Raise ValueError where one of `names` is no fault; "" stands for none."""
    for name in names:
        if name:
            lookup(name)
