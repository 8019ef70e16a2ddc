"""Names that an honest export may hold, and that it may not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.zip_cases import HARMFUL_NAMES

from bulkfetch.filenames import member_hazard, same_file

PLAIN = (
    ["554.csv", "Leads 2025-01-01.csv", "Müller & Söhne.csv", "名前.csv", "a.b.csv", ".csv"],
    ["exports/554.csv", "exports/", "console.csv", "nule/com.csv", "..554.csv", "a..b/c.csv"],
)


@pytest.mark.parametrize("name", [name for group in PLAIN for name in group])
def test_plain_names_are_let_pass(name: str) -> None:
    """Words, digits, blanks, dots, other scripts and subfolders do no harm."""
    assert member_hazard(name) is None


@pytest.mark.parametrize("what", HARMFUL_NAMES)
def test_harmful_names_are_told(what: str) -> None:
    """Each would leave the folder, reach a device or mislead; the reason never quotes it."""
    reason = member_hazard(HARMFUL_NAMES[what].decode())
    assert reason
    assert reason.isascii()
    assert reason.isprintable()


@pytest.mark.slow
@given(st.text(max_size=40))
def test_a_name_that_passes_stays_in_its_folder(name: str) -> None:
    """Whatever passes is a relative path downwards, on POSIX and on Windows."""
    if member_hazard(name) is None:
        assert not set(name) & set("\\:\0")
        parts = name.removesuffix("/").split("/")
        assert all(part.strip(" .") or part.strip() not in ("", ".", "..") for part in parts)
        name.encode()


@pytest.mark.parametrize(
    ("one", "other"), [("Leads", "LEADS"), ("é", "e\u0301"), ("STRASSE", "straße")]
)
def test_names_that_a_file_system_may_fold_have_one_key(one: str, other: str) -> None:
    """Case and the form of accents make no second file."""
    assert same_file(one) == same_file(other)
