"""Runs of the real client, made for accounts of every kind: tokens, proxies, authorities."""

from __future__ import annotations

import random
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unittest.mock import patch

from tests.support.flow_clock import run_flow
from tests.support.flows import loop_windows

from bulkfetch import BulkfetchError, Client, Event, Job, Outcome, Report, Settings
from bulkfetch.config import AccountSettings, Credentials, Limits, WindowSettings
from bulkfetch.secret import Secret

T = TypeVar("T")


def run_whole(main: Coroutine[Any, Any, T], *, seed: int = 0) -> T:
    """Run `main` on the virtual clock, machine's windows included; backoffs are always the same."""
    random.seed(seed)
    # How often a sandbox that stalls looks whether its client has gone: each look is a step of the
    # clock.
    with loop_windows(), patch("bulkfetch.sandbox.wire._TICK_S", 1.0):
        return run_flow(main)


@dataclass
class Ran:
    """What a run came to. `error` is what iterating it raised, None for nothing."""

    report: Report
    outcomes: dict[str, Outcome]
    events: list[Event] = field(default_factory=list)
    error: BulkfetchError | None = None

    def told(self, kind: str, account: str | None = None) -> list[Event]:
        """The events of one kind, of one account or of all."""
        return [
            event
            for event in self.events
            if event.kind == kind and account in (None, event.account)
        ]

    def seen_codes(self, job_id: str) -> list[str]:
        """The codes of a job's failed attempts, those that were retried."""
        return [
            str(event.data["code"])
            for event in self.told("attempt_failed")
            if event.job_id == job_id and "code" in event.data
        ]


def token_of(account: str) -> Credentials:
    """An access token that the sandbox takes for an account of its own."""
    return Credentials(access_token=Secret(f"1000.token-of-{account}"))


def refresh_token_of(account: str) -> Credentials:
    """What a token can be got with: `client`, `hush`, `1000.refresh-of-…`."""
    return Credentials(
        client_id=Secret("client"),
        client_secret=Secret("hush"),
        refresh_token=Secret(f"1000.refresh-of-{account}"),
    )


def account(
    url: str,
    name: str = "default",
    credentials: Credentials | None = None,
    *,
    concurrency: int = 10,
    **more: Any,
) -> AccountSettings:
    """An account at `url`, API and accounts server in one, with Zoho's window of ten a minute."""
    return AccountSettings(
        **{
            "name": name,
            "api_domain": url,
            "accounts_url": url,
            "credentials": token_of(name) if credentials is None else credentials,
            "window": WindowSettings(concurrency=concurrency),
            **more,
        }
    )


def settings(folder: Path, *accounts: AccountSettings, **limits: Any) -> Settings:
    """Settings with everything on disk below `folder`."""
    return Settings(
        out=folder / "out",
        accounts=accounts,
        limits=Limits(**{"threads": 2, **limits}),
        state_dir=folder / "state",
    )


async def fetch(told: Settings, jobs: Iterable[str | Job]) -> Ran:
    """Fetch a list with a client of its own; each job is answered for once."""
    events: list[Event] = []
    outcomes: dict[str, Outcome] = {}
    error: BulkfetchError | None = None
    async with Client(told, on_event=events.append) as client:
        run = client.fetch(jobs)
        try:
            async for outcome in run:
                assert outcome.job_id not in outcomes, f"{outcome.job_id} is answered for twice"
                outcomes[outcome.job_id] = outcome
        except BulkfetchError as last:
            error = last
        return Ran(run.report, outcomes, events, error)
