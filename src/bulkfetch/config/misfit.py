"""What is wrong with one value of a setting, and where it stands."""

from __future__ import annotations

from bulkfetch.errors import ConfigError


class Misfit(ConfigError, ValueError):
    """A value that does not fit; a ConfigError for who makes settings in code.

    `path` leads to it from where it was found, keys and places in lists (from 0). `known` are the
    keys that there are, None unless the key itself is unknown. `advice` is the hint of the very
    value, "" where there is none.
    """

    default_hint = "Give the setting that is named a value that fits."

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

    def below(self, part: str | int) -> Misfit:
        """Give the same as seen from one step above."""
        return Misfit(self.sentence, (part, *self.path), known=self.known, hint=self.advice)
