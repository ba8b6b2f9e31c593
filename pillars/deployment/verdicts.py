"""The judge over HTTP, for controllers that are not ours: `GET /verdict` says what a look comes to, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from pillars.errors import PillarsError, StoreUnavailable
from pillars.vocabulary import Judgement

Ask = Callable[[], Judgement]


def server(host: str, port: int, ask: Ask) -> ThreadingHTTPServer:
    """A server that is not started yet: `/verdict` (200; 503 when nobody can say), `/live`.

    Raises:
        StoreUnavailable: the address is taken, or none of this machine.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = 10  # seconds for a request to be said
        server_version, sys_version = "pillars", ""

        def do_GET(self) -> None:
            """Answer."""
            if self.path == "/live":
                self._say(200, {"live": True})
            elif self.path == "/verdict":
                self._say(*_verdict(ask))
            else:
                self._say(404, {"error": "there are /verdict and /live"})

        def log_message(self, *_: object) -> None:
            """Say nothing: a probe comes every few seconds."""

        def _say(self, status: int, content: object) -> None:
            body = json.dumps(content).encode() + b"\n"
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

    try:
        return ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as err:
        problem = getattr(err, "strerror", None) or "no such address"
        raise StoreUnavailable(
            f"{host}:{port}", f"nobody can listen there ({problem})", "Nothing was started; name another --serve."
        ) from err


def _verdict(ask: Ask) -> tuple[int, object]:
    """A judge that cannot see says so: no verdict is better than an old one."""
    try:
        return 200, asdict(ask())
    except PillarsError as err:
        return 503, {"health": "inconclusive", "reason": str(err)}
    except OSError as err:
        return 503, {"health": "inconclusive", "reason": err.strerror or type(err).__name__}
