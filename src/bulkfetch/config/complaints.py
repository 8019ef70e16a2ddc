"""From what does not fit to the one sentence a user needs, and to the key that was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from bulkfetch.config.export import Export
from bulkfetch.config.misfit import Misfit, known_keys, nearest
from bulkfetch.config.settings import Settings, Tables
from bulkfetch.config.tables import Table
from bulkfetch.config.toml_lines import key_text, nearest_line
from bulkfetch.errors import ConfigError, ExportMisfit


def complaint(
    found: Misfit, file: str, lines: Mapping[str, int], kind: type[Table] = Tables
) -> ConfigError:
    """Return the ConfigError of what does not fit, with file, key, line and advice; no value.

    `lines` are those of the keys as `key_text` writes them, `kind` is what the file may hold.
    """
    line = nearest_line(found.path, lines)
    where = f" (line {line})" if line else ""
    key = key_text(found.path)
    if found.known is not None:
        hint = unknown_key_hint(str(found.path[-1]), found.known, kind)
        return ConfigError(f"{file}: unknown key {key}{where}", hint=hint)
    joint = "" if found.sentence.startswith(":") else " "
    return ConfigError(f"{file}: {key}{joint}{found.sentence}{where}", hint=found.advice)


def complaint_later(found: Misfit, settings: Settings) -> ConfigError:
    """Return the ConfigError of what turns out not to fit in settings that were read before."""
    lines = {key: int(line) for key, origin in settings.origins if (line := _line(origin))}
    return complaint(found, str(settings.source or "settings"), lines)


def about_export(found: Misfit, export: Export, settings: Settings) -> ExportMisfit:
    """Return the error of what does not fit in an export, one of the settings or another."""
    if export.index is not None:
        found = found.below("exports", export.index)
        message = complaint_later(found, settings).message
    else:
        message = f"export {export.name}: {key_text(found.path)} {found.sentence}"
    return ExportMisfit(message, hint=found.advice, export=export.name)


def _line(origin: str) -> str:
    line = origin.rpartition(":")[2]
    return line if line.isdecimal() else ""


_SECRETS = ("token", "secret", "password", "client_id", "credential")
_SECRETS_HINT = (
    "Secrets do not belong in this file: use the environment (ZOHO_ACCESS_TOKEN, or "
    "ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN), secrets_file or token_command."
)
_BUCKET_SECRETS = ("access_key", "account_key", "key_id", "sas", "service_account")
_BUCKET_SECRETS_HINT = (
    "Secrets do not belong in this file: a bucket's credentials are found as its SDKs find them "
    "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, GOOGLE_APPLICATION_CREDENTIALS, AZURE_…)."
)
_DATABASE_SECRETS_HINT = (
    "Secrets do not belong in this file: the database's password comes from "
    "BULKFETCH_DATABASE_PASSWORD, PGPASSFILE or a service file."
)
_FLEET_FILE_HINT = (
    "A file with [fleet] is for `bulkfetch fleet`, and without --data-center also for "
    "`bulkfetch modules` and `bulkfetch fields`."
)
_FLEETS_HINT = (
    "A fleet has [fleet] with its store, which is where files go; each account as [accounts.NAME], "
    "by which all hosts know it; and lists of ids only as --ids."
)
# Words that other tools have for a key, too unlike it to be found by their letters.
_OTHER_WORDS: Mapping[str, tuple[str, ...]] = {
    "out": ("output", "out_dir", "output_dir", "outdir", "dir", "directory", "folder", "target"),
    "ids_file": ("ids", "id_file", "idfile", "list", "file", "input", "job_ids"),
    "ids_column": ("column", "col", "id_column"),
    "data_center": ("dc", "region", "datacentre", "location"),
    "api_domain": ("domain", "url", "base_url", "api_url", "host", "server"),
    "publish_to": ("bucket", "destination_url", "s3", "upload_to"),
    "endpoint": ("endpoint_url", "s3_endpoint"),
    "accounts_url": ("token_url", "auth_url", "accounts_domain", "accounts_server"),
    "ca_file": ("ca", "ca_bundle", "cacert", "cert", "cafile", "ca_certs"),
    "proxy": ("proxies", "https_proxy", "http_proxy"),
    "requests": ("rate", "rate_limit", "max_requests", "limit", "requests_per_minute"),
    "period_s": ("period", "interval", "per", "seconds"),
    "concurrency": ("parallel", "workers", "max_concurrent", "connections"),
    "creates_per_minute": ("creates",),
    "polls_per_minute": ("polls",),
    "credits_per_day": ("credits", "max_credits", "credit_limit"),
    "credits_reserve": ("reserve",),
    "tries": ("retries", "max_retries", "attempts", "retry"),
    "idle_s": ("timeout", "timeout_s", "read_timeout", "idle_timeout"),
    "connect_s": ("connect_timeout",),
    "max_bytes_per_s": ("limit_rate", "bwlimit", "bandwidth", "max_rate"),
    "file_bytes": ("max_bytes", "max_file_size"),
    "zip_bytes": ("max_zip_size", "max_size"),
    "id": ("job_id", "jobid"),
    "name": ("file_name", "filename", "output_name", "title"),
    "module": ("table", "object", "module_name", "sobject"),
    "fields": ("columns", "select"),
    "custom_view": ("cvid", "view", "custom_view_id", "filter_id"),
    "criteria": ("where", "filter", "filters", "query", "condition"),
    "comparator": ("operator", "op"),
    "group_operator": ("logic", "and_or"),
    "sync": ("mode", "incremental", "strategy"),
    "deleted": ("deletions", "deletes"),
    "full_every": ("full_refresh", "refresh_every"),
    "overlap": ("lookback", "lookback_window"),
}
_MEANT = {word: key for key, words in _OTHER_WORDS.items() for word in words}
_TOP = "at the top of the file, before the first [table]"


def unknown_key_hint(key: str, known: Iterable[str], kind: type[Table]) -> str:
    """Return what may have been meant: another key here, or the same one in another place.

    `known` are the keys that there are where it stands, `kind` is what the file may hold.
    """
    known = sorted(known)
    plain = key.lower().replace("-", "_")
    of_bucket = "part_bytes" in known and any(word in plain for word in _SECRETS)
    if of_bucket or any(word in plain for word in _BUCKET_SECRETS):
        return _BUCKET_SECRETS_HINT
    if "database" in known and any(word in plain for word in _SECRETS):
        return _DATABASE_SECRETS_HINT
    if any(word in plain for word in _SECRETS) and nearest(key, known) is None:
        return _SECRETS_HINT
    if key == "fleet":
        return _FLEET_FILE_HINT
    of_jobs = set(known_keys(Tables)) - set(known_keys(kind))
    words = (plain, _MEANT.get(plain, ""))
    if "fleet" in known and plain in of_jobs:
        return f"{plain} is for jobs.toml. {_FLEETS_HINT}"
    for meant in words:
        if meant in known:
            return f'did you mean "{meant}"?'
    places = _places(kind)
    for meant in words:
        if meant in places:
            return f'did you mean "{meant}"? It belongs {places[meant]}.'
    for meant in words:
        if meant in of_jobs:
            return f"{meant} is for jobs.toml. {_FLEETS_HINT}"
    if (like := nearest(plain, known)) is not None:
        return f'did you mean "{like}"?'
    if (like := nearest(plain, places)) is not None:
        return f'did you mean "{like}"? It belongs {places[like]}.'
    return f"Available: {', '.join(known)}."


def _places(kind: type[Table]) -> dict[str, str]:
    """Return where each key belongs in a file of a kind; of two places for one name the first."""
    return dict(reversed(list(_each_place(kind))))


def _each_place(kind: type[Table]) -> Iterator[tuple[str, str]]:
    top = known_keys(kind)
    # Of a fleet each account has a name.
    accounts = ("account", "accounts.NAME") if "account" in top else ("accounts.NAME",)
    for heading in ("fleet", "limits", "parquet", "destination", "sandbox"):
        if heading in top:
            yield heading, f"in a table of its own, [{heading}]"
    for heading in ("window", "control"):
        yield heading, f"in a table of its own, {_headings(accounts, heading)}"
    for heading in ("jobs", "exports"):
        if heading in top:
            yield heading, f"in tables of its own, [[{heading}]]"
    keys: tuple[tuple[tuple[str | int, ...], str], ...] = (
        ((), _TOP),
        (("fleet",), "in [fleet]"),
        (("accounts", "NAME"), f"in {_headings(accounts)}"),
        (("accounts", "NAME", "window"), f"in {_headings(accounts, 'window')}"),
        (("accounts", "NAME", "control"), f"in {_headings(accounts, 'control')}"),
        *(((heading,), f"in [{heading}]") for heading in ("limits", "parquet", "destination")),
        *(((heading, 0), f"in [[{heading}]]") for heading in ("exports", "jobs")),
    )
    for path, place in keys:
        if not path or path[0] in top:
            yield from ((key, place) for key in known_keys(kind, path))


def _headings(tables: Iterable[str], *below: str) -> str:
    return " or ".join(f"[{'.'.join((table, *below))}]" for table in tables)
