"""An access token from a program such as `pass show zoho`."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence

import anyio
from anyio.abc import ByteReceiveStream, Process

from bulkfetch.errors import TokenCommandFailed
from bulkfetch.secret import Secret, is_sendable

# Enough for a password store that asks its agent; a hang is noticed soon.
TIMEOUT_S = 60.0
_MAX_OUTPUT_BYTES = 16 * 1024


async def run_token_command(command: Sequence[str], timeout_s: float = TIMEOUT_S) -> Secret:
    """Run the command without a shell and return the line that it prints.

    Its stderr is discarded, since tools print secrets there. It runs in a session of its own,
    without stdin and terminal: it cannot wait for an answer, and is killed with its children.

    Raises TokenCommandFailed: not found, an exit status other than 0, not finished after
    `timeout_s`, output that is empty, more than one line, too long or not a token. If cancelled:
    the command and its children are killed.
    """
    name = os.path.basename(command[0])[:60]
    try:
        process = await anyio.open_process(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise TokenCommandFailed(f"token_command {name!a} cannot be started: {reason}") from None
    try:
        with anyio.fail_after(timeout_s):
            output = await _read(process, name)
            status = await process.wait()
    except BaseException as error:
        # The whole session: a surviving child would keep the pipe open.
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        if isinstance(error, TimeoutError):
            raise TokenCommandFailed(
                f"token_command {name!a} did not finish within {timeout_s:g} s"
            ) from None
        raise
    finally:
        with anyio.CancelScope(shield=True):
            await process.aclose()
    if status != 0:
        raise TokenCommandFailed(f"token_command {name!a} exited with status {status}")
    return _token_in(output, name)


async def _read(process: Process, name: str) -> bytes:
    stdout: ByteReceiveStream | None = process.stdout
    output = b""
    if stdout is not None:
        async for chunk in stdout:
            output += chunk
            if len(output) > _MAX_OUTPUT_BYTES:
                raise TokenCommandFailed(f"token_command {name!a} printed too much")
    return output


def _token_in(output: bytes, name: str) -> Secret:
    text = output.decode("utf-8", "replace").strip()
    if not text:
        raise TokenCommandFailed(f"token_command {name!a} printed nothing")
    if len(text.splitlines()) > 1:
        raise TokenCommandFailed(f"token_command {name!a} printed more than one line")
    if text[0] in "\"'" or text[-1] in "\"'":
        raise TokenCommandFailed(f"token_command {name!a} printed a token in quotes")
    if not is_sendable(text):
        raise TokenCommandFailed(f"token_command {name!a} printed something that is not a token")
    return Secret(text)
