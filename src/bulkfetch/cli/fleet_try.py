"""`bulkfetch fleet try`: a fleet on this machine that loses workers and no file."""

from __future__ import annotations

import random
from contextlib import ExitStack
from typing import TYPE_CHECKING

import click

from bulkfetch.cli import exit_codes
from bulkfetch.cli.printer import Printer

if TYPE_CHECKING:
    from bulkfetch.fleet.trial import TrialFigures, TrialPlan

_ABOUT = """\b
Examples:
  bulkfetch fleet try
  bulkfetch fleet try --accounts 20 --seconds 60

Try a fleet out on this machine, with nothing but Python: a PostgreSQL that pip has installed, the
sandbox in place of Zoho, a folder as the store, and three workers, of which some are killed and
replaced while they fetch results and export modules. At the end each file in the store is compared
with what was served, and each request with the limit. Nothing is left behind. It needs the extras
fleet and fleet-try.
"""

_EPILOG = exit_codes.epilog(
    s0="every result and export is in the store once, and no limit was exceeded",
    s1="that is not so",
    s2="an extra is missing, or the database does not start",
    s130="interrupted",
)


@click.command("try", help=_ABOUT, short_help="Try a fleet on this machine.", epilog=_EPILOG)
@click.option(
    "--accounts",
    type=click.IntRange(2, 1_000),
    default=100,
    help="Number of accounts. Default: 100.",
)
@click.option(
    "--seconds",
    type=click.IntRange(12, 3_600),
    default=30,
    help="About how long it takes on a machine that is fast enough. Default: 30.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the figures as a line of JSON.")
@click.pass_obj
def try_(printer: Printer, accounts: int, seconds: int, as_json: bool) -> int:
    """Do a trial, and return the exit status."""
    from bulkfetch.extras import require_extra

    printer.json = as_json
    require_extra("fleet", "a fleet needs")
    require_extra("fleet-try", "a trial of a fleet needs")
    from bulkfetch.fleet.trial import plan_of

    dice = random.Random()
    figures = _try(printer, plan_of(accounts, seconds, dice), dice)
    faults = figures.faults()
    printer.result(_text(figures), _record(figures))
    for fault in faults:
        printer.error(fault)
    return exit_codes.FAILED if faults else exit_codes.DONE


def _try(printer: Printer, plan: TrialPlan, dice: random.Random) -> TrialFigures:
    import tempfile
    from pathlib import Path

    from bulkfetch.cli.signals import ignored_signals, run_in_loop
    from bulkfetch.fleet.embedded import EmbeddedPostgres
    from bulkfetch.fleet.trial import Trial
    from bulkfetch.fleet.trial_workers import TrialWorkers

    stack = ExitStack()
    try:
        # Two folders: the database's is open to the user who runs it, the other one to nobody else.
        at = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkfetch-pg-")))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bulkfetch-try-")))
        printer.note("starting a PostgreSQL in a folder of its own")
        url = stack.enter_context(EmbeddedPostgres(at)).url()
        workers = stack.enter_context(TrialWorkers(folder, url))
        return run_in_loop(Trial(plan, url, workers, dice, printer.note).run())
    finally:
        with ignored_signals():
            stack.close()


def _text(figures: TrialFigures) -> str:
    from bulkfetch.fleet.trial import exports_words

    plan = figures.plan
    return (
        f"{figures.right:,} of {plan.results:,} results are in the store, each once and as it was "
        f"served\n{figures.exported} of {exports_words(plan)} each are published whole\n"
        f"{figures.killed} workers were killed and replaced within {figures.elapsed_s:.0f} "
        f"s\nat most {figures.worst} requests of one account in any {plan.period_s:g} s; "
        f"{figures.refused} refused\n{figures.repeats} results were asked for once more, which a "
        "killed worker had not brought home"
    )


def _record(figures: TrialFigures) -> dict[str, object]:
    plan = figures.plan
    return {
        "type": "trial",
        "accounts": plan.accounts,
        "results": plan.results,
        "right": figures.right,
        "others": figures.others,
        "exports": plan.exports,
        "exported": figures.exported,
        "killed": figures.killed,
        "requests": figures.requests,
        "repeats": figures.repeats,
        "worst": figures.worst,
        "refused": figures.refused,
        "elapsed_s": round(figures.elapsed_s, 1),
        "ok": not figures.faults(),
    }
