"""One access token for all processes of this machine that share credentials.

Zoho issues ten access tokens in ten minutes and keeps fifteen valid: processes that each refresh
for themselves would lock each other out. So a refresh takes a lock on the machine, and its result
is shared: in a 0600 file of the state directory, in the keyring, or not at all. A cache that cannot
be used costs a refresh, never a run.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import json
import os
import stat
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import anyio.to_thread

from bulkfetch.config.hosts import server_key
from bulkfetch.extras import require_extra
from bulkfetch.secret import Secret, is_sendable
from bulkfetch.zoho.token_response import MAX_LIFETIME_S

# Longer than a refresh can take: a process that has waited so long refreshes for itself.
LOCK_WAIT_S = 120.0
_POLL_S = 0.05
_MAX_BYTES = 16 * 1024
_SERVICE = "bulkfetch"
# Stored in place of a refused token: any cache that can store a token can forget it.
_NO_TOKEN = '{"version": 1}'


class CachedToken(NamedTuple):
    """A token and its expiry in epoch seconds, the only clock that all processes share."""

    secret: Secret
    expires_at: float
    lifetime_s: float

    def left_s(self, now: float) -> float:
        """Return the remaining seconds; at most the lifetime, even if the clock was set back."""
        return min(self.expires_at - now, self.lifetime_s)


def cache_key(accounts_url: str, client_id: Secret, refresh_token: Secret) -> str:
    """Return the name under which a token is stored; it does not reveal the credentials."""
    parts = (server_key(accounts_url), client_id.reveal(), refresh_token.reveal())
    return hashlib.sha256("\0".join(("bulkfetch token 1", *parts)).encode()).hexdigest()[:40]


class TokenCache(ABC):
    """Stores a token under a key between refreshes and for other processes.

    `folder` has the lock file, None: there is no lock. Problems are reported to `note`.
    """

    def __init__(self, folder: Path | None, key: str, note: Callable[[str], None]) -> None:
        self._folder, self._key, self._note = folder, key, note

    async def load(self) -> CachedToken | None:
        """Return the stored token, None if there is no usable one."""
        raw = await self._read()
        return None if raw is None else _parsed(raw)

    async def store(self, token: CachedToken) -> None:
        """Store a token instead of the previous one."""
        kept = {
            "version": 1,
            "access_token": token.secret.reveal(),
            "expires_at": token.expires_at,
            "lifetime_s": token.lifetime_s,
        }
        await self._write(json.dumps(kept))

    async def forget(self) -> None:
        """Remove the stored token for good: the server refused it."""
        await self._write(_NO_TOKEN)

    def exclusive(self) -> contextlib.AbstractAsyncContextManager[None]:
        """Keep other processes from refreshing meanwhile. If cancelled: nothing is held."""
        if self._folder is None:
            return contextlib.nullcontext()
        return _locked(self._folder, self._key, self._note)

    @abstractmethod
    async def _read(self) -> str | bytes | None:
        """Return what is stored, None for nothing."""

    @abstractmethod
    async def _write(self, text: str) -> None:
        """Store a text instead of what is stored."""


class NoCache(TokenCache):
    """Stores nothing: `token_cache = false`."""

    def __init__(self) -> None:
        super().__init__(None, "", lambda _: None)

    async def _read(self) -> None:
        return None

    async def _write(self, text: str) -> None:
        return None


class FileCache(TokenCache):
    """Stores the token in `folder/key.json`, mode 0600."""

    def __init__(self, folder: Path, key: str, note: Callable[[str], None]) -> None:
        super().__init__(folder, key, note)
        self._file = folder / f"{key}.json"

    async def _read(self) -> bytes | None:
        try:
            fd = os.open(self._file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError:
            return None
        with os.fdopen(fd, "rb") as file:
            about = os.fstat(fd)
            if not stat.S_ISREG(about.st_mode) or not _is_private(about):
                self._note(f"the shared token {self._file} is ignored: other users can access it")
                return None
            return file.read(_MAX_BYTES + 1)

    async def _write(self, text: str) -> None:
        folder = self._file.parent
        try:
            _make_private(folder)
            fd, temporary = tempfile.mkstemp(prefix=".", dir=folder)  # 0600 from the start
            try:
                with os.fdopen(fd, "w") as file:
                    file.write(text)
                os.replace(temporary, self._file)
            except BaseException:
                os.unlink(temporary)
                raise
        except OSError as error:
            self._note(f"the token cannot be shared in {folder}: {error.strerror}")


class KeyringCache(TokenCache):
    """Stores the token in the desktop's keyring; the lock is still a file.

    Raises ConfigError if the extra is not installed.
    """

    def __init__(self, folder: Path | None, key: str, note: Callable[[str], None]) -> None:
        super().__init__(folder, key, note)
        self._keyring: Any = import_keyring()

    async def _read(self) -> str | None:
        try:
            text = await anyio.to_thread.run_sync(self._keyring.get_password, _SERVICE, self._key)
        except Exception as error:  # each backend raises its own
            self._note(f"the keyring cannot be read: {type(error).__name__}")
            return None
        return text if isinstance(text, str) else None

    async def _write(self, text: str) -> None:
        try:
            await anyio.to_thread.run_sync(self._keyring.set_password, _SERVICE, self._key, text)
        except Exception as error:  # each backend raises its own
            self._note(f"the keyring cannot be written: {type(error).__name__}")


def import_keyring() -> Any:
    """Return the module keyring. Raises ConfigError if the extra is not installed."""
    require_extra(
        "keyring",
        'token_cache = "keyring" needs',
        otherwise="; or set token_cache = true or false",
    )
    return importlib.import_module("keyring")


@contextlib.asynccontextmanager
async def _locked(folder: Path, key: str, note: Callable[[str], None]) -> AsyncIterator[None]:
    """Hold the lock of these credentials; continue without it if it is not available."""
    # Late: it takes a thirtieth of a start, and a fixed token needs no lock.
    from filelock import FileLock, Timeout

    def acquired() -> bool:
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return False
        return True

    try:
        _make_private(folder)
        lock = FileLock(folder / f"{key}.lock", mode=0o600)
        deadline = time.monotonic() + LOCK_WAIT_S
        while not acquired():
            if time.monotonic() > deadline:
                note(
                    "another process has held the token's lock for too long: continuing without it"
                )
                break
            await anyio.sleep(_POLL_S)
    except (OSError, NotImplementedError) as error:
        note(f"tokens cannot be shared in {folder}: {type(error).__name__}")
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _make_private(folder: Path) -> None:
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    about = folder.stat()
    if about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise PermissionError(0, "other users can write to the folder")


def _is_private(about: os.stat_result) -> bool:
    return about.st_uid == os.geteuid() and not about.st_mode & (stat.S_IRWXG | stat.S_IRWXO)


def _parsed(raw: str | bytes) -> CachedToken | None:
    """Return a stored token, None for anything else."""
    if len(raw) > _MAX_BYTES:
        return None
    try:
        kept = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    if not isinstance(kept, dict) or kept.get("version") != 1:
        return None
    secret, times = kept.get("access_token"), (kept.get("expires_at"), kept.get("lifetime_s"))
    if not isinstance(secret, str) or not is_sendable(secret):
        return None
    try:
        expires_at, lifetime_s = (float(str(value)) for value in times)
    except ValueError:
        return None
    return CachedToken(Secret(secret), expires_at, min(lifetime_s, MAX_LIFETIME_S))
