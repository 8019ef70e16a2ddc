"""What is struck out of messages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from bulkfetch.zoho.redact import PIECE, STRUCK, strike

SECRET = "1000.8cb99dxxxxxxxxxxxxx9be93.9b8xxxxxxxxxxxxxxxf"
TEXT = st.text(max_size=80)


@given(TEXT, TEXT, st.sampled_from([str, str.lower, str.upper]), st.integers(0, len(SECRET)))
def test_no_piece_of_a_secret_survives(before: str, after: str, change: object, start: int) -> None:
    """Whole or cut, in whatever case and company: no eight characters in a row are left."""
    text = before + change(SECRET[start:]) + after  # type: ignore[operator]
    clean = strike(text, SECRET).lower()
    pieces = (SECRET[at : at + PIECE].lower() for at in range(len(SECRET) - PIECE + 1))
    assert not any(piece in clean for piece in pieces)


@given(TEXT, TEXT)
def test_what_surrounds_a_secret_stays(before: str, after: str) -> None:
    """A secret that comes whole leaves one mark, and the rest as it was."""
    assert strike(f"{before}|{SECRET}|{after}", SECRET) == f"{before}|{STRUCK}|{after}"


@given(TEXT)
def test_other_text_stays(text: str) -> None:
    """What holds no secret is not changed, nor anything where there is no secret."""
    assert strike(text, SECRET) == text
    assert strike(text, "") == text
