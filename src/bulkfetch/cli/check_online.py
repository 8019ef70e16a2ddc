"""What `bulkfetch check --online` tries: a token and a connection for each account, the database.

No result is requested and no window opened, so nothing counts against the limit. A new token is
requested, to see that this works, and shared with later runs, since Zoho issues only ten.
"""

from __future__ import annotations

from collections.abc import Iterator

from bulkfetch.cli.check_findings import Finding, Wrong, shown, table_of
from bulkfetch.cli.signals import run_in_loop
from bulkfetch.config import AccountSettings, Settings
from bulkfetch.config.hosts import host_of
from bulkfetch.config.regions import servers
from bulkfetch.download.knock import knock
from bulkfetch.download.session import open_session
from bulkfetch.errors import BulkfetchError, ConfigError
from bulkfetch.secret import Secret
from bulkfetch.zoho.token_choice import accounts_server, token_way
from bulkfetch.zoho.tokens import token_source


def online_findings(settings: Settings, wrong: Wrong) -> Iterator[Finding]:
    """Yield findings on each account, except for the parts that are already `wrong`."""
    if settings.window.shared is not None and ("window.shared", None) not in wrong:
        yield run_in_loop(_database(settings.window.shared, settings.database_password))
    yield from _buckets(settings, wrong)
    for account in settings.accounts:
        key = table_of(settings, account)
        if account.is_sandbox:
            yield Finding(f"{key}.connection", "the sandbox is started inside a run")
            continue
        if ("ca_file", account.name) in wrong:
            continue
        yield run_in_loop(_connection(settings, account, f"{key}.connection"))
        if ("credentials", account.name) not in wrong:
            yield from run_in_loop(_token(settings, account, f"{key}.token"))


async def _database(url: str, password: Secret | None) -> Finding:
    from bulkfetch.ratelimit.postgres.schema import probe  # late: few have one

    name = "window.connection"
    try:
        return Finding(name, await probe(url, password))
    except ConfigError as error:
        return Finding.of(name, error)


def _buckets(settings: Settings, wrong: Wrong) -> Iterator[Finding]:
    from bulkfetch.destinations import open_bucket

    for place in settings.places:
        if ("publish_to", None) not in wrong:
            name = f"publish_to {place.url}"
            try:
                open_bucket(place, settings.destination).require_usable()
                yield Finding(name, "can be listed; whether it can be written shows a run")
            except BulkfetchError as error:
                yield Finding.of(name, error)


async def _connection(settings: Settings, account: AccountSettings, name: str) -> Finding:
    url = servers(account).api_domain
    try:
        seen = await knock(
            url, account.proxies.url_for(url), account.ca_file, settings.limits.connect_s
        )
    except BulkfetchError as error:
        return Finding.of(name, error)
    words = f"connected to {host_of(url)}"
    if seen.proxy is not None:
        words += f" through {seen.proxy}"
    return Finding(name, f"{words}, {seen.tls}, verified" if seen.tls else f"{words}, without TLS")


async def _token(settings: Settings, account: AccountSettings, name: str) -> list[Finding]:
    way = token_way(account)
    if way == "token":
        return [
            Finding(name, "an access token is set; only a request can show whether it is valid")
        ]
    notes: list[str] = []
    connect_s = settings.limits.connect_s
    async with open_session(account.ca_file, connect_s=connect_s) as session:
        try:
            tokens = token_source(account, session, settings.state_dir, notes.append, anew=True)
            await tokens.token()
        except BulkfetchError as error:
            found = Finding.of(name, error)
        else:
            if way == "command":
                where = f"token_command {shown('token_command', account.token_command)}"
            else:
                where = host_of(accounts_server(account))
            found = Finding(name, f"got one from {where}")
    return [found, *(Finding(name, note, verdict="warning") for note in notes)]
