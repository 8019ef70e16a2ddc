"""The TLS contexts of clients, read once for the process."""

from __future__ import annotations

import os
import ssl
import threading
from pathlib import Path

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
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=ca_file)
    context.set_alpn_protocols(["http/1.1"])
    return context
