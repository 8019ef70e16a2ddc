"""What holds for files that are published together, at every destination."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.destinations import (
    AWS_ENV,
    DESTINATIONS,
    SeenDestination,
    moto_destination,
)

from bulkfetch.archive import Draft
from bulkfetch.errors import PublishConflict


@pytest.fixture(params=[*DESTINATIONS, pytest.param("moto", marks=pytest.mark.slow)])
def seen(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SeenDestination]:
    """A destination with nothing in it."""
    for name, value in AWS_ENV.items():
        monkeypatch.setenv(name, value)
    if request.param == "moto":
        yield moto_destination(request.getfixturevalue("moto"))
    else:
        with DESTINATIONS[request.param](tmp_path) as destination:
            yield destination


def never(size: int) -> bool:
    """Let nothing be replaced."""
    return False


def write(draft: Draft, *pieces: bytes) -> None:
    """Write a whole draft."""
    draft.require_room(sum(map(len, pieces)))
    draft.begin(sum(map(len, pieces)))
    for piece in pieces:
        draft.write([piece])


def test_files_of_a_group_are_published_together(seen: SeenDestination) -> None:
    """Before `publish` nobody sees anything, after it everything; in folders that it makes."""
    with seen.destination.group("key", "Sales/Leads") as group:
        write(group.draft(".csv", never), b"a,b\n", b"1,2\n")
        write(group.draft(".csv.gz", never), b"x" * 20_000_000)
        assert seen.files() == {}
        group.publish()
        assert seen.files() == {
            "Sales/Leads.csv": b"a,b\n1,2\n",
            "Sales/Leads.csv.gz": b"x" * 20_000_000,
        }
    assert len(seen.files()) == 2
    assert seen.drafts() == 0


def test_an_empty_file_is_a_file(seen: SeenDestination) -> None:
    """A draft that was begun and never written to is published without a byte."""
    with seen.destination.group("key", "Leads") as group:
        write(group.draft(".csv", never))
        group.publish()
    assert seen.files() == {"Leads.csv": b""}


def test_what_is_not_published_is_dropped(seen: SeenDestination) -> None:
    """A group that is left, by an error too, leaves nothing behind, and what was there stays."""
    seen.put("Leads.csv", b"old")

    def fail() -> None:
        with seen.destination.group("key", "Leads") as group:
            write(group.draft(".csv", never), b"x" * 20_000_000)
            group.draft(".csv.gz", never)  # never begun
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert seen.files() == {"Leads.csv": b"old"}
    assert seen.drafts() == 0


@pytest.mark.parametrize("order", [(".csv", ".csv.gz"), (".csv.gz", ".csv")])
def test_where_one_may_not_have_its_name_none_has(
    seen: SeenDestination, order: tuple[str, str]
) -> None:
    """A file in the way of one of them keeps all of them away."""
    seen.put("Leads.csv", b"of somebody else")
    with seen.destination.group("key", "Leads") as group:
        for suffix in order:
            write(group.draft(suffix, never), suffix.encode())
        with pytest.raises(PublishConflict, match="not published by bulkfetch"):
            group.publish()
    assert seen.files() == {"Leads.csv": b"of somebody else"}
    assert seen.drafts() == 0


def test_replaces_what_may_be_replaced(seen: SeenDestination) -> None:
    """Whoever publishes is asked with the size of what stands there, and only where it does."""
    seen.put("Leads.csv", b"older")
    asked: list[tuple[str, int]] = []

    def may_replace(suffix: str, size: int) -> bool:
        asked.append((suffix, size))
        return True

    with seen.destination.group("key", "Leads") as group:
        for suffix in (".csv", ".csv.gz"):
            write(group.draft(suffix, lambda size, of=suffix: may_replace(of, size)), b"new")  # type: ignore[misc]
        group.publish()
    assert seen.files() == {"Leads.csv": b"new", "Leads.csv.gz": b"new"}
    assert set(asked) == {(".csv", 5)}


def test_the_same_bytes_are_no_conflict(seen: SeenDestination) -> None:
    """What a run published just before it was killed is published again."""
    seen.put("Leads.csv", b"same")
    with seen.destination.group("key", "Leads") as group:
        write(group.draft(".csv", never), b"same")
        group.publish()
    assert seen.files() == {"Leads.csv": b"same"}


def test_copies_of_local_files(seen: SeenDestination, tmp_path: Path) -> None:
    """A copy has a place of its own, and its source stays."""
    source = tmp_path / "staged.zip"
    source.write_bytes(b"PK")
    with seen.destination.group("key", "Leads") as group:
        write(group.draft(".csv", never), b"new")
        group.copy(source, "1.zip", never)
        group.publish()
    assert seen.files() == {"Leads.csv": b"new", "1.zip": b"PK"}
    assert source.read_bytes() == b"PK"


def test_groups_side_by_side(seen: SeenDestination) -> None:
    """Two groups under way do not meet, though they are published at one place."""
    with (
        seen.destination.group("a", "Leads") as one,
        seen.destination.group("a.1", "Leads") as other,
    ):
        write(one.draft(".csv", never), b"one")
        write(other.draft(".csv", never), b"other")
        one.publish()
        with pytest.raises(PublishConflict):
            other.publish()
    assert seen.files() == {"Leads.csv": b"one"}


def test_places(seen: SeenDestination) -> None:
    """A place is reported under the name of the destination, and found again by that."""
    reported = seen.destination.reported("Sales/Leads.csv")
    assert not seen.destination.stands(reported)
    seen.put("Sales/Leads.csv", b"")
    assert seen.destination.stands(reported)
    assert not seen.destination.is_free("Sales/Leads.csv")
