"""nginx on loopback, in a process of its own: the server that costs the least.

It answers /crm/bulk/v8/read/{id}/result with the body whose code the id begins with, over plain
HTTP and over TLS with a certificate made for the run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

RESULT_PATH = "/crm/bulk/v8/read/{job_id}/result"

_CONF = """\
daemon off;
master_process off;
worker_rlimit_nofile 8192;
pid {run}/nginx.pid;
error_log {run}/error.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  sendfile on;
  tcp_nopush on;
  default_type application/zip;
  types {{ }}
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  open_file_cache max=100 inactive=1h;
  open_file_cache_valid 1h;
  client_body_temp_path {run}/body;
  proxy_temp_path {run}/proxy;
  fastcgi_temp_path {run}/fastcgi;
  uwsgi_temp_path {run}/uwsgi;
  scgi_temp_path {run}/scgi;
  ssl_certificate {run}/cert.pem;
  ssl_certificate_key {run}/key.pem;
  server {{
    listen 127.0.0.1:{plain} backlog=1024;
    listen 127.0.0.1:{tls} ssl backlog=1024;
    location ~ ^/crm/bulk/v8/read/(\\d\\d)\\d+/result$ {{ alias {files}/$1.zip; }}
  }}
}}
"""


def missing() -> str | None:
    """Say what is lacking to serve, None where nothing is."""
    if _nginx() is None:
        return "nginx (apt install nginx-light)"
    if shutil.which("openssl") is None:
        return "openssl (apt install openssl)"
    return None


@dataclass(slots=True)
class Nginx:
    """A running server; a context manager."""

    run: Path
    files: Path
    plain: int = 0
    tls: int = 0
    _process: subprocess.Popen[bytes] | None = None

    @property
    def ca_file(self) -> Path:
        """The certificate to trust."""
        return self.run / "cert.pem"

    def base(self, *, tls: bool) -> str:
        """Give the server's address."""
        return f"https://localhost:{self.tls}" if tls else f"http://localhost:{self.plain}"

    def url(self, job_id: str, *, tls: bool) -> str:
        """Give the address of a result."""
        return self.base(tls=tls) + RESULT_PATH.format(job_id=job_id)

    def __enter__(self) -> Self:
        program = _nginx()
        if program is None:
            raise FileNotFoundError("nginx")
        shutil.rmtree(self.run, ignore_errors=True)
        self.run.mkdir(parents=True)
        _certificate(self.run)
        self.plain, self.tls = _free_ports(2)
        conf = self.run / "nginx.conf"
        conf.write_text(
            _CONF.format(run=self.run, files=self.files, plain=self.plain, tls=self.tls)
        )
        command = [program, "-p", os.fspath(self.run), "-c", os.fspath(conf)]
        self._process = subprocess.Popen(
            [*command, "-e", os.fspath(self.run / "error.log")], stdin=subprocess.DEVNULL
        )
        try:
            self._await_ready(self._process)
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
            self._process = None

    def _await_ready(self, process: subprocess.Popen[bytes]) -> None:
        until = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.tls), 1).close()
            except OSError:
                if process.poll() is not None or time.monotonic() > until:
                    log = self.run / "error.log"
                    told = log.read_text().strip() if log.exists() else ""
                    raise RuntimeError(f"nginx did not start: {told}") from None
                time.sleep(0.02)
            else:
                return


def _nginx() -> str | None:
    # Debian puts it where an ordinary user's PATH does not lead.
    return shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")


def _certificate(folder: Path) -> None:
    subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    files = ["-keyout", os.fspath(folder / "key.pem"), "-out", os.fspath(folder / "cert.pem")]
    command = ["openssl", "req", "-x509", *key, "-days", "30", *subject, *files]
    subprocess.run(command, check=True, capture_output=True)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
