"""Every kind of failure: one class, one stable code, one hint.

Four base classes say how far a failure reaches:

* `ConfigError`   nothing was started (exit 2)
* `JobError`      one job failed; the run goes on (exit 1 in the end)
* `AccountError`  nothing more can be fetched for one account; other accounts go on (exit 3)
* `RunError`      the whole run stops, safe to run again (exit 3)

Messages never contain a token, a client secret or a request header: they are printed, stored in the
journal and returned to callers unchanged.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Self


class BulkfetchError(Exception):
    """Base class of everything that bulkfetch raises on purpose.

    `code` is stable, for programs; `message` and `hint` are for people and may change. `http` is
    the status of the response that caused it, None without one. `retryable` failures are retried
    in the same run; `permanent` ones not even by later runs, unless requested.
    """

    code: ClassVar[str] = "ERROR"
    retryable: ClassVar[bool] = False
    permanent: ClassVar[bool] = False
    default_hint: ClassVar[str] = ""

    def __init__(
        self, message: str = "", *, hint: str | None = None, http: int | None = None
    ) -> None:
        self.message = message or (self.__doc__ or self.code).splitlines()[0]
        self.hint = self.default_hint if hint is None else hint
        self.http = http
        super().__init__(self.message)


def is_permanent(code: str) -> bool:
    """Return whether a job that failed with this code is not requested again by a plain run."""
    return any(error.permanent for error in _all_errors(JobError) if error.code == code)


def _all_errors(root: type[BulkfetchError]) -> Iterator[type[BulkfetchError]]:
    yield root
    for error in root.__subclasses__():
        yield from _all_errors(error)


class NamesPath:
    """Mixin of errors whose message may name a file or folder: `path`, None if it names none."""

    message: str
    args: tuple[Any, ...]
    path: str | None = None

    def renamed(self, path: str) -> Self:
        """Return this error with another name for its file or folder. Does nothing without one."""
        if self.path is not None:
            self.message = self.message.replace(self.path, path)
            self.args = (self.message,)
            self.path = path
        return self


class ConfigError(BulkfetchError):
    """The command line, jobs.toml or the environment cannot be used as given."""

    code = "CONFIG"


# --- one job -------------------------------------------------------------------------------------


class JobError(BulkfetchError):
    """One job failed; others are not touched."""


class InvalidJobId(JobError):
    """The job id is not 1 to 20 ASCII digits."""

    code = "INVALID_JOB_ID"
    default_hint = "A Zoho bulk job id is a number such as 554023000000568002; fix the list."


class InvalidName(JobError):
    """The job's name cannot be a file's name."""

    code = "INVALID_NAME"
    default_hint = "Give the file's name without folder and extension, such as Leads; fix the list."


class UnknownAccount(JobError):
    """The job names an account that the settings do not have."""

    code = "UNKNOWN_ACCOUNT"
    default_hint = "Add [accounts.NAME] to the settings, or fix the account in the list."


class ConnectFailed(JobError):
    """No connection to the server could be made."""

    code = "CONNECT_FAILED"
    retryable = True
    default_hint = "Check the network, the proxy and api_domain; then run the same command again."


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
    default_hint = "The network or the server is unstable; run the same command again."


class Truncated(JobError):
    """The response body is shorter than announced."""

    code = "TRUNCATED"
    retryable = True
    default_hint = "The network or a proxy cuts responses short; run the same command again."


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
    default_hint = "The service has problems; run the same command again later."


class TooManyRequests(JobError):
    """The server refused the request because the account's rate limit is reached."""

    code = "TOO_MANY_REQUESTS"
    retryable = True
    default_hint = (
        "Another program may use this account's limit; lower requests in [account.window]."
    )


class NotReady(JobError):
    """The result is not ready yet."""

    code = "NOT_READY"
    retryable = True
    default_hint = (
        "The export is still being prepared; run the same command again in a few minutes."
    )


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
    default_hint = "A proxy may be changing requests; check it, and result_path in jobs.toml."


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


class PublishConflict(NamesPath, JobError):
    """The file name is taken by another job, or by a file that bulkfetch did not publish."""

    code = "PUBLISH_CONFLICT"
    default_hint = "Move the existing file away, or give the job another name."


class ArchiveError(JobError):
    """The archive was refused; nothing of it was published."""


class ZipCorrupt(ArchiveError):
    """The archive is damaged."""

    code = "ZIP_CORRUPT"
    default_hint = "Both downloads were damaged; if another run's are too, create the export again."


class CountMismatch(ArchiveError):
    """The file does not hold as many records as the service says."""

    code = "COUNT_MISMATCH"
    default_hint = (
        "Both downloads were like that; compare the archive in quarantine with the CRM, or create "
        "the export again."
    )


class ZipEncrypted(ArchiveError):
    """The archive is encrypted."""

    code = "ZIP_ENCRYPTED"
    permanent = True
    default_hint = "Bulk exports are not encrypted; look at the file in quarantine."


class ZipUnsupported(ArchiveError):
    """The archive uses a feature that bulk exports do not use."""

    code = "ZIP_UNSUPPORTED"
    permanent = True
    default_hint = "Look at the file in quarantine; a common unzip tool may open it."


class ZipTooLarge(ArchiveError):
    """The archive would unpack to more than the limit or the free disk space allows."""

    code = "ZIP_TOO_LARGE"
    permanent = True
    default_hint = "Raise file_bytes in [limits], or free disk space, if such a size is expected."


class ZipUnsafe(ArchiveError):
    """The archive contains names, links or overlaps that no genuine export has."""

    code = "ZIP_UNSAFE"
    permanent = True
    default_hint = "Inspect the file in quarantine before you unpack it with other tools."


class ZipContent(ArchiveError):
    """The archive does not contain exactly one CSV or ICS file."""

    code = "ZIP_CONTENT"
    permanent = True
    default_hint = "Look at the file in quarantine; the id may belong to another kind of job."


# --- one account ---------------------------------------------------------------------------------


class AccountError(BulkfetchError):
    """Nothing more can be fetched for this account in this run."""


class MissingCredentials(AccountError):
    """There is no access token, and nothing to get one with."""

    code = "MISSING_CREDENTIALS"
    default_hint = (
        "Set ZOHO_ACCESS_TOKEN, or ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN, "
        "or token_command in jobs.toml."
    )


class TokenRejected(AccountError):
    """The server refused the access token, which may have expired."""

    code = "TOKEN_REJECTED"
    default_hint = "Get a new access token, or give a refresh token so that bulkfetch can."


class InvalidToken(TokenRejected):
    """The server refused the access token, and there is no other or it was refused too."""

    code = "INVALID_TOKEN"


class InvalidOauthToken(TokenRejected):
    """The server refused the access token, and there is no other or it was refused too."""

    code = "INVALID_OAUTHTOKEN"


class AuthenticationFailure(TokenRejected):
    """The server refused the credentials."""

    code = "AUTHENTICATION_FAILURE"
    default_hint = (
        "Get a new access token, and check that it belongs to this data centre and this CRM "
        "organisation."
    )


class ScopeMismatch(AccountError):
    """The token lacks the scope for bulk reads."""

    code = "OAUTH_SCOPE_MISMATCH"
    default_hint = "Create a token with the scope ZohoCRM.bulk.read (or ZohoCRM.modules.ALL)."


class TokenRefused(AccountError):
    """The accounts server refused to give an access token."""

    code = "TOKEN_REFUSED"
    default_hint = "Check client id, client secret, refresh token and accounts_url."


class TokenThrottled(AccountError):
    """The accounts server issues no more access tokens for now."""

    code = "TOKEN_THROTTLED"
    default_hint = "Zoho issues ten tokens in ten minutes; wait ten minutes, then run again."


class TokenUnavailable(AccountError):
    """The accounts server could not be reached, or its answer could not be used."""

    code = "TOKEN_UNAVAILABLE"
    default_hint = "Check the network and accounts_url; then run the same command again."


class TokenCommandFailed(AccountError):
    """token_command printed no token."""

    code = "TOKEN_COMMAND_FAILED"
    default_hint = "Run token_command by hand: it must print the access token and nothing else."


class InvalidUrlPattern(AccountError):
    """The server does not know this kind of address."""

    code = "INVALID_URL_PATTERN"
    default_hint = "Check api_domain, version and result_path in jobs.toml."


class CertificateRefused(AccountError):
    """The server's certificate cannot be trusted."""

    code = "CERTIFICATE_REFUSED"
    default_hint = (
        "Set ca_file to the certificate of a private authority, or of a proxy that inspects TLS; "
        "trust only authorities that you know."
    )


class RateLimited(AccountError):
    """For an hour, every request was refused because of the account's rate limit."""

    code = "RATE_LIMITED"
    default_hint = (
        "Check for another program that uses this account, and its API credits; then run the "
        "same command again."
    )


class ServiceDown(AccountError):
    """The service answered only with errors for a long time."""

    code = "SERVICE_DOWN"
    default_hint = "The service has problems; run the same command again later."


class NotReadyInTime(AccountError):
    """The time to wait was over before all results were ready."""

    code = "NOT_READY_IN_TIME"
    default_hint = "Run the same command again: it goes on with what is not done yet."


class Unreachable(AccountError):
    """Repeated attempts to connect failed."""

    code = "UNREACHABLE"
    default_hint = "Check the network, the proxy and api_domain; then run the same command again."


# --- the run -------------------------------------------------------------------------------------


class RunError(NamesPath, BulkfetchError):
    """The run stops; what is done stays done, and the same command continues later."""


class DiskFull(RunError):
    """The disk is full."""

    code = "DISK_FULL"
    default_hint = (
        "Free some space, then run the same command: complete results are not requested again."
    )


class NotWritable(RunError):
    """A folder or file cannot be written."""

    code = "NOT_WRITABLE"
    default_hint = "Check owner, permissions and limits of the output folder; then run again."


class OutputLocked(RunError):
    """Another run is using this output folder."""

    code = "LOCKED"
    default_hint = "Wait for the other run to end, or use another --out."


class JournalTooNew(RunError):
    """The journal was written by a newer bulkfetch."""

    code = "JOURNAL_TOO_NEW"
    default_hint = "Upgrade bulkfetch, or use another --out."


class JournalDamaged(RunError):
    """The journal cannot be read."""

    code = "JOURNAL_DAMAGED"
    default_hint = "Move .bulkfetch/journal.db away to start over; published files are not touched."
