"""The JSON Schema of jobs.toml judges as the loader does, where a schema can say it."""

from __future__ import annotations

import json
import re
import tomllib
from functools import cache
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator
from tests.cli.test_cli_sandbox_slips import SLIPS as SANDBOX_SLIPS
from tests.cli.test_cli_sandbox_slips import TABLE
from tests.config.test_config_exports import EXPORT_SLIPS
from tests.config.test_config_slips import SLIPS

from bulkfetch.cli import main
from bulkfetch.config import load_settings
from bulkfetch.config.sandbox_table import read_sandbox_options
from bulkfetch.config.schema import json_schema
from bulkfetch.errors import ConfigError

EXAMPLE = Path(__file__).parents[2] / "jobs.example.toml"
# What only the loader can tell, by what it says.
BEYOND_A_SCHEMA = re.compile(
    r"Zoho allows|no such file|no such home|secrets_file: |"  # the world outside
    r"sandbox is for an account|job 55 has|"  # what stands elsewhere in the file
    r"requests must|split must be a|"  # 7.0 is 7 in JSON
    r"not hold a password$|"  # inside an address
    r"file_bytes must be at most|"  # the value of a size with its unit
    r"cannot be a file's$|"  # an ending that a name must not have
    r"endpoint must begin with|part_bytes must be|must have a prefix|in its prefix|"  # inside
    r"finite number|period_s must be$|no fault is called|"  # NaN; the names of faults
    r"time of day$|"  # a format, which a schema only mentions
    r"cannot be a folder's|more than 0$|full_every must be at most|or Zoho's$|"  # inside a text
    r"has \d+ \w+$|criteria\.value|criteria\.group\[2\]|"  # inside criteria
    r"must be 'csv'$|cannot be chosen|is for sync|exports\[\d\] \("  # beside another key
)


@cache
def validator() -> Draft202012Validator:
    """Make the validator once: it takes longer than all that it judges."""
    return Draft202012Validator(json_schema())


def misfits(text: str) -> list[str]:
    """What the schema complains of."""
    return [error.message for error in validator().iter_errors(tomllib.loads(text))]


def is_toml(text: str) -> bool:
    try:
        tomllib.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


ALL = [(text, message) for text, message, _, _ in SLIPS + EXPORT_SLIPS if is_toml(text)]
ALL += [(TABLE + text, message) for text, message, _, _ in SANDBOX_SLIPS]
JUDGED_ALIKE = [slip for slip in ALL if not BEYOND_A_SCHEMA.search(slip[1])]


def test_the_schema_is_one() -> None:
    """It is a schema by its own dialect, refuses unknown keys everywhere, and knows no null."""
    schema = json_schema()
    Draft202012Validator.check_schema(schema)
    tables = [schema, *(schema["$defs"][name] for name in sorted(schema["$defs"]))]
    assert all(table["additionalProperties"] is False for table in tables)
    assert "null" not in json.dumps(schema)


@pytest.mark.parametrize(("text", "message"), JUDGED_ALIKE, ids=lambda value: f"{value!a:.40}")
def test_a_slip_is_one_for_the_schema_too(tmp_path: Path, text: str, message: str) -> None:
    """What the loader refuses by itself, an editor underlines."""
    (tmp_path / "jobs.toml").write_text(text)
    with pytest.raises(ConfigError):
        read_sandbox_options(load_settings(tmp_path / "jobs.toml", {}))
    assert misfits(text)


def test_enough_slips_are_judged_alike() -> None:
    """The exceptions have not eaten up the rule."""
    assert len(JUDGED_ALIKE) > 90


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ids_column = 2\n",
        "ids_column = 'Job ID'\n",
        "[account]\napi_domain = 'HTTPS://www.zohoapis.eu'\n",
        "[account]\nproxy = ''\n",
        "[account]\ntoken_cache = 'keyring'\n[account.window]\nmargin_s = 0\n",
        "[accounts.a]\nenv_prefix = 'A_'\n[accounts.b-2]\ndata_center = 'eu'\n",
        "[limits]\nzip_bytes = '1.5 gib'\nfree_bytes = 0\nidle_s = 0.5\n",
        "[limits]\nzip_bytes = '7 B'\nfile_bytes = 4096\nthreads = 1\n",
        "[[jobs]]\nid = '5'\nname = 'Leads 2026'\naccount = 'default'\n",
        "[[exports]]\nmodule = 'Leads'\n"
        'criteria = \'{"field": "A", "comparator": "equal", "value": 1}\'\n',
        "[[exports]]\nmodule = 'Leads'\noverlap = '0s'\nfull_every = '7 d'\nsync = 'changes'\n"
        "criteria = {group_operator = 'or', group = [{field = 'A.b', comparator = 'equal', "
        "value = true}]}\nfields = ['A', '$converted', 'Owner.last_name']\n",
        TABLE + "records = 5\nlatency_s = [0, 1.5]\n[sandbox.jobs.55]\nkind = 'ics'\n",
        TABLE + "pages = 'live'\n[sandbox.modules.Leads]\nrecords = 5\nviews = {7 = {a = [1]}}\n"
        "[[sandbox.modules.Leads.fields]]\napi_name = 'A'\n[[sandbox.plans.Leads]]\nrows_off = 1\n",
        TABLE + "[[sandbox.rules]]\nshare = 0.5\nfaults = ['close_in_body']\n",
    ],
    ids=ascii,
)
def test_what_is_right_is_so_for_both(tmp_path: Path, text: str) -> None:
    """An editor underlines nothing that a run takes."""
    (tmp_path / "jobs.toml").write_text(text)
    read_sandbox_options(load_settings(tmp_path / "jobs.toml", {}))
    assert misfits(text) == []


def test_the_example_is_right_in_all_its_parts() -> None:
    """As it stands, with its explained settings, and with its several accounts."""
    lines = EXAMPLE.read_text().splitlines()
    settings = re.compile(r"# (\[|[a-z0-9_]+ = )")
    assert misfits("\n".join(lines)) == []
    assert misfits("\n".join(line[2:] if settings.match(line) else line for line in lines)) == []
    several = (line.removeprefix("##").strip() for line in lines if line.startswith("##"))
    assert misfits("\n".join(several)) == []
    assert lines[0] == "#:schema ./jobs.schema.json"


def test_the_command_prints_the_schema(capfd: pytest.CaptureFixture[str]) -> None:
    """`bulkfetch schema` is what the example names, as JSON that people can read."""
    assert main(["schema"]) == 0
    out, err = capfd.readouterr()
    assert (json.loads(out), err) == (json_schema(), "")
    assert out.startswith('{\n  "$schema"')


def test_each_key_is_described() -> None:
    """Editors and the reference say of each key what it is for; of [sandbox] its options do."""
    made = json_schema()
    own = [name for name in made["$defs"] if name.endswith(("Table", "Settings", "Entry"))]
    tables = [made, made["$defs"]["Limits"], *(made["$defs"][name] for name in own)]
    assert len(tables) == 9
    for table in tables:
        for key, value in table["properties"].items():
            is_table = "$ref" in value or "$ref" in str(value.get("items")) or key == "accounts"
            assert is_table or value.get("description"), key
