"""The address of a result."""

from __future__ import annotations

from yarl import URL

from bulkfetch.errors import InvalidJobId
from bulkfetch.models import is_job_id


def result_url(api_domain: str, result_path: str, version: str, job_id: str) -> URL:
    """Return the address of a job's result.

    Raises InvalidJobId for an id that is not 1 to 20 ASCII digits: anything else could change the
    address.
    """
    if not is_job_id(job_id):
        raise InvalidJobId(f"not a job id: {job_id[:40]!a}")
    return URL(api_domain).join(URL(result_path.format(version=version, job_id=job_id)))
