"""Runs that publish in a bucket: the program, its built-in sandbox and the strict stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.destinations import AWS_ENV
from tests.support.programs import IDS, Program
from tests.support.s3_server import S3Server, error, s3_server

pytestmark = pytest.mark.slow

FILES = {f"zoho/{job_id}.csv" for job_id in IDS[:3]}


@pytest.fixture
def server() -> Iterator[S3Server]:
    """A bucket's server."""
    with s3_server() as made:
        yield made


@pytest.fixture
def program(tmp_path: Path, server: S3Server) -> Iterator[Program]:
    """The program, with a jobs.toml that publishes in the bucket."""
    made = Program(tmp_path, dict(AWS_ENV))
    settle(made, server)
    yield made
    made.close()


def settle(program: Program, server: S3Server, publish_to: str = "s3://lake/zoho") -> None:
    """Write jobs.toml."""
    program.settings(
        f'publish_to = "{publish_to}"\n[destination]\nendpoint = "{server.url}"\n'
        'region = "eu-central-1"\n'
    )


def test_a_run_publishes_in_the_bucket(program: Program, server: S3Server) -> None:
    """Outcomes name URLs, nothing but the journal is in `out`, and the next run asks nothing."""
    ended = program.run("run", "jobs.toml", *IDS[:3], "--json")
    assert ended.status == 0, ended.err
    *jobs, summary = ended.records
    assert set(server.objects) == FILES
    assert {job["files"][0]["path"] for job in jobs} == {f"s3://lake/{key}" for key in FILES}
    for job in jobs:
        (file,) = job["files"]
        assert file["bytes"] == len(server.objects[file["path"].removeprefix("s3://lake/")])
    assert [each.name for each in (program.folder / "exports").iterdir()] == [".bulkfetch"]
    assert summary["requests"] == 3
    again = program.run("run", "jobs.toml", *IDS[:3], "--json").records
    assert again[-1]["requests"] == 0
    assert all(job["skipped"] and job["files"][0]["path"].startswith("s3://") for job in again[:-1])
    assert program.run("status", "exports").status == 0


def test_what_is_gone_is_found_and_fetched_again(program: Program, server: S3Server) -> None:
    """`verify` looks at sizes, with --download at every byte; `--again missing` fetches."""
    program.run("run", "jobs.toml", *IDS[:3])
    verify = ("verify", "exports", "--settings", "jobs.toml")
    assert "only the size" in program.run(*verify).out
    assert program.run(*verify, "--download").status == 0
    del server.objects[f"zoho/{IDS[0]}.csv"]
    key = f"zoho/{IDS[1]}.csv"
    server.objects[key] = b"X" + server.objects[key][1:]
    assert program.run(*verify).out.count("is gone") == 1
    ended = program.run(*verify, "--download", "--json")
    assert ended.status == 1
    assert {each.get("problem") for each in ended.records[:-1]} == {"MISSING", "SHA256", None}
    ended = program.run("run", "jobs.toml", "--again", "missing", "--json")
    assert ended.records[-1]["requests"] == 1
    assert set(server.objects) == FILES


def test_without_settings_a_bucket_is_reached_as_the_environment_says(
    program: Program, server: S3Server
) -> None:
    """Where that fails, the hint of `verify` names --settings; with settings it does not."""
    program.run("run", "jobs.toml", IDS[0])
    own = Program(program.folder, {**AWS_ENV, "AWS_ENDPOINT_URL": server.url})
    server.faults["HEAD"] = lambda _: error(403, "AccessDenied")
    ended = own.run("verify", "exports")
    assert (ended.status, ended.out) == (3, "")
    assert "error: DESTINATION_" in ended.err
    assert "hint: Add --settings JOBS.toml if its [destination] says how" in ended.err
    ended = program.run("verify", "exports", "--settings", "jobs.toml")
    assert ended.status == 3
    assert "--settings" not in ended.err
    own.close()


def test_an_object_of_somebody_else_stays(program: Program, server: S3Server) -> None:
    """It is a conflict, as in a folder; the result is kept, and --overwrite needs no request."""
    server.objects[f"zoho/{IDS[0]}.csv"] = b"precious"
    ended = program.run("run", "jobs.toml", IDS[0], "--json")
    assert ended.status == 1
    assert ended.records[0]["error"]["code"] == "PUBLISH_CONFLICT"
    assert server.objects == {f"zoho/{IDS[0]}.csv": b"precious"}
    ended = program.run("run", "jobs.toml", IDS[0], "--overwrite", "--json")
    assert (ended.status, ended.records[-1]["requests"]) == (0, 0)
    assert server.objects[f"zoho/{IDS[0]}.csv"] != b"precious"


def test_a_bucket_that_there_is_not_costs_no_request(program: Program, server: S3Server) -> None:
    """The run ends before anything is asked for; `check --online` says the same."""
    settle(program, server, "s3://no-such-lake/zoho")
    ended = program.run("run", "jobs.toml", IDS[0], "--json")
    assert ended.status == 3
    assert "DESTINATION_FAILED" in ended.out + ended.err
    assert ended.records[-1]["requests"] == 0
    assert program.run("check", "jobs.toml").status == 0
    checked = program.run("check", "jobs.toml", "--online")
    assert checked.status == 3
    assert "DESTINATION_FAILED" in checked.out


@pytest.mark.parametrize("call", ["LIST", "HEAD", "PUT"])
def test_credentials_that_are_refused_lose_nothing(
    program: Program, server: S3Server, call: str
) -> None:
    """The run ends; with rights the next one publishes what it has, and no secret is told."""
    server.faults[call] = lambda _: error(403, "AccessDenied")
    ended = program.run("run", "jobs.toml", *IDS[:3], "--json", "-vv")
    assert ended.status == 3
    assert "DESTINATION_REFUSED" in ended.out + ended.err
    told = ended.out + ended.err
    told += "".join(
        path.read_bytes().decode("latin-1")
        for path in program.folder.rglob("*")
        if path.is_file() and path.suffix != ".zip"
    )
    assert not [value for value in AWS_ENV.values() if value in told]
    asked = ended.records[-1]["requests"]
    assert asked == 0 if call == "LIST" else asked >= 1
    del server.faults[call]
    ended = program.run("run", "jobs.toml", *IDS[:3], "--json")
    assert ended.status == 0
    assert ended.records[-1]["requests"] == 3 - asked
    assert set(server.objects) == FILES


def test_several_formats_and_the_archive(program: Program, server: S3Server) -> None:
    """All of them are objects."""
    text = (program.folder / "jobs.toml").read_text()
    (program.folder / "jobs.toml").write_text(
        f'formats = ["csv", "csv.gz", "parquet"]\nkeep_zip = true\n{text}'
    )
    assert program.run("run", "jobs.toml", IDS[0]).status == 0
    endings = ("csv", "csv.gz", "parquet", "zip")
    assert set(server.objects) == {f"zoho/{IDS[0]}.{ending}" for ending in endings}


def test_obstore_is_not_imported_without_a_bucket(program: Program) -> None:
    """A run that publishes in its folder does not know of it."""
    program.settings()
    program.env["PYTHONPROFILEIMPORTTIME"] = "1"
    ended = program.run("run", "jobs.toml", IDS[0])
    assert ended.status == 0
    assert "aiohttp" in ended.err
    assert "obstore" not in ended.err


@pytest.mark.parametrize("command", ["run", "export"])
def test_without_obstore_it_is_a_usage_error(program: Program, command: str) -> None:
    """Exit status 2 with the command that installs it, also for an export's bucket; nothing is
    made."""
    if command == "export":
        program.settings(sandbox='[[exports]]\nmodule = "Leads"\npublish_to = "gs://lake"\n')
    (program.folder / "hide").mkdir()
    (program.folder / "hide" / "sitecustomize.py").write_text(
        "import importlib.util as u\nfound = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'obstore' else found(name, *a)\n"
    )
    program.env["PYTHONPATH"] = str(program.folder / "hide")
    ended = program.run(command, "jobs.toml", *([IDS[0]] if command == "run" else []))
    assert ended.status == 2
    assert "pip install 'obstore" in ended.err
    assert not (program.folder / "exports").exists()


def test_what_is_forgotten_stays_in_the_bucket(program: Program, server: S3Server) -> None:
    """`forget --files` removes nothing there, and says so; the id is fetched again."""
    program.run("run", "jobs.toml", IDS[0])
    ended = program.run("forget", "exports", IDS[0], "--files")
    assert (ended.status, ended.out) == (0, "1 job forgotten, 0 files removed\n")
    assert "left there" in ended.err
    assert set(server.objects) == {f"zoho/{IDS[0]}.csv"}


def test_an_export_in_a_bucket_is_looked_at_as_in_a_folder(
    program: Program, server: S3Server
) -> None:
    """`export` and `status` name URLs, `verify` finds what is gone or has other bytes, and
    `check --online` looks at the bucket of an export."""
    settings = program.folder / "jobs.toml"
    own = 'publish_to = "s3://no-such-lake/own"\n'
    quick = "per_page = 20\nprepare_s = 0\n"
    exports = f'[[exports]]\nmodule = "Leads"\n[[exports]]\nmodule = "Contacts"\n{own}'
    settings.write_text(f"{settings.read_text()}{quick}{exports}")
    checked = program.run("check", "jobs.toml", "--online")
    assert checked.status == 3
    assert "publish_to s3://no-such-lake/own" in checked.out
    assert "Contacts (publish_to s3://no-such-lake/own)" in checked.out
    settings.write_text(settings.read_text().replace(own, "split = 2\n"))
    ended = program.run("export", "jobs.toml")
    assert ended.status == 0, ended.err
    paths = ended.out.splitlines()
    assert {path.rpartition("/")[0].rpartition("/")[0] for path in paths} == {
        "s3://lake/zoho/Leads",
        "s3://lake/zoho/Contacts",
    }
    told = program.run("status", "exports", "--json").records
    folders = {each["folder"] for each in told if each["type"] == "export"}
    assert folders == {path.rpartition("/")[0] for path in paths}
    verify = ("verify", "exports", "--settings", "jobs.toml", "--json")
    assert program.run(*verify, "--download").records[-1] == {
        "type": "summary",
        "files": 3,
        "bad": 0,
    }
    one, other = (path.removeprefix("s3://lake/") for path in paths[-2:])
    del server.objects[one]
    server.objects[other] = b"X" + server.objects[other][1:]
    ended = program.run(*verify, "--download")
    problems = {each["path"]: each["problem"] for each in ended.records[:-1]}
    assert ended.status == 1
    assert problems == dict.fromkeys(paths) | {paths[-2]: "MISSING", paths[-1]: "SHA256"}
