"""Why a connection failed, as an error of ours. Pure.

aiohttp's messages say "ssl:default" for plain http as well and quote the system call. These name
host, port and reason, and never a header, a token or a proxy's password.
"""

from __future__ import annotations

import errno
import os
import ssl

import aiohttp

from bulkfetch.errors import BulkfetchError, CertificateRefused, ConnectFailed, TlsFailed
from bulkfetch.text import escape

# OpenSSL's X509_V_ERR_* (x509_vfy.h) that get a message of their own.
_NOT_YET_VALID, _EXPIRED = 9, 10
_OTHER_NAMES = frozenset({62, 64})
_CLOCK = "Check this machine's clock; if it is right, the server's certificate must be renewed."
_OTHER_HOST = (
    "Check api_domain and accounts_url, and whether a proxy or DNS leads to another server."
)
# OpenSSL's reasons when the peer does not speak TLS at all.
_NO_TLS = frozenset(
    {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"}
)
_OTHER_PORT = "Check the port and scheme of the address; http:// is for loopback only."


def connect_error(foreign: Exception) -> BulkfetchError | None:
    """Return our error for a connection that failed before anything was sent, None for all else.

    ConnectFailed and TlsFailed are worth a retry, CertificateRefused is not.
    """
    match foreign:
        case aiohttp.ClientConnectorCertificateError():
            return _certificate(foreign)
        case aiohttp.ClientConnectorSSLError():
            return _handshake(foreign)
        case aiohttp.ClientConnectorDNSError():
            why = _reason(foreign.os_error)
            return ConnectFailed(f"cannot resolve {_host(foreign)}: {why}")
        case aiohttp.ClientConnectorError():
            return _connection(foreign)
        case aiohttp.ConnectionTimeoutError():
            return ConnectFailed("connecting took too long")
        case aiohttp.ClientHttpProxyError():
            return ConnectFailed(f"the proxy answered HTTP {foreign.status}")
        case _:
            return None


def _certificate(foreign: aiohttp.ClientConnectorCertificateError) -> BulkfetchError:
    where, cause = _where(foreign), foreign.certificate_error
    code = getattr(cause, "verify_code", 0)
    if code in _OTHER_NAMES:
        return CertificateRefused(
            f"the certificate of {where} is for another host", hint=_OTHER_HOST
        )
    if code == _EXPIRED:
        return CertificateRefused(f"the certificate of {where} has expired", hint=_CLOCK)
    if code == _NOT_YET_VALID:
        return CertificateRefused(f"the certificate of {where} is not yet valid", hint=_CLOCK)
    why = getattr(cause, "verify_message", "") or type(cause).__name__
    return CertificateRefused(f"the certificate of {where} is not trusted: {escape(why, 120)}")


def _handshake(foreign: aiohttp.ClientConnectorSSLError) -> BulkfetchError:
    where, reason = _where(foreign), getattr(foreign.os_error, "reason", None) or ""
    if reason in _NO_TLS:
        return TlsFailed(f"the server at {where} does not speak TLS", hint=_OTHER_PORT)
    if isinstance(foreign.os_error, ssl.SSLEOFError) or "EOF" in reason:
        return TlsFailed(f"{where} closed the connection during the TLS handshake")
    words = reason.replace("_", " ").lower() or type(foreign.os_error).__name__
    return TlsFailed(f"the TLS handshake with {where} failed: {escape(words, 120)}")


def _connection(foreign: aiohttp.ClientConnectorError) -> BulkfetchError:
    where, cause = _where(foreign), foreign.os_error
    if isinstance(foreign, aiohttp.ClientProxyConnectionError):
        where = f"the proxy {where}"
    if cause.errno == errno.ECONNREFUSED:
        return ConnectFailed(f"{where} refused the connection")
    if isinstance(cause, ConnectionError) and cause.errno != errno.ECONNABORTED:
        return ConnectFailed(f"{where} closed the connection before it was ready")
    return ConnectFailed(f"cannot connect to {where}: {_reason(cause)}")


def _host(foreign: aiohttp.ClientConnectorError) -> str:
    return escape(foreign.host, 100)


def _where(foreign: aiohttp.ClientConnectorError) -> str:
    host = _host(foreign)
    return f"[{host}]:{foreign.port}" if ":" in host else f"{host}:{foreign.port}"


def _reason(cause: OSError) -> str:
    if isinstance(cause, TimeoutError):
        return "no answer"
    # The system's own text for the number, without a library's additions.
    number = cause.errno or 0
    words = os.strerror(number) if number > 0 else cause.strerror or str(cause)
    return escape(words or type(cause).__name__, 120)
