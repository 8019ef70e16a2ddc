"""Names: which an honest export may hold, and which a job may be published under."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.archive.names import member_hazard, same_file_key, stem_hazard


@pytest.mark.parametrize(
    "name",
    ["Leads", "leads 2025-01-01", "Müller & Söhne", "名前", "a.b", "554_1", "console", "nule"],
)
def test_plain_names_may_be_published(name: str) -> None:
    """Words, digits, blanks, dots and other scripts inside a name do no harm."""
    assert stem_hazard(name) is None


HARMFUL = (
    ["", ".", "..", ".hidden", "-rf", "~root", " a", "a ", "a.", "x" * 201, "ü" * 101],
    ["a/b", "a\\b", "C:a", "a*", "a?", 'a"b', "a<b", "a|b"],
    ["CON", "nul", "Lpt1", "com¹", "aux.backup", "conin$"],
    [
        "a\0b",
        "a\nb",
        "a\x1bb",
        "a\x85b",
        "a\u202eb",
        "a\u200bb",
        "a\ufeffb",
        "a\u2028b",
        "a\udc80b",
    ],
)


@pytest.mark.parametrize("name", [name for group in HARMFUL for name in group])
def test_harmful_names_may_not_be_published(name: str) -> None:
    """Each would leave the folder, hide, be taken for an option or a device, or mislead the eye."""
    reason = stem_hazard(name)
    assert reason
    assert reason.isprintable()


@given(st.text(max_size=40))
def test_a_stem_that_passes_is_one_component_everywhere(name: str) -> None:
    """What passes is one path component that is no special one, and can be encoded."""
    if stem_hazard(name) is None:
        assert not set(name) & set('/\\:\0<>"|?*')
        assert name.strip(" .")
        assert len(f"{name}.csv".encode()) <= 255
        assert member_hazard(f"{name}.csv") is None


@pytest.mark.parametrize(
    ("one", "other"), [("Leads", "LEADS"), ("é", "e\u0301"), ("ﬁle", "file"), ("STRASSE", "straße")]
)
def test_names_that_a_file_system_may_fold_have_one_key(one: str, other: str) -> None:
    """Case, normal form and compatibility forms make no second file."""
    assert same_file_key(one) == same_file_key(other)
