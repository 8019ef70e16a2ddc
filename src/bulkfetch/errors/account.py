"""Errors of one account: its token, its server, its rate limit."""

from __future__ import annotations

from bulkfetch.errors.base import BulkfetchError


class AccountError(BulkfetchError):
    """Nothing more can be fetched for this account in this run."""


class MissingCredentials(AccountError):
    """There is no access token, and nothing to get one with."""

    code = "MISSING_CREDENTIALS"
    default_hint = (
        "Set ZOHO_ACCESS_TOKEN, or ZOHO_CLIENT_ID, ZOHO_CLIENT_SECRET and ZOHO_REFRESH_TOKEN, "
        "or token_command in the settings file."
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
    transient = True
    default_hint = "Zoho issues ten tokens in ten minutes: after ten minutes there are more."


class TokenUnavailable(AccountError):
    """The accounts server could not be reached, or its answer could not be used."""

    code = "TOKEN_UNAVAILABLE"
    transient = True
    default_hint = "Check the network and accounts_url."


class TokenCommandFailed(AccountError):
    """token_command printed no token."""

    code = "TOKEN_COMMAND_FAILED"
    default_hint = "Run token_command by hand: it must print the access token and nothing else."


class TokenProviderFailed(AccountError):
    """The program's own token provider gave no token."""

    code = "TOKEN_PROVIDER_FAILED"
    default_hint = (
        "Have the provider return an access token as text, or raise an AccountError that says why "
        "it has none."
    )


class InvalidUrlPattern(AccountError):
    """The server does not know this kind of address."""

    code = "INVALID_URL_PATTERN"
    default_hint = "Check api_domain, version and result_path."


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
    transient = True
    default_hint = "Check for another program that uses this account, and its API credits."


class Superseded(AccountError):
    """Another worker of the fleet has taken over the account, and fetches what is pending."""

    code = "SUPERSEDED"
    default_hint = (
        "Nothing is lost. Where this happens often, the worker was held up for longer than "
        "heartbeat_s: give it more memory or processors, or fewer accounts_at_once."
    )


class ServiceDown(AccountError):
    """The service answered only with errors for a long time."""

    code = "SERVICE_DOWN"
    transient = True
    default_hint = "The service has problems, which may be over later."


class NotReadyInTime(AccountError):
    """The time to wait was over before all results were ready."""

    code = "NOT_READY_IN_TIME"
    default_hint = "What is not done yet goes on later, from where it is."


class Unreachable(AccountError):
    """Repeated attempts to connect failed."""

    code = "UNREACHABLE"
    transient = True
    default_hint = "Check the network, the proxy and api_domain."
