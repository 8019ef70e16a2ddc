"""least.py OUT URL…: the least that Python takes for these bodies where aiohttp is imported.

One thread, one poll, two blocks for all bodies; TLS between memory BIOs, as asyncio does it; each
file synced, and a second thread begins with that while the body arrives. No HTTP library, no
window, no checks: what a client does besides is not in it.
"""

import importlib
import os
import select
import socket
import ssl
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import cast
from urllib.parse import urlsplit

BLOCK_BYTES = 512 << 10
SYNC_BYTES = 16 << 20  # so often a growing file is synced

importlib.import_module("aiohttp")  # paid for, not used

syncing = ThreadPoolExecutor(1)
raw, block = memoryview(bytearray(BLOCK_BYTES)), memoryview(bytearray(BLOCK_BYTES))


class Body:
    """One body on its way from a socket to a file."""

    def __init__(self, url: str, target: str) -> None:
        parts = urlsplit(url)
        assert parts.hostname is not None
        self.socket = socket.create_connection((parts.hostname, parts.port or 0))
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls: ssl.SSLObject | None = None
        if parts.scheme == "https":
            context = ssl.create_default_context()
            self.tls = context.wrap_bio(
                self.incoming, self.outgoing, server_hostname=parts.hostname
            )
            self._handshake(self.tls)
        request = f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()
        if self.tls is not None:
            self.tls.write(request)
            request = self.outgoing.read()
        self.socket.sendall(request)
        head = b""
        while b"\r\n\r\n" not in head:
            got = self.read(block)
            head += bytes(block[:got])
        head, _, first = head.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        self.rest = int(head.lower().partition(b"content-length:")[2].split()[0]) - len(first)
        self.fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        os.write(self.fd, first)
        self.written = self.asked_at = 0
        self.syncing: Future[None] | None = None
        self.socket.setblocking(False)

    def _handshake(self, tls: ssl.SSLObject) -> None:
        while True:
            try:
                tls.do_handshake()
            except ssl.SSLWantReadError:
                self.socket.sendall(self.outgoing.read())
                self.incoming.write(self.socket.recv(65536))
            else:
                self.socket.sendall(self.outgoing.read())
                return

    def read(self, room: memoryview) -> int:
        """Give how many bytes came into `room`; raises BlockingIOError where none are there."""
        if self.tls is None:
            return self.socket.recv_into(room)
        while True:
            try:
                # With a buffer it gives a count, which its stub does not know.
                return cast(int, self.tls.read(len(room), room))
            except ssl.SSLWantReadError:
                self.incoming.write(raw[: self.socket.recv_into(raw)])

    def move(self) -> None:
        """Move what is there, a block at most."""
        got, size = 0, min(self.rest, BLOCK_BYTES)
        try:
            while got < size:
                got += self.read(block[got:size])
        except BlockingIOError:
            pass
        os.write(self.fd, block[:got])
        self.rest -= got
        self.written += got
        if self.written - self.asked_at >= SYNC_BYTES and (
            self.syncing is None or self.syncing.done()
        ):
            self.syncing = syncing.submit(os.fdatasync, self.fd)
            self.asked_at = self.written


def main() -> None:
    """Fetch all."""
    out, urls = sys.argv[1], sys.argv[2:]
    poll = select.poll()
    bodies = {}
    for number, url in enumerate(urls):
        body = Body(url, os.path.join(out, f"{number}.zip"))
        bodies[body.socket.fileno()] = body
        poll.register(body.socket, select.POLLIN)
    # What TLS still holds is not seen by poll: a body is moved until nothing more is there.
    while bodies:
        for fd, _ in poll.poll():
            body = bodies[fd]
            before = -1
            while body.rest and body.written != before:
                before = body.written
                body.move()
            if not body.rest:
                os.fsync(body.fd)
                poll.unregister(fd)
                del bodies[fd]


if __name__ == "__main__":
    main()
