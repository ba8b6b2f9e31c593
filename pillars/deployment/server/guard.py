"""What uvicorn lacks: a client has so many seconds, and so many bytes, for the head of a request."""

from __future__ import annotations

import asyncio
import os
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEADER_S, HEADER_BYTES = "PILLARS_SERVE_HEADER_S", "PILLARS_SERVE_HEADER_BYTES"  # uvicorn makes the protocol itself, in each worker
LATE = (408, b"Request Timeout", b'{"error":"the head of the request took too long","error_code":"TIMEOUT"}')
LONG = (431, b"Request Header Fields Too Large", b'{"error":"the head of the request is too long","error_code":"TOO_LARGE"}')


class Guarded(HttpToolsProtocol):
    """Ends a connection whose next head does not come, comes too slowly, or does not end."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.header_s = float(os.environ.get(HEADER_S, "5"))
        self.header_bytes = int(os.environ.get(HEADER_BYTES, str(32 << 10)))
        self._head = self._came = 0
        self._timer: asyncio.TimerHandle | None = None
        self._in_head = True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """The clock starts before the first byte."""
        super().connection_made(transport)
        self._begin()

    def on_message_begin(self) -> None:
        """The next head of a connection that is kept."""
        super().on_message_begin()
        if self._timer is None:
            self._begin()

    def on_url(self, url: bytes) -> None:
        """Its first line counts."""
        self._head += len(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Each line counts."""
        self._head += len(name) + len(value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The head is whole; where it is too long, the app says so."""
        self._end()
        self.scope["too_long"] = self._head > self.header_bytes  # type: ignore[typeddict-unknown-key]
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what comes before the head is whole, a line without an end, too."""
        if self._in_head:
            self._came += len(data)
        super().data_received(data)
        if self._in_head and self._came > 2 * self.header_bytes:
            self._refuse(*LONG)

    def connection_lost(self, exc: Exception | None) -> None:
        """No clock outlives its connection."""
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._head, self._came, self._in_head = 0, 0, True
        self._timer = self.loop.call_later(self.header_s, self._refuse, *LATE)

    def _end(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int, reason: bytes, content: bytes) -> None:
        self._end()
        if self.transport.is_closing():
            return
        idle = self._came == 0  # nothing was asked: a connection in reserve
        if not idle and (self.cycle is None or self.cycle.response_complete):  # an answer that is under way is not mixed with this one
            head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
            self.transport.write(head % (status, reason, len(content)) + content)
        self.transport.close()
