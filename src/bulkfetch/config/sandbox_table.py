"""[sandbox] of jobs.toml → options of the stand-in, or one sentence that says what is wrong.

The options are the stand-in's own matter: it is imported only where an account wants it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from bulkfetch.config.complaints import complaint_later
from bulkfetch.config.misfit import Misfit, misfits
from bulkfetch.config.settings import Settings

if TYPE_CHECKING:
    from bulkfetch.sandbox import SandboxOptions


def read_sandbox_options(settings: Settings) -> SandboxOptions:
    """Return the options of the stand-in. Raises ConfigError with file, key and line."""
    from bulkfetch.sandbox import SandboxOptions  # late: it takes a server to import it

    try:
        options = SandboxOptions.from_json(json.dumps(dict(settings.sandbox), default=_no_json))
        found = next(_unknown_faults(options), None)
    except ValidationError as error:
        found = next(misfits(error, SandboxOptions))
    if found is None:
        return options
    raise complaint_later(found.below("sandbox"), settings)


def _no_json(value: object) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    return f"{type(value).__name__} {value}"  # a date or time of TOML: no option takes such a text


def _unknown_faults(options: SandboxOptions) -> Iterator[Misfit]:
    from bulkfetch.sandbox import UnknownFault, lookup

    for path, names in _fault_names(options):
        for place, name in enumerate(names):
            try:
                _ = name and lookup(name)
            except UnknownFault as error:
                yield Misfit(f": {error.sentence}", (*path, place), hint=error.hint)


def _fault_names(options: SandboxOptions) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    for key, names in options.faults.items():
        yield ("faults", key), names
    for number, rule in enumerate(options.rules):
        yield ("rules", number, "faults"), rule.faults
    for key, job in options.jobs.items():
        yield ("jobs", key, "faults"), job.faults
    for key, plans in options.plans.items():
        for number, plan in enumerate(plans):
            yield ("plans", key, number, "faults"), plan.faults
