"""FLEET.toml: what all hosts of a fleet are told alike."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from bulkfetch.cli import main
from bulkfetch.config.fleet import FleetSettings, load_fleet
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
    settings = re.compile(r"# (\[|[a-z0-9_]+ = )")
    lines = [line[2:] if settings.match(line) else line for line in text.splitlines()]
    (tmp_path / "etc").mkdir()
    secrets = tmp_path / "etc" / "acme.env"
    secrets.touch(mode=0o600)
    whole = load(tmp_path, "\n".join(lines).replace("/etc/bulkfetch/acme.env", str(secrets)))
    assert whole.fleet == fleet.fleet
    assert whole.settings.account("globex").window.requests == 7


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
