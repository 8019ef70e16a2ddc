"""What the environment says about one account."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bulkfetch.config.hosts import server_url
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.settings import Credentials
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

_SECRETS = ("access_token", "client_id", "client_secret", "refresh_token")
_SERVERS = ("api_domain", "accounts_url")


class FromEnvironment(NamedTuple):
    """Credentials, and by the setting's name the servers that are set, and where each was set."""

    credentials: Credentials
    servers: Mapping[str, str]
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
    found: dict[str, str] = {}
    origins: dict[str, str] = {}
    for setting in (*_SECRETS, *_SERVERS):
        name = f"{prefix}ZOHO_{setting.upper()}"
        for source, label in ((secrets, "secrets_file"), (env, "environment")):
            if value := source.get(name, "").strip():
                found[setting], origins[setting] = value, f"{label} {name}"
    given = {setting: Secret(found[setting]) for setting in _SECRETS if setting in found}
    try:
        credentials = Credentials(**given)
    except Misfit as error:
        setting = str(error.path[0])
        raise ConfigError(f"{origins[setting]} {error.sentence}", hint=error.hint) from None
    servers = {setting: found[setting] for setting in _SERVERS if setting in found}
    for setting, value in servers.items():
        try:
            servers[setting] = server_url(value)
        except ValueError as error:
            raise ConfigError(f"{origins[setting]} {error}") from None
    return FromEnvironment(
        credentials, servers, origins, _half_set(credentials, prefix, other_source)
    )


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
