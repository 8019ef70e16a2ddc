"""The screen of a run is as the documents show it."""

from __future__ import annotations

import pytest
from tests.support.captures import WIDTHS, captures, normal, on_page, sessions
from tests.support.screens import shown


@pytest.mark.slow
def test_the_captures_show_what_the_program_draws() -> None:
    """Sessions on terminals of 80 and of 200 columns look as in the page, but for their figures."""
    made = sessions()
    for width, session in made.items():
        assert max(map(len, session.under_way.splitlines())) <= width
    for told, drawn in zip(on_page(), captures(made), strict=True):
        assert normal(told) == normal(drawn)


def test_the_captures_have_the_widths_that_they_are_said_to_have() -> None:
    """No line is wider than its terminal, and the wide one shows what the narrow one cannot."""
    narrow, wide, _ = on_page()
    for width, capture in zip(WIDTHS, (narrow, wide), strict=True):
        assert max(map(len, capture.splitlines())) <= width
    assert "MB of 20.0 MB" in wide
    assert "MB of 20.0 MB" not in narrow


def test_the_screen_of_the_tests_is_a_terminals() -> None:
    """A line that is too long goes on below; what is erased and drawn again stands once."""
    assert shown("abcdef\r\nxy", 4) == "abcd\nef\nxy\n"
    assert shown("one\r\ntwo\r\x1b[2K\x1b[1A\x1b[2Kthree\x1b[31m!", 9) == "three!\n"
    with pytest.raises(ValueError, match="not known"):
        shown("\x1b[7J", 9)
