"""What Zoho would refuse, and in which words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class BadCreate(Exception):
    """A create call that Zoho would refuse: its code and details."""

    def __init__(self, code: str, details: Mapping[str, Any] | None = None) -> None:
        self.code, self.details = code, details or {}
        super().__init__(code)
