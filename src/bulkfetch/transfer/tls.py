"""TLS whose reading may be taken over from the event loop (`direct` does).

asyncio decrypts through an `ssl.SSLObject` between two `ssl.MemoryBIO`s and shows only the former.
A context may say of which class its objects are, and is asked to wrap the BIOs: so ours remember
theirs. Everything else, checking of certificates and host names first, is the standard library's.
"""

from __future__ import annotations

import os
import ssl
import sys
import threading
from pathlib import Path


class BareTls(ssl.SSLObject):
    """An SSLObject that shows where ciphertext goes in (`incoming`) and comes out (`outgoing`)."""

    incoming: ssl.MemoryBIO
    outgoing: ssl.MemoryBIO


class _BaringContext(ssl.SSLContext):
    sslobject_class = BareTls

    def wrap_bio(
        self,
        incoming: ssl.MemoryBIO,
        outgoing: ssl.MemoryBIO,
        server_side: bool = False,
        server_hostname: str | bytes | None = None,
        session: ssl.SSLSession | None = None,
    ) -> ssl.SSLObject:
        tls = super().wrap_bio(incoming, outgoing, server_side, server_hostname, session)
        assert isinstance(tls, BareTls)
        tls.incoming, tls.outgoing = incoming, outgoing
        return tls


# What was read is kept for the process: tens of milliseconds, and the same each time.
_contexts: dict[Path | None, tuple[object, ssl.SSLContext]] = {}
_reading = threading.Lock()


def shared_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Return the process's `client_context`, made when it is first asked for; not to be changed.

    A `ca_file` that has been replaced is read anew. Blocks for tens of milliseconds the first time:
    call it in a thread. Raises OSError, ssl.SSLError for an unusable `ca_file`.
    """
    identity: list[object] = [os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")]
    if ca_file is not None:
        about = ca_file.stat()
        identity += [about.st_ino, about.st_mtime_ns, about.st_size]
    with _reading:
        read, context = _contexts.get(ca_file, (None, None))
        if context is None or read != identity:
            context = client_context(ca_file)
            _contexts[ca_file] = (identity, context)
        return context


def client_context(ca_file: Path | None = None) -> ssl.SSLContext:
    """Make a client's context: certificates and host names are checked, HTTP/1.1 is spoken.

    It trusts the system's authorities and those in `ca_file`.
    Raises OSError, ssl.SSLError for an unusable `ca_file`.
    """
    # As ssl.create_default_context(), which makes no other class.
    context = _BaringContext(ssl.PROTOCOL_TLS_CLIENT)
    if sys.version_info >= (3, 13):
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | ssl.VERIFY_X509_STRICT
    context.load_default_certs()
    if ca_file is not None:
        add_authorities(context, ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context


def add_authorities(context: ssl.SSLContext, ca_file: Path) -> None:
    """Have a context trust the authorities in a PEM file too. Raises OSError, ssl.SSLError."""
    context.load_verify_locations(cafile=ca_file)
