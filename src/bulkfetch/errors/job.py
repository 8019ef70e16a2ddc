"""Errors of one job: of its place in the list, its request, its file."""

from __future__ import annotations

from bulkfetch.errors.base import BulkfetchError, NamesPath


class JobError(BulkfetchError):
    """One job failed; others are not touched."""


class InvalidJobId(JobError):
    """The job id is not 1 to 20 ASCII digits."""

    code = "INVALID_JOB_ID"
    wants_edit = True
    default_hint = "A Zoho bulk job id is a number such as 554023000000568002; fix the list."


class InvalidName(JobError):
    """The job's name cannot be a file's name."""

    code = "INVALID_NAME"
    wants_edit = True
    default_hint = "Give the file's name without folder and extension, such as Leads; fix the list."


class UnknownAccount(JobError):
    """The job names an account that the settings do not have."""

    code = "UNKNOWN_ACCOUNT"
    wants_edit = True
    default_hint = "Add [accounts.NAME] to the settings, or fix the account in the list."


class ConnectFailed(JobError):
    """No connection to the server could be made."""

    code = "CONNECT_FAILED"
    retryable = True
    default_hint = "Check the network, the proxy and api_domain; then try again."


class TlsFailed(JobError):
    """The TLS handshake failed."""

    code = "TLS_FAILED"
    retryable = True
    default_hint = (
        "Check the clock and the certificates of this machine; ca_file names a private authority."
    )


class ConnectionLost(JobError):
    """The connection was lost before the response was complete."""

    code = "CONNECTION_LOST"
    retryable = True
    default_hint = "The network or the server is unstable; try again."


class Truncated(JobError):
    """The response body is shorter than announced."""

    code = "TRUNCATED"
    retryable = True
    default_hint = "The network or a proxy cuts responses short; try again."


class Stalled(JobError):
    """The transfer stalled: no data for too long, or too little."""

    code = "STALLED"
    retryable = True
    default_hint = (
        "Raise idle_s or lower min_bytes_per_s in [limits] if this network really is slow."
    )


class BadResponse(JobError):
    """The response is not valid HTTP."""

    code = "BAD_RESPONSE"
    retryable = True
    default_hint = (
        "Possible causes: a proxy, another kind of server at this address, or headers of more than "
        "64 KiB. Compare with the output of curl -v."
    )


class ServerError(JobError):
    """The server reported an error of its own."""

    code = "INTERNAL_ERROR"
    retryable = True
    default_hint = "The service has problems; try again later."


class TooManyRequests(JobError):
    """The server refused the request because the account's rate limit is reached."""

    code = "TOO_MANY_REQUESTS"
    retryable = True
    default_hint = (
        "Another program may use this account's limit; lower requests in the window of the account."
    )


class NotReady(JobError):
    """The result is not ready yet."""

    code = "NOT_READY"
    retryable = True
    default_hint = "The export is still being prepared; try again in a few minutes."


class ResourceNotFound(JobError):
    """The server has no such result."""

    code = "RESOURCE_NOT_FOUND"
    permanent = True
    default_hint = (
        "The id is wrong, belongs to another account or data centre, or its result has expired "
        "(Zoho keeps it for one day): create the export again."
    )


class PreparationFailed(JobError):
    """The service could not prepare the result."""

    code = "INTERNAL_SERVER_ERROR"  # as the service calls it; other codes are passed on as they are
    permanent = True
    default_hint = "Create the export again."


class NoPermission(JobError):
    """The user behind the token may not read this result."""

    code = "NO_PERMISSION"
    permanent = True
    default_hint = (
        "Use a token of a user who may read this module, or of the one who created the job."
    )


class AuthorizationFailed(JobError):
    """The user behind the token lacks a privilege."""

    code = "AUTHORIZATION_FAILED"
    permanent = True
    default_hint = "Ask the CRM administrator for the bulk-export privilege for this user."


class InvalidRequestMethod(JobError):
    """The server refused the request method."""

    code = "INVALID_REQUEST_METHOD"
    default_hint = "A proxy may be changing requests; check it, and result_path."


class Redirected(JobError):
    """The server answered with a redirect, which is never followed with the token."""

    code = "REDIRECTED"
    default_hint = "Set api_domain to the account's own data centre."


class UnexpectedStatus(JobError):
    """The server answered with an unexpected status."""

    code = "UNEXPECTED_STATUS"
    default_hint = "Check api_domain and result_path; a proxy may be answering."


class NotAZip(JobError):
    """The response is not a ZIP archive."""

    code = "NOT_A_ZIP"
    default_hint = "A proxy or a login page may be answering instead of the server."


class EncodedBody(JobError):
    """The response is compressed with a Content-Encoding that was not requested."""

    code = "ENCODED_BODY"
    default_hint = "A proxy compresses responses; exclude this host from it."


class TooLarge(JobError):
    """The result is larger than the limit allows."""

    code = "TOO_LARGE"
    default_hint = "Raise zip_bytes in [limits] if a result of this size is expected."


class Poisoned(JobError):
    """Whatever process fetches this result dies of it."""

    code = "POISONED"
    permanent = True
    default_hint = (
        "Look into the host's log for why: often it is memory. Submit it with --again to try it "
        "once more."
    )


class PublishConflict(NamesPath, JobError):
    """The file name is taken by another job, or by a file that bulkfetch did not publish."""

    code = "PUBLISH_CONFLICT"
    wants_edit = True
    default_hint = "Move the existing file away, or give the job another name."

    @classmethod
    def of_foreign(cls, shown: str) -> PublishConflict:
        """Return the error for what stands there and is not as bulkfetch published it."""
        return cls(
            f"{shown} was not published by bulkfetch, or was changed since",
            hint="Move it away, give the job another name, or replace it with --overwrite "
            "(or overwrite = true in the settings). The result is kept and not requested again.",
        )

    @classmethod
    def of_export(cls, shown: str, what: str) -> PublishConflict:
        """Return the error for something of the user where an export is to be published."""
        return cls(
            f"{shown} {what}",
            hint="Move it away, or give the export another name. What was fetched is kept.",
        )

    @classmethod
    def of_publisher(cls, shown: str, what: str) -> PublishConflict:
        """Return the error for a latest.json that another output folder publishes."""
        return cls(
            f"{shown} {what}",
            hint="Give each output folder a publish_to of its own, or the export another name. If "
            "this one is to go on there, remove latest.json first.",
        )


class NotConvertible(JobError):
    """The result cannot be published in a format that was asked for, whole and exact."""

    code = "NOT_CONVERTIBLE"
    wants_edit = True
    default_hint = 'Set formats = ["csv"]. The result is kept and not asked for again.'


class ExportLost(NamesPath, JobError):
    """Files of an export are gone or were changed before it was published."""

    code = "EXPORT_LOST"
    default_hint = "Leave .bulkfetch alone while exports are made; try again to have it made anew."
