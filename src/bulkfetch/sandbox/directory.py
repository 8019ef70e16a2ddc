"""What an honest Zoho says of its modules, their fields, how many records, and which are gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from bulkfetch.sandbox.options import SandboxOptions
from bulkfetch.sandbox.org.org import Org
from bulkfetch.sandbox.wire import Reply, json_reply

_MOST_PER_PAGE = 200


class Directory:
    """The answers to the calls that read metadata. `wall` is the time now, since 1970."""

    def __init__(self, options: SandboxOptions, org: Org, wall: Callable[[], float]) -> None:
        self._options, self._org, self._wall = options, org, wall

    def answer(
        self, kind: str, module: str, query: Mapping[str, str], headers: Mapping[str, str]
    ) -> Reply | str:
        """Return the answer to a call, or the code of the error that it is."""
        if kind == "modules":
            return json_reply(200, {"modules": self._org.modules_told()})
        if not self._org.known(module):
            return "INVALID_MODULE"
        if kind == "fields":
            if not self._org.specs[module].fields_known:
                return Reply(204)
            return json_reply(200, {"fields": self._org.fields_told(module)})
        if kind == "count":
            at_s = self._wall() - self._options.count_lag_s
            return json_reply(200, {"count": self._org.store(module).count_at(at_s)})
        return self._deleted(module, query, headers.get("If-Modified-Since"))

    def _deleted(self, module: str, query: Mapping[str, str], since: str | None) -> Reply | str:
        kind, page, per_page = (
            query.get("type", ""),
            query.get("page", "1"),
            query.get("per_page", str(_MOST_PER_PAGE)),
        )
        numbers = page.isdecimal() and per_page.isdecimal()
        if kind not in ("all", "recycle", "permanent") or not numbers:
            return "INVALID_DATA"
        if not 1 <= int(per_page) <= _MOST_PER_PAGE or int(page) < 1:
            return "INVALID_DATA"
        try:
            since_s = None if since is None else _seconds(since)
        except ValueError:
            return "INVALID_DATA"
        found = self._org.deleted_told(module, kind, since_s, self._wall())
        first, last = (int(page) - 1) * int(per_page), int(page) * int(per_page)
        told = found[first:last]
        if not told:
            return Reply(204)
        info = {
            "per_page": int(per_page),
            "count": len(told),
            "page": int(page),
            "more_records": len(found) > last,
        }
        return json_reply(200, {"data": told, "info": info})


def _seconds(text: str) -> float:
    """Return a date-time in ISO form or in that of HTTP as seconds since 1970."""
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        when = parsedate_to_datetime(text)
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()
