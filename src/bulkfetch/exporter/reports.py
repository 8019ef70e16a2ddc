"""What became of an export in one command."""

from __future__ import annotations

from bulkfetch.models import ExportReport as ExportReport
