"""Settings that cannot work, as far as that is known without the network.

A client checks them before it creates a folder or starts anything, and `bulkfetch check` reports
them with the same code. Nothing here makes a request or changes anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bulkfetch.config import AccountSettings, Settings
from bulkfetch.config.sandbox_table import read_sandbox_options
from bulkfetch.destinations import require_destinations
from bulkfetch.errors import AccountError, BulkfetchError, ConfigError
from bulkfetch.extras import require_extra
from bulkfetch.job_forms import require_forms
from bulkfetch.zoho.token_choice import accounts_server, require_program, token_way


class SettingProblem(NamedTuple):
    """The error of one part of the settings; `account` is None if it is of no single account.

    A ConfigError prevents a run, an AccountError any request for one account.
    """

    part: str
    account: str | None
    error: BulkfetchError


def problems(settings: Settings, *, given_tokens: bool = False) -> Iterator[SettingProblem]:
    """Yield everything in the settings that cannot work.

    `given_tokens`: no account needs credentials, since its tokens come from elsewhere.
    """
    for account in settings.accounts:
        if not account.is_sandbox:
            yield from _problems_of(account, given_tokens)
    try:
        require_forms(settings)
    except ConfigError as error:
        yield SettingProblem("formats", None, error)
    if settings.window.shared is not None:
        try:
            _require_shared_window(settings)
        except ConfigError as error:
            yield SettingProblem("window.shared", None, error)
    try:
        require_destinations(settings)
    except ConfigError as error:
        yield SettingProblem("publish_to", None, error)
    if any(account.is_sandbox for account in settings.accounts) and settings.sandbox:
        try:
            read_sandbox_options(settings)
        except ConfigError as error:
            yield SettingProblem("sandbox", None, error)


def require_usable(settings: Settings, *, given_tokens: bool = False) -> None:
    """Raise the first ConfigError of `problems`, if any."""
    for problem in problems(settings, given_tokens=given_tokens):
        if isinstance(problem.error, ConfigError):
            raise problem.error


def require_authorities(ca_file: Path) -> None:
    """Raise ConfigError if a ca_file cannot be used."""
    import ssl  # late: few have one

    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=ca_file)
    except OSError as error:
        # OpenSSL's own message names a line of its source code.
        foreign = isinstance(error, ssl.SSLError)
        reason = "it contains no certificate in PEM form" if foreign else error.strerror
        raise ConfigError(
            f"ca_file {ca_file} cannot be used: {reason}",
            hint="It must contain certificates of authorities in PEM form (BEGIN CERTIFICATE).",
        ) from None


def _problems_of(account: AccountSettings, given_tokens: bool) -> Iterator[SettingProblem]:
    if account.ca_file is not None:
        try:
            require_authorities(account.ca_file)
        except ConfigError as error:
            yield SettingProblem("ca_file", account.name, error)
    if given_tokens:
        return
    try:
        way = token_way(account)
        if account.token_command is not None:
            require_program(account.token_command)
        if way == "refresh":
            accounts_server(account)
            _require_token_cache(account)
    except (AccountError, ConfigError) as error:
        yield SettingProblem("credentials", account.name, error)


def _require_shared_window(settings: Settings) -> None:
    require_extra("postgres", "window.shared needs")
    # Two names would be two windows of one account, and every host calls an unnamed one the same.
    if any(account.name == "default" and not account.is_sandbox for account in settings.accounts):
        raise ConfigError(
            "window.shared needs an account with a name: all hosts know it by that",
            hint="Instead of [account] write [accounts.NAME], the same NAME on every host.",
        )


def _require_token_cache(account: AccountSettings) -> None:
    if account.token_cache == "keyring":
        from bulkfetch.zoho.token_cache import import_keyring

        import_keyring()
