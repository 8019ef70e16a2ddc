"""Slips in jobs.toml as people make them: each is told with file, key, line and what is right."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.slips import require_told

import bulkfetch
from bulkfetch.config import AccountSettings, Limits, Settings, load_settings
from bulkfetch.errors import ConfigError

JOB = "[[jobs]]\nid = '55'\n"
# Text of the file, beginning of the complaint after the file's name, its line, part of the hint.
SLIPS = [
    # in a wrong place
    ("[account]\nout = 'x'\n", "unknown key account.out", 2, "at the top of the file"),
    ("[account]\nrequests = 5\n", "unknown key account.requests", 2, "in [account.window]"),
    ("[fleet]\nstore = 's3://x'\n", "unknown key fleet", 1, "is for `bulkfetch fleet`, and"),
    ("polls_per_minute = 5\n", "unknown key polls_per_minute", 1, "in [account.control]"),
    ("[control]\nconcurrency = 5\n", "unknown key control", 1, "[account.control]"),
    ("data_center = 'eu'\n", "unknown key data_center", 1, "in [account] or"),
    ("tries = 3\n", "unknown key tries", 1, "in [limits]"),
    ("id = '55'\n", "unknown key id", 1, "in [[jobs]]"),
    ("[window]\nrequests = 5\n", "unknown key window.requests", 2, "[account.window]"),
    ("[account.window]\nshared = 'postgres://h/d'\n", "unknown key account.window.shared", 2, ""),
    ("[window]\nshared = 'mysql://h/d'\n", "window.shared must be an address such as", 2, ""),
    (
        "[window]\nshared = 'postgresql://me:s3cret@h/d'\n",
        "window.shared must not hold a password",
        2,
        "BULKFETCH_DATABASE_PASSWORD",
    ),
    (
        "[window]\nshared = 'postgresql://h/d?password=s3cret'\n",
        "window.shared must not hold a password",
        2,
        "PGPASSFILE",
    ),
    ("[account.limits]\ntries = 5\n", "unknown key account.limits", 1, "[limits]"),
    ("[accounts.a.sandbox]\nrecords = 5\n", "unknown key accounts.a.sandbox", 1, "[sandbox]"),
    ("[[account.jobs]]\nid = '5'\n", "unknown key account.jobs", 1, "[[jobs]]"),
    ("[limits]\nids_file = 'a'\n", "unknown key limits.ids_file", 2, "at the top"),
    ("[[jobs]]\nid = '5'\nout = 'x'\n", "unknown key jobs[1].out", 3, "at the top"),
    # another word
    ("ids = 'ids.txt'\n", "unknown key ids", 1, 'did you mean "ids_file"?'),
    ("output = 'x'\n", "unknown key output", 1, 'did you mean "out"?'),
    ("ids-file = 'x'\n", "unknown key ids-file", 1, 'did you mean "ids_file"?'),
    ("OUT = 'x'\n", "unknown key OUT", 1, 'did you mean "out"?'),
    ("column = 'id'\n", "unknown key column", 1, '"ids_column"'),
    ("[account]\nregion = 'eu'\n", "unknown key account.region", 2, '"data_center"'),
    ("[account]\nurl = 'https://x.y'\n", "unknown key account.url", 2, '"api_domain"'),
    ("[account]\nca_bundle = 'x'\n", "unknown key account.ca_bundle", 2, '"ca_file"'),
    ("[account]\nrefresh_token = 's3cret'\n", "unknown key account.refresh_token", 2, "do not"),
    ("token = 's3cret'\n", "unknown key token", 1, "Secrets do not belong"),
    ("[limits]\nretries = 3\n", "unknown key limits.retries", 2, 'did you mean "tries"?'),
    ("retries = 3\n", "unknown key retries", 1, "in [limits]"),
    ("[account.window]\nperiod = 60\n", "unknown key account.window.period", 2, '"period_s"'),
    ("account.windw.requests = 5\n", "unknown key account.windw", 1, '"window"'),
    ("[[job]]\nid = '5'\n", "unknown key job", 1, 'did you mean "jobs"?'),
    ("[[jobs]]\njob_id = '5'\n", "unknown key jobs[1].job_id", 2, 'did you mean "id"?'),
    ("formats = 'csv'\n", "formats must be a list", 1, "In brackets"),
    ("formats = []\n", "formats is empty", 1, ""),
    ("formats = ['csv', 'xlsx']\n", "formats[2] must be 'csv'", 1, ""),
    ("formats = ['csv', 'csv']\n", "formats names a format twice", 1, ""),
    ("[parquet]\ntypes = 'all'\n", "parquet.types must be 'text' or 'fields'", 2, ""),
    ("[parquet]\nfields = 5\n", "parquet.fields must be a path in quotes", 2, ""),
    ("[parquet]\nrow_group_bytes = 0\n", "parquet.row_group_bytes must be", 2, ""),
    ("[[jobs]]\nid = '5'\nmodule = '../x'\n", "jobs[1].module must be a module's API name", 3, ""),
    ("[accounts.a]\nformats = 'csv.gz'\n", "accounts.a.formats must be a list", 2, "In brackets"),
    ("publish_to = 'lake'\n", "publish_to must begin with s3://", 1, "Such as"),
    ("publish_to = 'ftp://lake/x'\n", "publish_to must begin with s3://", 1, "gs://"),
    ("publish_to = 's3:///x'\n", "publish_to must name a bucket", 1, "Such as"),
    ("publish_to = 's3://lake/a/../b'\n", "publish_to must have a prefix without", 1, ""),
    ("publish_to = 's3://lake/{name}'\n", "publish_to has characters in its prefix", 1, ""),
    ("[accounts.a]\npublish_to = 'lake'\n", "accounts.a.publish_to must begin with", 2, "s3"),
    (
        "[[exports]]\nmodule = 'Leads'\npublish_to = 's3://lake/../x'\n",
        "exports[1].publish_to must have a prefix without",
        3,
        "",
    ),
    (
        "[destination]\naccess_key = 's3cret'\n",
        "unknown key destination.access_key",
        2,
        "as its SDKs",
    ),
    (
        "[destination]\nsession_token = 's3cret'\n",
        "unknown key destination.session_token",
        2,
        "as its SDKs",
    ),
    ("aws_secret_access_key = 's3cret'\n", "unknown key aws_secret_access_key", 1, "as its SDKs"),
    (
        "[destination]\nendpoint = 'http://minio.lan'\n",
        "destination.endpoint must begin with https://",
        2,
        "",
    ),
    ("[destination]\npart_bytes = '1 MiB'\n", "destination.part_bytes must be at least", 2, ""),
    ("[destination]\nuploads = 0\n", "destination.uploads must be at least 1", 2, ""),
    ("bucket = 'lake'\n", "unknown key bucket", 1, '"publish_to"'),
    # a table of another kind
    ("[jobs]\nid = '55'\n", "jobs must be a list of tables", 1, "Write [[jobs]]"),
    ("[jobs.Leads]\nid = '55'\n", "jobs must be a list of tables", 1, "Write [[jobs]]"),
    ("jobs = ['55', '56']\n", "jobs must be a list of tables", 1, "ids_file"),
    ("jobs = '55'\n", "jobs must be a list of tables", 1, "Write [[jobs]]"),
    ("[[account]]\ndata_center = 'eu'\n", "account must be one table", 1, "single brackets"),
    ("[[accounts.a]]\nversion = 'v8'\n", "accounts.a must be one table", 1, "single brackets"),
    ("[[limits]]\ntries = 1\n", "limits must be one table", 1, "single brackets"),
    ("account = 'acme'\n", "account must be a table", 1, ""),
    ("accounts = ['a']\n", "accounts must be a table", 1, ""),
    ("[accounts]\ndata_center = 'eu'\n", "accounts.data_center must be a table", 2, ""),
    ("[accounts]\n", "accounts is empty", 1, ""),
    # a value of another kind
    ("out = 5\n", "out must be a path in quotes", 1, ""),
    ("out = ''\n", "out must not be empty", 1, '"."'),
    ("out = ' \t'\n", "out must not be empty", 1, '"."'),
    ("ids_file = ''\n", "ids_file must not be empty", 1, ""),
    ("ids_file = ['a', 'b']\n", "ids_file must be a path in quotes", 1, ""),
    ("ids_column = 0\n", "ids_column must be at least 1", 1, ""),
    ("ids_column = '0'\n", "ids_column must be at least 1", 1, ""),
    ("ids_column = ' '\n", "ids_column must be a column's title", 1, ""),
    ("ids_column = 1.5\n", "ids_column must be a whole number", 1, "decimal point"),
    ("keep_zip = 'true'\n", "keep_zip must be true or false", 1, "without quotes"),
    ("sha256 = 1\n", "sha256 must be true or false", 1, ""),
    ("[account]\ndata_center = 'EU'\n", "account.data_center must be one of", 2, '"eu"'),
    ("[account]\ndata_center = 'com.au'\n", "account.data_center must be one of", 2, '"au"'),
    ("[account]\ndata_center = 'Europe'\n", "account.data_center must be one of", 2, '"eu"'),
    ("[account]\ndata_center = ['eu']\n", "account.data_center must be one of", 2, ""),
    ("account = {data_center = 'USA'}\n", "account.data_center must be one of", 1, '"us"'),
    ("[account]\nversion = 8\n", "account.version must be a string in quotes", 2, ""),
    ("[account]\nversion = '8'\n", "account.version must be a version such as v8", 2, ""),
    ("[account]\napi_domain = 'www.zohoapis.eu'\n", "account.api_domain must be the", 2, ""),
    ("[account]\ntoken_command = 'pass zoho'\n", "account.token_command must be a list", 2, "["),
    ("[account]\ntoken_command = ['a', 5]\n", "account.token_command[2] must be a string", 2, ""),
    ("[account]\nenv_prefix = 'ACME-'\n", "account.env_prefix must be made of", 2, ""),
    ("[account]\nsecrets_file = ''\n", "account.secrets_file must not be empty", 2, ""),
    (
        "[account.window]\nrequests = '7'\n",
        "account.window.requests must be",
        2,
        "without quotes",
    ),
    ("[account.window]\nrequests = 7.0\n", "account.window.requests must", 2, "decimal point"),
    ("[account.window]\nmargin_s = -1\n", "account.window.margin_s must be at least 0", 2, ""),
    ("account.window.concurrency = 0\n", "account.window.concurrency must be at least", 1, ""),
    ("account.control.concurrency = 26\n", "account.control.concurrency must be at most 25", 1, ""),
    ("account.control.credits_per_day = 0\n", "account.control.credits_per_day must be at", 1, ""),
    ("account.control.credits_reserve = '2k'\n", "account.control.credits_reserve", 1, "quotes"),
    ("[limits]\nzip_bytes = -1\n", "limits.zip_bytes must be more than 0", 2, ""),
    ("[limits]\nzip_bytes = 4.5\n", "limits.zip_bytes must be a size", 2, ""),
    ("[limits]\nzip_bytes = '4 gigs'\n", "limits.zip_bytes must be a size", 2, ""),
    ("[limits]\nfile_bytes = '9999999 TiB'\n", "limits.file_bytes must be at most", 2, ""),
    ("[limits]\nidle_s = '60'\n", "limits.idle_s must be a number", 2, "without quotes"),
    ("[limits]\nidle_s = inf\n", "limits.idle_s must be a finite number", 2, ""),
    (f"[limits]\nidle_s = 1{'0' * 400}\n", "limits.idle_s must be at most 86400", 2, ""),
    ("[limits]\ntries = 1000\n", "limits.tries must be at most 100", 2, ""),
    ("limits = {threads = 0}\n", "limits.threads must be at least 1", 1, ""),
    ("[limits]\nconnect_s = 1979-05-27\n", "limits.connect_s must be a number", 2, ""),
    ("[[jobs]]\nid = '55'\nname = 'Leads.csv'\n", "jobs[1].name cannot be a file's", 3, ""),
    ("[[jobs]]\nid = '55'\nname = ''\n", "jobs[1].name cannot be a file's name: it is", 3, ""),
    ("[[jobs]]\nid = '55,56'\n", "jobs[1].id must be a job id", 2, ""),
    ("[[jobs]]\nid = ''\n", "jobs[1].id must be a job id", 2, ""),
    # right by itself, wrong beside the rest
    ("[account.window]\nrequests = 20\n", "account.window.requests: Zoho allows 10", 2, "machine"),
    ("account.window.period_s = 30\n", "account.window.period_s: Zoho allows 10", 1, "machine"),
    (
        "[accounts.a]\n[accounts.b]\nwindow = {requests = 11}\n",
        "accounts.b.window.requests: Zoho allows",
        3,
        "machine",
    ),
    ("[account]\nca_file = 'no.pem'\n", "account.ca_file: no such file", 2, ""),
    ("[account]\nca_file = '~nouser/x'\n", "account.ca_file: ~nouser/x: no such home", 2, "`~`"),
    ("out = '~nouser/x'\n", "out: ~nouser/x: no such home", 1, "`~`"),
    ("ids_file = '~nouser/x'\n", "ids_file: ~nouser/x: no such home", 1, "`~`"),
    ("[account]\nsecrets_file = 'no.env'\n", "account.secrets_file: ", 2, ""),
    ("[account]\nsecrets_file = '.'\n", "account.secrets_file: ", 2, ""),
    ("[account]\nproxy = 'proxy:3128'\n", "account.proxy must be a proxy's address", 2, ""),
    ("[accounts.a]\nproxy = 'socks5://x'\n", "accounts.a.proxy must be a proxy's", 2, ""),
    (
        "[sandbox]\nrecords = 5\n",
        "sandbox is for an account with data_center",
        1,
        'data_center = "sandbox" for an account',
    ),
    (
        "[accounts.a]\ndata_center = 'eu'\n[accounts.b]\nenv_prefix = 'B_'\n[sandbox]\n",
        "sandbox is for an account",
        5,
        "remove [sandbox]",
    ),
    (
        "[account]\napi_domain = 'http://localhost:1'\n[sandbox]\nrecords = 5\n",
        "sandbox is for an account",
        3,
        'data_center = "sandbox"',
    ),
    (
        "[[jobs]]\nid = '55'\nname = 'Leads'\n[[jobs]]\nid = '55'\nname = 'Other'\n",
        "jobs[2] (line 4): job 55 has the name 'Other', in line 1 the name 'Leads'",
        None,
        "under one name",
    ),
    (f"{JOB}name = 'Leads'\n{JOB}", "jobs[2] (line 4): job 55 has no name, in line 1", None, ""),
    (f"{JOB}{JOB}name = 'Leads'\n", "jobs[2] (line 3): job 55 has the name 'Leads', in", None, ""),
    (f"{JOB}name = 'Leads'\n{JOB}name = 'leads'\n", "jobs[2] (line 4): job 55 has the", None, ""),
    # no TOML
    ("out = exports\n", "not TOML: Invalid value (at line 1", None, ""),
    ("[account]\n[account]\n", "not TOML: Cannot declare ('account',) twice (at line 2", None, ""),
    ("out = 'a'\nout = 'b'\n", "not TOML: Cannot overwrite a value (at line 2", None, ""),
    (f"tries = 1{'0' * 5000}\n", "not TOML: a number is too long", None, ""),
    ("x = " + "[" * 10_000, "not TOML: nested too deeply", None, ""),
]


@pytest.mark.parametrize(
    ("text", "message", "line", "hint"), SLIPS, ids=[f"{slip[0]!a:.40}" for slip in SLIPS]
)
def test_a_slip_is_told_with_file_key_line_and_what_is_right(
    tmp_path: Path, text: str, message: str, line: int | None, hint: str
) -> None:
    """Whatever is wrong in jobs.toml, one sentence leads to the very place."""
    error = require_told(tmp_path, text, message, line, hint)
    assert "s3cret" not in f"{error.message} {error.hint}"


def test_one_job_twice_under_one_name_is_one_job(tmp_path: Path) -> None:
    """The same table twice contradicts nothing, and neither does an id of two accounts."""
    (tmp_path / "a.toml").write_text("[[jobs]]\nid='5'\nname='L'\n" * 2)
    assert len(load_settings(tmp_path / "a.toml", {}).jobs) == 2
    (tmp_path / "b.toml").write_text(
        "[accounts.a]\n[accounts.b]\n"
        "[[jobs]]\nid='5'\nname='L'\naccount='a'\n[[jobs]]\nid='5'\nname='M'\naccount='b'\n"
    )
    assert len(load_settings(tmp_path / "b.toml", {}).jobs) == 2


@pytest.mark.parametrize("out", ["", " ", "\t\n", Path(" ")])
def test_an_empty_out_is_refused_in_code_too(out: str | Path) -> None:
    """The output folder is never the working directory by mistake."""
    with pytest.raises(ConfigError, match="out must not be empty"):
        load_settings(None, {}, out=out)
    with pytest.raises(ConfigError, match="out must not be empty"):
        Settings(out=out)  # type: ignore[arg-type]  # a text works as well


def test_the_folder_itself_may_be_named_by_its_dot(tmp_path: Path) -> None:
    """Who wants the files beside jobs.toml says so."""
    (tmp_path / "jobs.toml").write_text("out = '.'\n")
    assert load_settings(tmp_path / "jobs.toml", {}).out == tmp_path
    assert str(load_settings(None, {}, out=".").out) == "."


def test_a_misfit_in_code_is_a_configuration_error() -> None:
    """Who catches bulkfetch's errors catches those of settings made in code as well."""
    for make in (lambda: Limits(tries=0), lambda: AccountSettings(version="8")):
        with pytest.raises(bulkfetch.ConfigError):
            make()


def test_nothing_said_of_the_data_center_is_the_us(tmp_path: Path) -> None:
    """A file without any setting is a real account, as the documentation says; only [sandbox]
    beside it is a contradiction."""
    (tmp_path / "jobs.toml").write_text("# nothing\n")
    (account,) = load_settings(tmp_path / "jobs.toml", {}).accounts
    assert not account.is_sandbox
    assert account.data_center is None
