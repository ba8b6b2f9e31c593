"""The body of a request within its limits: so many bytes in so many seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pillars.deployment.server.problems import Refused
from pillars.deployment.server.settings import Limits

Receive = Callable[[], Awaitable[Any]]
DRAINED = 8  # times the limit that is read and dropped, so that a client still sending can read why it was refused
CLOSE = {"connection": "close"}


class Gone(Exception):
    """The client left before it had said everything."""


async def read(receive: Receive, headers: Mapping[bytes, bytes], limits: Limits) -> bytes:
    """All of it. Raises: Refused (408, 413, 415), Gone."""
    kind = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    if kind != b"application/json":
        raise Refused(415, "UNSUPPORTED", "the content type must be application/json")
    if headers.get(b"content-encoding", b"identity") != b"identity":
        raise Refused(415, "UNSUPPORTED", "the body must not be compressed")
    try:
        async with asyncio.timeout(limits.body_s):
            return await _whole(receive, limits)
    except TimeoutError:
        raise Refused(408, "TIMEOUT", "the body took too long", headers=CLOSE) from None


async def _whole(receive: Receive, limits: Limits) -> bytes:
    parts: list[bytes] = []
    size, more = 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        more, part = message.get("more_body", False), message.get("body", b"")
        size += len(part)
        if size <= limits.body_bytes:
            parts.append(part)
        elif size > DRAINED * limits.body_bytes:
            break
    if size > limits.body_bytes:
        raise Refused(413, "TOO_LARGE", f"the body is larger than {limits.body_bytes} bytes", headers=CLOSE)
    return parts[0] if len(parts) == 1 else b"".join(parts)
