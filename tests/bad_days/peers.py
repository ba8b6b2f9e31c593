"""Servers that misbehave: one that refuses everybody, one that never answers, a PostgreSQL that wants a password."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.waiting import wait_until

NOBODY = 65534
SERVERS = "sesame4711"  # the password of its PostgreSQL; no word: whoever has been told of it masks it for good


class _Refusing(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(401)
        self.send_header("WWW-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_POST = do_PUT = do_PATCH = do_DELETE = do_GET

    def log_message(self, *_: object) -> None:
        """Nobody reads it."""


@contextmanager
def refusing_server() -> Iterator[str]:
    """Answers 401 to everything; its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Refusing) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def silent_server() -> Iterator[str]:
    """Accepts (the system does that for a socket that listens) and never says a word; its host and port."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(128)
        yield f"127.0.0.1:{listening.getsockname()[1]}"


def closed_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def postgresql_server(folder: Path) -> Iterator[int]:
    """A new PostgreSQL whose users need passwords; its port. Skips where there is none."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(p).parent for p in [shutil.which("initdb")] if p]
    if not programs:
        pytest.skip("no PostgreSQL on this machine")
    home, port = folder / "postgresql", closed_port()
    home.mkdir()
    as_user = []
    if os.getuid() == 0:  # it refuses to be run by root
        os.chown(home, NOBODY, NOBODY)
        as_user = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
        for parent in home.parents:
            if parent.stat().st_uid == 0 and str(parent) not in ("/", "/tmp"):
                parent.chmod(parent.stat().st_mode | 0o011)
    (home / "password").write_text(SERVERS)
    make = [*as_user, str(programs[-1] / "initdb"), "-D", str(home / "data"), "-U", "pillars", "-A", "scram-sha-256", "--no-sync"]
    subprocess.run([*make, f"--pwfile={home / 'password'}"], check=True, capture_output=True, cwd=home)
    start = [*as_user, str(programs[-1] / "postgres"), "-D", str(home / "data"), "-p", str(port), "-k", str(home), "-h", "127.0.0.1"]
    server = subprocess.Popen(start, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: (home / f".s.PGSQL.{port}").exists(), what="PostgreSQL")
        yield port
    finally:
        server.terminate()
        server.wait(30)
