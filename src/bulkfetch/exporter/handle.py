"""The caller's handle on exports under way: what is iterated."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bulkfetch.models import ExportReport, Report
from bulkfetch.pipeline.handle import Handle

if TYPE_CHECKING:
    from bulkfetch.exporter.exporter import Exporter


class ExportRun(Handle):
    """A run of `Client.export`: iterate it for the parts.

    A part is told as done once its export is published, under its final path; as failed at once;
    as pending at the end, where another call goes on with the export. `report`, or `reports` for
    several, say what became of the exports. Iterating raises ConfigError where an export does not
    fit what the service says of its module, before anything was created; RunError where everything
    had to be aborted, after all that could be told.

    It lives as long as somebody holds it, as a `Run`.
    """

    _engine: Exporter

    async def report(self) -> ExportReport:
        """Bring the only export to its end, and return what became of it; raises as iterating does.

        Parts that nobody has read are passed over. If cancelled: nothing is lost, it goes on.
        """
        reports = await self.reports()
        if len(reports) != 1:
            raise RuntimeError(f"there are {len(reports)} exports: use `reports`")
        return reports[0]

    async def reports(self) -> list[ExportReport]:
        """Bring the exports to their ends, and return what became of each, in their order.

        Raises as iterating does. If cancelled: nothing is lost, they go on.
        """
        async for _ in self:
            pass
        return self.ended_exports()

    def ended_exports(self) -> list[ExportReport]:
        """Return what became of those exports that have ended."""
        return self._engine.ended_exports()

    def go_on_s(self) -> dict[str, float | None]:
        """Return in how many seconds each export that is pending can go on, None if unknown.

        By name; as far as the service, its own pace and the settings tell.
        """
        return self._engine.go_on_s()

    @property
    def totals(self) -> Report:
        """What became of the pages of all exports. Raises RuntimeError before the end."""
        return self._engine.report
