"""What the status of a job tells. Pure."""

from __future__ import annotations

from typing import Any

from bulkfetch.sandbox import zoho
from bulkfetch.sandbox.jobs import SandboxJob
from bulkfetch.sandbox.options import SandboxOptions, State


def status_told(
    job: SandboxJob, state: State, count: int, version: float, options: SandboxOptions
) -> dict[str, Any]:
    """Return the body of the answer to a status call, which a callback gets too."""
    told: dict[str, Any] = {"id": job.id, "operation": "read", "state": state}
    if state == "COMPLETED":
        told["result"] = _result(job, count, version, options, with_token=True)
    elif state == "FAILURE":
        failure = zoho.error("INTERNAL_ERROR", job.plan.message)
        told["result"] = {"error_message": {**failure, "code": job.plan.code}}
    elif options.unfinished_result or options.token_on_unfinished:
        told["result"] = _result(job, count, version, options, options.token_on_unfinished)
    told["query"] = dict(job.query)
    told["created_by"] = zoho.USER
    told["created_time"] = job.created_time
    told["file_type"] = job.spec.kind
    return {"data": [told]}


def _result(
    job: SandboxJob, count: int, version: float, options: SandboxOptions, with_token: bool
) -> dict[str, Any]:
    result: dict[str, Any] = {
        "page": job.page,
        "per_page": options.per_page,
        "count": count + job.plan.count_off,
        "download_url": f"/crm/bulk/v{version:g}/read/{job.id}/result",
        "more_records": job.next_page_token is not None,
    }
    told = job.next_page_token is not None and job.plan.next_page != "no_token"
    if told and with_token and version >= zoho.PAGE_TOKENS_SINCE:
        result["next_page_token"] = job.next_page_token
    return result
