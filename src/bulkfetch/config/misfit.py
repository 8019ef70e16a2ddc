"""What is wrong with one value of a setting, and where it stands; from pydantic's words to ours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from difflib import get_close_matches
from typing import Any, get_args, get_type_hints

from pydantic import ValidationError

from bulkfetch.errors import ConfigError

# Names that a hint lists; a fleet may have thousands.
_SHOWN = 20
NO_POINT = "Write it without a decimal point."
_NO_QUOTES = "Write the number without quotes and unit."
# By the beginning of pydantic's name for a kind of error, the sentence, which takes its context,
# and hints by the kind of what was given.
_SENTENCES: tuple[tuple[str, str, Mapping[type, str]], ...] = (
    ("int_", "must be a whole number", {str: _NO_QUOTES, float: NO_POINT}),
    ("float_", "must be a number", {str: _NO_QUOTES}),
    ("finite_number", "must be a finite number", {}),
    ("bool_", "must be true or false", {str: "Write it in small letters and without quotes."}),
    ("string_", "must be a string in quotes", {}),
    ("bytes_", "must be a string in quotes", {}),
    ("path_", "must be a path in quotes", {}),
    ("datetime_", "must be a date and a time of day", {}),
    ("literal_error", "must be {expected}", {}),
    ("greater_than_equal", "must be at least {ge}", {}),
    ("greater_than", "must be more than {gt}", {}),
    ("less_than_equal", "must be at most {le}", {}),
    ("too_short", "must be a list of {min_length}", {}),
    ("too_long", "must be a list of {max_length}", {}),
    ("tuple_", "must be a list", {}),
    ("dict_", "must be a table", {}),
    ("mapping_", "must be a table", {}),
    ("dataclass_", "must be a table", {}),
    ("missing", "is missing", {}),
)


class Misfit(ConfigError, ValueError):
    """A value that does not fit; a ConfigError for programs that make settings in code.

    `path` leads to it from where it was found, keys and places in lists (from 0). `known` are the
    keys that there are, None unless the key itself is unknown. `advice` is the hint of the very
    value, "" where there is none.
    """

    default_hint = "Give this setting a value that fits."

    def __init__(
        self,
        sentence: str,
        path: tuple[str | int, ...] = (),
        *,
        known: tuple[str, ...] | None = None,
        hint: str = "",
    ) -> None:
        super().__init__(f"{'.'.join(map(str, path))} {sentence}".strip(), hint=hint or None)
        self.sentence, self.path, self.known, self.advice = sentence, path, known, hint

    def below(self, *parts: str | int) -> Misfit:
        """Return the same as seen from some steps above."""
        return Misfit(self.sentence, (*parts, *self.path), known=self.known, hint=self.advice)


def misfits(error: ValidationError, table: type) -> Iterator[Misfit]:
    """Yield what pydantic found wrong with a table, in our words; none of them repeats a value."""
    details = error.errors(include_url=False)
    # An unknown key is often the missing one, spelt in another way.
    for found in sorted(details, key=lambda found: found["type"] == "missing"):
        kind, given, context = found["type"], found["input"], found.get("ctx", {})
        path = found["loc"][:-1] if found["loc"][-1:] == ("[key]",) else found["loc"]
        if kind == "value_error":  # of a check of ours
            own = context["error"]
            yield own.below(*path) if isinstance(own, Misfit) else Misfit(str(own), path)
        elif kind == "unexpected_keyword_argument":
            yield Misfit("is unknown", found["loc"], known=known_keys(table, path[:-1]))
        elif kind == "too_short" and not given:
            yield Misfit("is empty", path)
        elif kind == "dataclass_type" and isinstance(given, list):
            yield Misfit("must be one table", path, hint="Write its heading with single brackets.")
        else:
            sentence, hint = _sentence(kind, given, context)
            yield Misfit(sentence, path, hint=hint)


def _sentence(kind: str, given: object, context: Mapping[str, Any]) -> tuple[str, str]:
    plain = {key: f"{v:.15g}" if isinstance(v, float) else v for key, v in context.items()}
    for beginning, sentence, hints in _SENTENCES:
        if kind.startswith(beginning):
            return sentence.format_map(plain), hints.get(type(given), "")
    return "cannot be what it is", ""


def known_keys(table: Any, path: tuple[str | int, ...] = ()) -> tuple[str, ...]:
    """Return the keys of the table that stands at a path of another."""
    for part in path:
        if is_dataclass(table):
            table = get_type_hints(table)[str(part)]
        else:  # what a list or a table of tables holds
            table = get_args(table)[isinstance(part, str)]
        if type(None) in get_args(table):
            table = get_args(table)[0]
    return tuple(field.name for field in fields(table))


def unknown(what: str, word: str, known: Sequence[str]) -> ConfigError:
    """Return the ConfigError of a name that there is not, with the one that may have been meant."""
    if (like := nearest(word, known)) is not None:
        hint = f'did you mean "{like}"?'
    else:
        hint = f"Available: {listed(known)}."
    return ConfigError(f"{what} {word[:64]!a}", hint=hint)


def listed(names: Sequence[str]) -> str:
    """Return names in one line, of many the first ones and how many more there are."""
    more = f", and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{', '.join(names[:_SHOWN])}{more}"


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word most like `word`, None where none is like it."""
    return next(iter(get_close_matches(word, list(known), n=1, cutoff=0.6)), None)
