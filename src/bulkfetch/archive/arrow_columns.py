"""Columns of text as Arrow has them, and as values of another type where that is exact."""

from __future__ import annotations

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from bulkfetch.errors import NotConvertible
from bulkfetch.models import ColumnType

_TEXT: Final = pa.string()
_INSTANT: Final = pa.timestamp("us", tz="UTC")
ARROW_TYPES: Final[Mapping[ColumnType, pa.DataType]] = {
    "boolean": pa.bool_(),
    "date": pa.date32(),
    "datetime": _INSTANT,
    "integer": pa.int64(),
    "number": pa.float64(),
}
# Every decimal of so many digits comes back from a float64 as it was [IEEE 754].
_EXACT_DIGITS: Final = 15
_DECIMAL: Final = r"^-?(0|[1-9][0-9]*)(\.[0-9]+)?$"
_TIME: Final = (
    r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?"
    r"(Z|[+-][0-9]{2}:[0-9]{2})$"
)
# The years that Python and others can read: 9999-12-31T23:59:59-07:00 is in none of them in UTC.
_FIRST: Final = "0001-01-01T00:00:00Z"
_LAST: Final = "9999-12-31T23:59:59.999999Z"


def parse(block: bytes, names: Sequence[str], wanted: Sequence[str] | None = None) -> pa.Table:
    """Return a block of records as columns of text, all or the `wanted` ones.

    An empty cell is null, a quoted empty one is an empty text. Names must differ.
    Raises NotConvertible, whose message holds no cell.
    """
    columns = names if wanted is None else wanted
    if block.startswith(BOM_UTF8):
        # The first cell's own: Arrow takes one away, as that of a file.
        block = BOM_UTF8 + block
    try:
        return arrow_csv.read_csv(
            pa.BufferReader(block),
            read_options=arrow_csv.ReadOptions(
                use_threads=False,
                # One chunk: what is longer would be split where no record ends.
                block_size=max(len(block), 1),
                column_names=list(names),
            ),
            parse_options=arrow_csv.ParseOptions(
                newlines_in_values=True,
                # Of one column it is a record; of several it is none, and missing in the count.
                ignore_empty_lines=len(names) > 1,
            ),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(columns, _TEXT),
                include_columns=list(columns),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        # Its own message quotes the record: a customer's data.
        text = str(error)
        if "UTF8" in text or "UTF-8" in text:
            raise NotConvertible("it is not UTF-8") from None
        raise NotConvertible("a record has more or fewer cells than the header") from None


def values(column: pa.ChunkedArray, to: ColumnType) -> pa.ChunkedArray | None:
    """Return a column of text as values of a type; None if one of them is not exactly of it.

    Null and empty texts are null: no value of these types is empty.
    """
    text = pc.if_else(pc.equal(column, ""), pa.scalar(None, _TEXT), column)
    try:
        return _CONVERSIONS[to](text)
    except pa.ArrowInvalid:
        return None


def _booleans(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    return (
        text.cast(pa.bool_()) if _all(pc.is_in(text, pa.array(["true", "false"])), text) else None
    )


def _same_again(to: pa.DataType) -> Callable[[Any], pa.ChunkedArray | None]:
    def convert(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
        made = text.cast(to)
        return made if _all(pc.equal(made.cast(_TEXT), text), text) else None

    return convert


def _numbers(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    digits = pc.utf8_length(pc.replace_substring_regex(text, r"[-.]", ""))
    exact = pc.and_(pc.match_substring_regex(text, _DECIMAL), pc.less_equal(digits, _EXACT_DIGITS))
    return text.cast(pa.float64()) if _all(exact, text) else None


def _instants(text: pa.ChunkedArray) -> pa.ChunkedArray | None:
    if not _all(pc.match_substring_regex(text, _TIME), text):
        return None
    made = text.cast(_INSTANT)
    # Made only here: with its first scalar pyarrow imports pandas where that is installed.
    first, last = (pa.scalar(each).cast(_INSTANT) for each in (_FIRST, _LAST))
    within = pc.and_(pc.greater_equal(made, first), pc.less_equal(made, last))
    return made if _all(within, text) else None


def _all(true: pa.ChunkedArray, text: pa.ChunkedArray) -> bool:
    """Return whether all are true but those of which the text is null."""
    return bool(pc.all(pc.or_kleene(true, pc.is_null(text)), min_count=0).as_py())


_CONVERSIONS: Final[Mapping[ColumnType, Callable[[Any], pa.ChunkedArray | None]]] = {
    "boolean": _booleans,
    "date": _same_again(pa.date32()),
    "datetime": _instants,
    "integer": _same_again(pa.int64()),
    "number": _numbers,
}
