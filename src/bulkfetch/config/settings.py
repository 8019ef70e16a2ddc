"""What can be set, as frozen values.

Each `…Table` is what one table of jobs.toml may hold; the settings made of it add what comes from
the environment, so that no secret has a key in the file. Nothing here reads a file, a variable or
the clock. Every value pickles, for settings may cross a process boundary.
"""

from __future__ import annotations

import re
import string
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    SecretStr,
)

from bulkfetch.config.hosts import is_loopback, server_url
from bulkfetch.config.names import unsafe_stem
from bulkfetch.config.proxies import Proxies
from bulkfetch.config.sizes import parse_size
from bulkfetch.errors import ConfigError
from bulkfetch.models import is_job_id

DataCenter = Literal["us", "eu", "in", "au", "jp", "cn", "ca", "sa", "uk", "ae", "sandbox"]

# Zoho: "Only 10 requests for download are allowed for one-minute interval."
ZOHO_REQUESTS = 10
ZOHO_PERIOD_S = 60.0
# The download page documents this path without `bulk` once, in prose; its own sample, the other
# endpoints and the SDK all have it. Hence the default, and hence a setting.
RESULT_PATH = "/crm/bulk/{version}/read/{job_id}/result"


def _matching(pattern: str, should: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def check(text: str) -> str:
        if compiled.fullmatch(text) is None:
            raise ValueError(f"should be {should}")
        return text

    return check


def _result_path(template: str) -> str:
    # A path of "//host/…" or with a scheme would name another server when joined to the domain.
    if re.fullmatch(r"/(?!/)[A-Za-z0-9._~!$&'()*+,;=:@%/{}-]+", template, re.ASCII) is None:
        raise ValueError("should be a path that begins with one slash")
    try:
        parts = [part[1:] for part in string.Formatter().parse(template) if part[1] is not None]
    except ValueError:
        parts = [("", "", None)]
    plain = {("version", "", None), ("job_id", "", None)}
    if not set(parts) <= plain or ("job_id", "", None) not in parts:
        raise ValueError("should hold {job_id}, may hold {version}, and no other braces")
    return template


def _account_name(name: str) -> str:
    if len(name) > 64 or re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name, re.ASCII) is None:
        raise ValueError("should be 1 to 64 letters, digits, dots, dashes or underscores")
    return name


def _job_id(text: str) -> str:
    if not is_job_id(text):
        raise ValueError("should be a job id: 1 to 20 digits such as 554023000000568002")
    return text


def _stem(name: str) -> str:
    if (reason := unsafe_stem(name)) is not None:
        raise ValueError(f"cannot be a file's name: it {reason}")
    return name


def _path(path: Path) -> Path:
    if "\0" in str(path):
        raise ValueError("should be a path without NUL")
    return path


Size = Annotated[int, BeforeValidator(parse_size), Field(gt=0, lt=2**62)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]
Lax = Field(strict=False)  # TOML has neither paths nor tuples
FilePath = Annotated[Path, Lax, AfterValidator(_path)]
ServerUrl = Annotated[str, AfterValidator(server_url)]
AccountName = Annotated[str, AfterValidator(_account_name)]
Argument = Annotated[str, AfterValidator(_matching(r"[^\x00]+", "a text without NUL"))]


class _Frozen(BaseModel):
    # Strict, so that true is no number and "10" no ten; inputs stay out of errors: one may be a
    # token that somebody wrote into the wrong place.
    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class WindowSettings(_Frozen):
    """How many result requests may reach the server: `requests` in any rolling `period_s`.

    `margin_s` is added to the period. `concurrency` bounds the requests in flight at once, whose
    cap at Zoho depends on the edition (5 to 25). The bounds against Zoho's own limit are checked
    by `Settings`, since a loopback server may be given a faster window.
    """

    requests: Annotated[int, Field(ge=1, le=1_000_000)] = ZOHO_REQUESTS
    period_s: Seconds = ZOHO_PERIOD_S
    margin_s: Annotated[float, Field(ge=0, le=3_600)] = 1.0
    concurrency: Annotated[int, Field(ge=1, le=1_000)] = 10

    @property
    def exceeds_zoho(self) -> bool:
        """Whether this window would let more through than Zoho allows."""
        return self.requests > ZOHO_REQUESTS or self.period_s < ZOHO_PERIOD_S


class Limits(_Frozen):
    """Guards against what no honest result does. Sizes in bytes, times in seconds."""

    zip_bytes: Size = 4 * 1024**3  # a larger result is refused
    file_bytes: Size = 64 * 1024**3  # what one archive may unpack to
    staging_bytes: Size = 64 * 1024**3  # when staging holds more, no further request starts
    quarantine_bytes: Size = 1024**3  # refused archives kept for inspection; the oldest go first
    connect_s: Seconds = 30.0  # to a connection, TLS included
    headers_s: Seconds = 60.0  # from the request's last byte to the head of its answer
    idle_s: Seconds = 60.0  # no byte for so long: the attempt is given up
    min_bytes_per_s: Annotated[int, Field(ge=0)] = (
        1_000  # slower over a minute: given up; 0 for no limit
    )
    tries: Annotated[int, Field(ge=1, le=100)] = 5  # per job, beyond those that a 429 cost
    threads: Annotated[int, Field(ge=1, le=256)] | None = (
        None  # that unpack; None: as many as cores
    )


class JobEntry(_Frozen):
    """One `[[jobs]]` table. `account` None: the one that there is."""

    id: Annotated[str, AfterValidator(_job_id)]
    account: str | None = None
    name: Annotated[str, AfterValidator(_stem)] | None = None

    @property
    def stem(self) -> str:
        """The published file's name without its ending."""
        return self.name or self.id


class AccountTable(_Frozen):
    """What `[account]` and `[accounts.NAME]` may hold."""

    data_center: DataCenter | None = None
    api_domain: ServerUrl | None = None
    accounts_url: ServerUrl | None = None
    version: Annotated[
        str, AfterValidator(_matching(r"v[0-9]{1,2}(\.[0-9]{1,2})?", "a version such as v8"))
    ] = "v8"
    result_path: Annotated[str, AfterValidator(_result_path)] = RESULT_PATH
    token_command: Annotated[tuple[Argument, ...], Field(strict=False, min_length=1)] | None = None
    token_cache: bool | Literal["keyring"] = True
    env_prefix: Annotated[
        str,
        AfterValidator(_matching(r"[A-Za-z0-9_]*", "made of letters, digits and underscores")),
    ] = ""
    secrets_file: FilePath | None = None
    ca_file: FilePath | None = None
    proxy: Annotated[SecretStr, Lax] | None = None
    window: WindowSettings = WindowSettings()


class Credentials(_Frozen):
    """What a token is got with; all from the environment or a secrets file, None where not set."""

    access_token: SecretStr | None = None
    client_id: SecretStr | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None

    @property
    def can_refresh(self) -> bool:
        """Whether all three parts that the accounts server asks for are there."""
        return None not in (self.client_id, self.client_secret, self.refresh_token)


class AccountSettings(AccountTable):
    """One account with all that is needed to ask for its results.

    `api_domain` and `accounts_url` are None where `data_center` gives them; see zoho.regions.
    `proxies` are the explicit `proxy` or the environment's.
    """

    name: AccountName = "default"
    credentials: Credentials = Credentials()
    proxies: Proxies = Proxies()

    @property
    def is_sandbox(self) -> bool:
        """Whether the built-in stand-in is to be started for this account."""
        return self.data_center == "sandbox" and self.api_domain is None

    @property
    def is_local(self) -> bool:
        """Whether its server runs on this machine."""
        if self.api_domain is None:
            return self.data_center == "sandbox"
        return is_loopback(self.api_domain)

    def at(self, base_url: str, credentials: Credentials) -> AccountSettings:
        """Point the account at a server on this machine that plays both API and accounts server.

        Raises ValueError for an address that is not loopback.
        """
        if not is_loopback(base_url):
            raise ValueError("not a loopback address")
        base = server_url(base_url)
        return self.model_copy(
            update={"api_domain": base, "accounts_url": base, "credentials": credentials}
        )


class Tables(_Frozen):
    """What jobs.toml may hold at top level."""

    out: FilePath = Path("exports")
    ids_file: FilePath | None = None
    ids_column: str | Annotated[int, Field(ge=1)] | None = None
    keep_zip: bool = False
    sha256: bool = True  # of each published file, in the report; a third of the time to unpack
    account: AccountTable | None = None
    accounts: dict[AccountName, AccountTable] | None = None
    limits: Limits = Limits()
    jobs: Annotated[tuple[JobEntry, ...], Lax] = ()
    sandbox: dict[str, JsonValue] = {}


class Settings(_Frozen):
    """Everything a run needs to know but the ids. Immutable; made by `load_settings` or in code.

    `out`, `ids_file` are as the user gave them: relative to the working directory where the
    settings file was named so. `fallback_account` is the one of ids that name none, None where
    that goes by the accounts' names (`default_account`). `state_dir` is None where this user has
    none. `sandbox` are options for the built-in stand-in, `dict(settings.sandbox)`. `warnings` are
    sentences to be told once.

    Raises ConfigError where a value is right by itself but not beside the others.
    """

    out: FilePath = Path("exports")
    accounts: Annotated[tuple[AccountSettings, ...], Field(strict=False, min_length=1)] = (
        AccountSettings(),
    )
    limits: Limits = Limits()
    ids_file: FilePath | None = None
    ids_column: str | Annotated[int, Field(ge=1)] | None = None
    keep_zip: bool = False
    sha256: bool = True
    jobs: Annotated[tuple[JobEntry, ...], Lax] = ()
    sandbox: tuple[tuple[str, JsonValue], ...] = ()
    fallback_account: AccountName | None = None
    state_dir: FilePath | None = None
    source: FilePath | None = None
    origins: tuple[tuple[str, str], ...] = ()
    warnings: tuple[str, ...] = ()

    def model_post_init(self, _context: object) -> None:
        """Refuse a window faster than Zoho's for any server but one on this machine."""
        for account in self.accounts:
            if account.window.exceeds_zoho and not account.is_local:
                raise ConfigError(
                    f"account {account.name}: Zoho allows {ZOHO_REQUESTS} requests in "
                    f"{ZOHO_PERIOD_S:.0f} s; requests can only be lower, period_s only longer",
                    hint="Only a server on this machine may be asked faster.",
                )

    def account(self, name: str) -> AccountSettings:
        """Give an account by its name. Raises ConfigError where there is no such account."""
        for account in self.accounts:
            if account.name == name:
                return account
        names = ", ".join(account.name for account in self.accounts)
        raise ConfigError(f"unknown account {name[:64]!a}", hint=f"There is: {names}.")

    @property
    def default_account(self) -> str | None:
        """The account of ids that name none: `fallback_account`, the only one, or `default`.

        None where there is none of these.
        """
        if self.fallback_account is not None:
            return self.fallback_account
        names = [account.name for account in self.accounts]
        return names[0] if len(names) == 1 else "default" if "default" in names else None

    @cached_property
    def entries(self) -> Mapping[str, JobEntry]:
        """`jobs` by id; of several with one id, the first."""
        return {entry.id: entry for entry in reversed(self.jobs)}

    def origin(self, key: str) -> str:
        """Say where a setting came from: `jobs.toml:12`, an environment variable, `default`."""
        return dict(self.origins).get(key, "default")
