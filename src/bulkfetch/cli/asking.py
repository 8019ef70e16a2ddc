"""Questions to Zoho beside any run: no output folder, no slot of the window, only credits."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

from bulkfetch.cli.printer import Printer
from bulkfetch.cli.settings_source import load
from bulkfetch.cli.signals import run_in_loop
from bulkfetch.errors import ConfigError

if TYPE_CHECKING:
    from bulkfetch.access import AccountOpener
    from bulkfetch.config import Settings
    from bulkfetch.control.client import ControlClient
    from bulkfetch.events import Event

T = TypeVar("T")


def ask(
    printer: Printer,
    settings_file: str | None,
    data_center: str | None,
    account: str | None,
    question: Callable[[ControlClient], Awaitable[T]],
) -> T:
    """Load the settings, ask one account, and return what the question does.

    `account` None: the only one, or the one named `default`. The file may be that of a fleet.
    Raises ConfigError, and what the question raises.
    """
    settings = _settings(settings_file, data_center, account)
    printer.warn(*settings.warnings)
    name = settings.default_account
    if name is None:
        from bulkfetch.config.misfit import listed

        names = listed([each.name for each in settings.accounts])
        raise ConfigError("there are several accounts", hint=f"Add --account: one of {names}.")

    async def with_accounts(accounts: AccountOpener) -> T:
        return await question(await accounts.control(name))

    return ask_accounts(printer, settings, with_accounts)


def _settings(settings_file: str | None, data_center: str | None, account: str | None) -> Settings:
    from bulkfetch.config.document import has_key
    from bulkfetch.config.fleet import load_fleet

    if data_center is not None or settings_file is None or not has_key(settings_file, "fleet"):
        return load(settings_file, data_center, account=account)
    fleet = load_fleet(settings_file)
    names = [each.name for each in fleet.settings.accounts]
    if account is None and len(names) > 1:
        return fleet.settings
    # As in a turn: the database counts the credits, for all hosts.
    return fleet.of_account(account or names[0], fleet.fleet.staging)


def ask_accounts(
    printer: Printer, settings: Settings, work: Callable[[AccountOpener], Awaitable[T]]
) -> T:
    """Open the accounts of settings, and return what `work` does with them.

    Raises ConfigError where the settings cannot work, and what `work` raises.
    """
    from bulkfetch.access import AccountOpener
    from bulkfetch.readiness import require_usable

    def emit(event: Event) -> None:
        if event.kind == "note":
            printer.note(event.message)

    async def main() -> T:
        accounts = AccountOpener(settings, emit)
        try:
            return await work(accounts)
        finally:
            await accounts.aclose()

    require_usable(settings)
    return run_in_loop(main())
