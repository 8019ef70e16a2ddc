"""FLEET.toml: what all hosts of a fleet are told alike."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.config.test_config_exports import EXPORT_SLIPS, LEADS

from bulkfetch.cli import main
from bulkfetch.config.complaints import about_export
from bulkfetch.config.fleet import FleetSettings, load_fleet
from bulkfetch.config.misfit import Misfit
from bulkfetch.config.schema import fleet_schema
from bulkfetch.errors import ConfigError
from bulkfetch.secret import Secret

FLEET = """\
[fleet]
database = "postgresql://bulkfetch@db.internal/bulkfetch"
store = "s3://exports/{account}/"
staging = "staging"
[accounts.acme]
data_center = "eu"
env_prefix = "ACME_"
[accounts.beta]
data_center = "us"
publish_to = "gs://betas"
"""

ABOVE = FLEET.count("\n")
# What does not depend on the accounts that there are.
OWN_EXPORT_SLIPS = [
    slip
    for slip in EXPORT_SLIPS
    if slip[0].startswith(("[[exports]]", "[exports]", "[[export]]")) and slip[2]
    if "ids_file" not in slip[0]  # of which a fleet has none
]


def load(folder: Path, text: str, **env: str) -> FleetSettings:
    (folder / "fleet.toml").write_text(text)
    return load_fleet(folder / "fleet.toml", env)


def test_a_turn_has_the_settings_of_its_account_alone(tmp_path: Path) -> None:
    """Its staging folder, the store, the window of all hosts, and nobody else's credentials."""
    env = {"ACME_ZOHO_ACCESS_TOKEN": "a", "ZOHO_ACCESS_TOKEN": "b"}
    fleet = load(tmp_path, "keep_zip = true\n" + FLEET, **env, BULKFETCH_DATABASE_PASSWORD="pw")
    assert fleet.fleet.staging == tmp_path / "staging"
    assert (fleet.fleet.accounts_at_once, fleet.fleet.turn_s) == (500, 600)
    assert fleet.password == Secret("pw")
    acme = fleet.of_account("acme", fleet.fleet.staging)
    assert [each.name for each in acme.accounts] == ["acme"]
    assert acme.accounts[0].credentials.access_token == Secret("a")
    assert acme.out == tmp_path / "staging" / "acme"
    assert acme.window.shared == fleet.fleet.database
    assert acme.keep_zip
    assert acme.overwrite
    place = acme.place_of("acme")
    assert place is not None
    assert place.url == "s3://exports/acme"
    beta = fleet.of_account("beta", tmp_path).place_of("beta")
    assert beta is not None
    assert beta.url == "gs://betas"


@pytest.mark.parametrize(
    ("before", "after", "message", "hint"),
    [
        ("s3://exports/{account}/", "exports", "fleet.store must begin with s3://", "/srv"),
        ("s3://exports/{account}/", "/srv/exports", "fleet.store must end with /{account}", "/srv"),
        ("s3://exports/{account}/", "/srv/../{account}", "fleet.store must be a path", "/srv"),
        ("store = ", "stor = ", "unknown key fleet.stor (line 3)", '"store"'),
        ("store = ", "# ", "fleet.store is missing (line 1)", ""),
        ("bulkfetch@", "bulkfetch:s3cret@", "fleet.database must not hold a p", "PGPASSFILE"),
        ("[fleet]\n", '[fleet]\npassword = "s3cret"\n', "unknown key fleet.password", "PGPASSFILE"),
        ("accounts.acme", "account", "unknown key account (line 5)", "[accounts.NAME]"),
        ("accounts.acme", "accounts.default", "accounts.default is no name by", "of its own"),
        ("[fleet]\n", 'out = "x"\n[fleet]\n', "unknown key out (line 1)", "for jobs.toml"),
        ("[accounts.acme]", "[window]", "unknown key window (line 5)", "for jobs.toml"),
        ("[fleet]\n", 'output = "x"\n[fleet]\n', "unknown key output", "out is for jobs.toml"),
        ("[fleet]\n", "[fleet]\nwait = true\n", "unknown key fleet.wait", "wait is for jobs.toml"),
        (
            "[fleet]\n",
            "turn_s = 9\n[fleet]\n",
            "unknown key turn_s (line 1)",
            "It belongs in [fleet]",
        ),
        (
            "[accounts.acme]\n",
            "[accounts.acme]\nrequests = 9\n",
            "unknown key accounts.acme.requests",
            'did you mean "requests"? It belongs in [accounts.NAME.window].',
        ),
        ("gs://betas", "s3://exports/acme/", "fleet.store: accounts acme and beta", "{account}"),
    ],
)
def test_a_slip_is_told_with_its_place(
    tmp_path: Path, before: str, after: str, message: str, hint: str
) -> None:
    """With file, key, line and what is right; never with a secret."""
    assert before in FLEET
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FLEET.replace(before, after, 1))
    error = caught.value
    assert error.message.startswith(f"{tmp_path / 'fleet.toml'}: {message}")
    assert hint in error.hint
    assert "s3cret" not in f"{error.message} {error.hint}"


def test_a_store_may_be_a_folder_that_all_hosts_share(tmp_path: Path) -> None:
    """Each account has its own folder in it."""
    fleet = load(tmp_path, FLEET.replace("s3://exports", "/srv/exports", 1))
    assert fleet.folder_of("acme") == Path("/srv/exports/acme")
    assert fleet.of_account("acme", tmp_path).place_of("acme") is None
    assert fleet.folder_of("beta") is None


def test_an_export_is_of_every_account_or_of_the_one_that_it_names(tmp_path: Path) -> None:
    """A turn has those of its account, in the order of the file, published where it says."""
    fleet = load(
        tmp_path,
        f"{FLEET}[[exports]]\nmodule = 'Deals'\naccount = 'beta'\n{LEADS}"
        "fields = ['Last_Nam']\nsync = 'changes'\n"
        "[[exports]]\nmodule = 'Deals'\naccount = 'acme'\npublish_to = 'az://own/{account}'\n",
    )
    acme = fleet.of_account("acme", tmp_path)
    assert [(each.name, each.account) for each in acme.exports] == [
        ("Leads", "acme"),
        ("Deals", "acme"),
    ]
    leads, deals = acme.exports
    assert (leads.sync, leads.fields) == ("changes", ("Last_Nam",))
    places = [acme.place_of_export(export, "acme") for export in acme.exports]
    assert [place and place.url for place in places] == ["s3://exports/acme", "az://own/acme"]
    beta = fleet.of_account("beta", tmp_path)
    assert [(each.name, each.account) for each in beta.exports] == [
        ("Deals", "beta"),
        ("Leads", "beta"),
    ]
    # What shows only with the metadata leads to its line, whichever exports the turn has.
    error = about_export(Misfit("names no field", ("fields", 0)), leads, acme)
    assert error.message == (
        f"{tmp_path}/fleet.toml: exports[2].fields[1] names no field (line {ABOVE + 6})"
    )
    assert deals.index == 2


@pytest.mark.parametrize(
    ("text", "message", "line", "hint"), OWN_EXPORT_SLIPS, ids=lambda value: f"{value!a:.60}"
)
def test_a_slip_of_an_export_is_told_as_in_jobs_toml(
    tmp_path: Path, text: str, message: str, line: int, hint: str
) -> None:
    """With the same sentence and hint, and the line of this file."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FLEET + text)
    error = caught.value
    assert error.message.startswith(f"{tmp_path / 'fleet.toml'}: {message}")
    assert error.message.endswith(f" (line {ABOVE + line})")
    assert hint in error.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (f"{LEADS}account = 'acm'\n", "exports[1] (line 11): unknown account 'acm'", '"acme"'),
        (f"{LEADS}account = 'x'\n", "exports[1] (line 11): unknown account", "Available: acme, be"),
        (
            f"{LEADS}account = 'acme'\n{LEADS}",
            "exports[2] (line 14): name 'Leads' is that of the export in line 11",
            "another name",
        ),
        (
            f"{LEADS}[[exports]]\nmodule = 'Deals'\nname = 'LEADS'\naccount = 'beta'\n",
            "exports[2] (line 13): name 'LEADS' is that of the export in line 11",
            "another name",
        ),
        (
            f"{LEADS}publish_to = 's3://other'\n",
            "exports[1].publish_to: accounts acme and beta would both publish their Leads in s3:",
            "{account}",
        ),
        (
            f"{LEADS}account = 'acme'\npublish_to = 'gs://betas'\n{LEADS}account = 'beta'\n",
            "exports[2].publish_to: accounts acme and beta would both publish their Leads in gs:",
            "{account}",
        ),
    ],
)
def test_what_does_not_fit_the_accounts_is_told(
    tmp_path: Path, text: str, message: str, hint: str
) -> None:
    """A name is an account's once, a folder one export's; an account is one of the file."""
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, FLEET + text)
    assert caught.value.message.startswith(f"{tmp_path / 'fleet.toml'}: {message}")
    assert hint in caught.value.hint


def test_exports_are_chosen_by_name_and_account(tmp_path: Path) -> None:
    """All of them, or some; what there is not, or what nobody of the chosen has, is told."""
    deals = "[[exports]]\nmodule = 'Deals'\naccount = 'beta'\n"
    fleet = load(tmp_path, FLEET + deals + LEADS)
    assert fleet.chosen_exports() == [("acme", "Leads"), ("beta", "Deals"), ("beta", "Leads")]
    assert fleet.chosen_exports(["Leads"], ["beta"]) == [("beta", "Leads")]
    assert fleet.chosen_exports(["Deals"], ["acme", "beta"]) == [("beta", "Deals")]
    for names, accounts, message in (
        (["Leds"], [], "there is no export 'Leds'"),
        (["Leads"], ["acm"], "unknown account 'acm'"),
        (["Leads", "Deals"], ["acme"], "export Deals is of another account than acme"),
    ):
        with pytest.raises(ConfigError, match=message):
            fleet.chosen_exports(names, accounts)
    with pytest.raises(ConfigError, match="has no export of acme"):
        load(tmp_path, FLEET + deals).chosen_exports([], ["acme"])
    with pytest.raises(ConfigError, match=r"has no \[\[exports\]\]"):
        load(tmp_path, FLEET).chosen_exports()


def test_of_thousands_of_accounts_only_some_are_listed(tmp_path: Path) -> None:
    """An unknown one is told with the nearest name, or with the first twenty."""
    many = "".join(f"[accounts.a{at:03}]\nenv_prefix = 'A{at}_'\n" for at in range(400))
    fleet = load(tmp_path, FLEET + many)
    with pytest.raises(ConfigError) as caught:
        fleet.settings.account("acmee")
    assert caught.value.hint == 'did you mean "acme"?'
    with pytest.raises(ConfigError) as caught:
        fleet.settings.account("zzzz")
    assert caught.value.hint.startswith("Available: acme, beta, a000, ")
    assert caught.value.hint.endswith("a017, and 382 more.")


@pytest.mark.parametrize("heading", ["[fleet]", "[accounts."])
def test_what_a_fleet_cannot_do_without_is_missed(tmp_path: Path, heading: str) -> None:
    """Without its database, or without an account, there is nothing to be done."""
    text = FLEET[FLEET.index("[accounts.") :] if heading == "[fleet]" else FLEET.split("[acc")[0]
    with pytest.raises(ConfigError, match="is missing"):
        load(tmp_path, text)


def test_the_example_loads_with_what_it_explains(tmp_path: Path) -> None:
    """As it stands, and with its settings that are commented out."""
    text = (Path(__file__).parents[2] / "fleet.example.toml").read_text()
    fleet = load(tmp_path, text)
    assert fleet.settings.account_names == {"acme", "globex"}
    assert fleet.fleet.staging == Path("/var/lib/bulkfetch")
    assert fleet.exports == ()
    settings = re.compile(r"# (\[|[a-z0-9_]+ = )")
    lines = [line[2:] if settings.match(line) else line for line in text.splitlines()]
    (tmp_path / "etc").mkdir()
    secrets = tmp_path / "etc" / "acme.env"
    secrets.touch(mode=0o600)
    whole = load(tmp_path, "\n".join(lines).replace("/etc/bulkfetch/acme.env", str(secrets)))
    assert whole.fleet == fleet.fleet
    assert whole.settings.account("globex").window.requests == 7
    assert [each.name for each in whole.exports_of("acme")] == ["Leads"]
    assert [each.name for each in whole.exports_of("globex")] == ["Leads", "Open deals"]


def test_the_schema_judges_as_the_loader_does() -> None:
    """What is right is so for both; unknown keys are refused everywhere, every key is described."""
    schema = fleet_schema()
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    assert validator.is_valid(tomllib.loads(FLEET))
    assert validator.is_valid(tomllib.loads(FLEET.replace("s3://", "/srv/", 1)))
    for before, after in (
        ("store = ", "stor = "),
        ("s3://", "srv/"),
        ("s3://exports/{account}/", "/srv/exports"),
        ("[fleet]\n", "[fleet]\nturn_s = 0\n"),
        ("[fleet]\n", 'out = "x"\n[fleet]\n'),
        ("accounts.acme", "account"),
    ):
        assert not validator.is_valid(tomllib.loads(FLEET.replace(before, after, 1)))
    keys = schema["$defs"]["FleetTable"]["properties"]
    assert all(key["description"] for key in keys.values())
    assert main(["schema", "--fleet"]) == 0


def test_fields_for_the_results_of_lists_are_told_to_mean_nothing(tmp_path: Path) -> None:
    """Nobody says of which module a result is; exports have types without them."""
    parquet = '[parquet]\ntypes = "fields"\n'
    assert load(tmp_path, FLEET + parquet).settings.warnings == ()
    fields = 'fields = "fields/{module}.json"\n'
    [warning] = load(tmp_path, FLEET + parquet + fields).settings.warnings
    assert warning.startswith("parquet.fields has no effect in a fleet")
