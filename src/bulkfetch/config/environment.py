"""What the environment says about one account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bulkfetch.config.hosts import server_url
from bulkfetch.config.settings import Credentials
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret, is_sendable

_QUOTES = "\"'`"


class FromEnvironment(NamedTuple):
    """Credentials and addresses, None where not set; `origins` by the setting's name."""

    credentials: Credentials
    api_domain: str | None
    accounts_url: str | None
    origins: Mapping[str, str]
    warnings: tuple[str, ...]


def read_environment(
    env: Mapping[str, str], secrets: Mapping[str, str], prefix: str, other_source: bool
) -> FromEnvironment:
    """Return an account's variables, from the environment or else from its secrets file.

    `prefix` stands before each name. `other_source` says that a token comes from elsewhere
    (`token_command`), so that a half set of variables does no harm. Raises ConfigError for a value
    that cannot be meant; it names the variable and never tells the value.
    """
    origins: dict[str, str] = {}

    def look(setting: str) -> str | None:
        name = f"{prefix}ZOHO_{setting.upper()}"
        for source, label in ((env, "environment"), (secrets, "secrets_file")):
            if value := source.get(name, "").strip():
                origins[setting] = f"{label} {name}"
                return value
        return None

    def secret(setting: str) -> Secret | None:
        value = look(setting)
        if value is not None and (slip := _slip(value)) is not None:
            raise ConfigError(
                f"{origins[setting]} {slip}",
                hint="It must be the bare value: no quotes, no header name, one line.",
            )
        return None if value is None else Secret(value)

    def server(setting: str) -> str | None:
        value = look(setting)
        try:
            return None if value is None else server_url(value)
        except ValueError as error:
            raise ConfigError(f"{origins[setting]} {error}") from None

    credentials = Credentials(
        access_token=secret("access_token"),
        client_id=secret("client_id"),
        client_secret=secret("client_secret"),
        refresh_token=secret("refresh_token"),
    )
    return FromEnvironment(
        credentials=credentials,
        api_domain=server("api_domain"),
        accounts_url=server("accounts_url"),
        origins=origins,
        warnings=_half_set(credentials, prefix, other_source),
    )


def _slip(value: str) -> str | None:
    """Return what is wrong with a secret, None where nothing is; never the value."""
    if not is_sendable(value):
        return "holds spaces or unprintable characters"
    # A shell takes them away, a file of KEY=VALUE lines for docker or systemd may not.
    return "is in quotes" if value[0] in _QUOTES or value[-1] in _QUOTES else None


def _half_set(credentials: Credentials, prefix: str, other_source: bool) -> tuple[str, ...]:
    parts = ("client_id", "client_secret", "refresh_token")
    missing = [part for part in parts if getattr(credentials, part) is None]
    if len(missing) in (0, len(parts)):
        return ()
    names = " and ".join(f"{prefix}ZOHO_{part.upper()}" for part in missing)
    sentence = f"{names} not set although other parts of the credentials are"
    if other_source or credentials.access_token is not None:
        return (f"{sentence}; the access token will not be renewed by them",)
    raise ConfigError(sentence, hint="Set all three, or none of them.")
