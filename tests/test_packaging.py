"""What is handed on holds what it names: the source archive, and the wheel."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

# As pip does it, but that nothing is left in the checkout.
_BUILD = """
import sys
from hatchling.build import build_sdist, build_wheel
build_sdist(sys.argv[1]), build_wheel(sys.argv[1])
"""


def named_files() -> set[str]:
    """The files of this folder that the README links to, or uses in a command."""
    links = re.findall(r"\]\(([^):#]+)[^)]*\)", README)
    used = re.findall(r"-r (\S+)|bulkfetch run (\S+\.example\.toml)|`(\.ci/\w+)`", README)
    return {name for name in [*links, *(part for parts in used for part in parts)] if name}


def test_the_readme_names_what_there_is() -> None:
    """Every file that the README links to or uses is in the checkout."""
    assert {"SECURITY.md", "docs/faults.md", "jobs.example.toml", ".ci/run"} <= named_files()
    assert "requirements-dev.lock" in named_files()
    for name in named_files():
        assert (ROOT / name).is_file(), name


def test_the_readme_does_not_claim_an_index() -> None:
    """Nothing is said to be on an index of packages where it is not."""
    assert "pip install bulkfetch" not in README


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both archives."""
    folder = tmp_path_factory.mktemp("dist")
    backend = folder / "backend"
    required = PROJECT["build-system"]["requires"]
    got = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--target", str(backend), *required],
        capture_output=True,
        text=True,
        check=False,
    )
    if got.returncode:
        pytest.skip(f"the build backend cannot be had: {got.stderr.strip().splitlines()[-1:]}")
    subprocess.run(
        [sys.executable, "-c", _BUILD, str(folder)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(backend)},
        check=True,
        capture_output=True,
    )
    return folder


@pytest.mark.slow
def test_the_source_archive_has_what_the_readme_needs(built: Path) -> None:
    """The README's links and its test command work from the source archive too."""
    [archive] = built.glob("*.tar.gz")
    with tarfile.open(archive) as tar:
        names = {str(PurePosixPath(*PurePosixPath(name).parts[1:])) for name in tar.getnames()}
    assert named_files() <= names
    assert {"pyproject.toml", "LICENSE", "CHANGELOG.md", "tests/test_packaging.py"} <= names
    assert {"benchmarks/README.md", "src/bulkfetch/py.typed"} <= names
    # Whatever a test reads beside itself is there: all of it, not the Python files alone.
    own = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "tests").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert own <= names


@pytest.mark.slow
def test_the_wheel_has_a_file_to_start_from(built: Path) -> None:
    """An installed user finds the example of jobs.toml in the package, where the documents say."""
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read("bulkfetch/jobs.example.toml")
        assert "bulkfetch/py.typed" in archive.namelist()
        assert "bulkfetch/cli/init.template.toml" in archive.namelist()
    assert text == (ROOT / "jobs.example.toml").read_bytes()
    guide = (ROOT / "docs/how-to-connect-an-org.md").read_text(encoding="utf-8")
    [command] = re.findall(r"python -c '(.*)'\n", guide)
    installed = built / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(installed)
    printed = subprocess.run(
        [sys.executable, "-P", "-c", command],
        env={"PYTHONPATH": str(installed)},
        capture_output=True,
        check=True,
    )
    assert printed.stdout.rstrip() == text.rstrip()
