"""The two servers of a run that publishes in a bucket, each in a process of its own.

The sandbox has the results, the sink takes the objects: what they need is not the run's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from bulkfetch.sandbox import JobSpec, SandboxOptions

HERE = Path(__file__).resolve().parent


class Servers:
    """Results, each a ZIP by its job's id, and a bucket; a context manager."""

    def __init__(self, results: Mapping[str, Path]) -> None:
        jobs = {job_id: JobSpec(path=path) for job_id, path in results.items()}
        self._options = replace(SandboxOptions(), requests=1_000_000, period_s=1.0, jobs=jobs)
        self._processes = ExitStack()
        self.base = ""
        self.bucket = ""

    def __enter__(self) -> Self:
        sandbox = self._start("-m", "bulkfetch.sandbox", "--options-json", "-")
        assert sandbox.stdin is not None
        assert sandbox.stdout is not None
        sandbox.stdin.write(self._options.to_json())
        sandbox.stdin.close()
        self.base = json.loads(sandbox.stdout.readline())["url"]
        sink = self._start(os.fspath(HERE / "sink.py"))
        assert sink.stdout is not None
        self.bucket = f"http://127.0.0.1:{sink.stdout.readline().strip()}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._processes.close()

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._processes.enter_context(process)
        self._processes.callback(process.terminate)
        return process
