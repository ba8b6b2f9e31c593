"""The body of a request within its limits: so many bytes in so many seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Mapping
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
    first = Begun(receive())
    if first.said is not None and not first.said.get("more_body", False):  # all of it has come with the head: no clock, which takes 4 us
        return await _whole(first, receive, limits)
    try:
        async with asyncio.timeout(limits.body_s):
            return await _whole(first, receive, limits)
    except TimeoutError:
        raise Refused(408, "TIMEOUT", "the body took too long", headers=CLOSE) from None


class Begun:
    """Something to wait for that has begun. `said`: what it gave at once; None where it has to be waited for."""

    def __init__(self, awaited: Awaitable[Any]) -> None:
        self._going, self._waits, self.said = awaited.__await__(), None, None
        try:
            self._waits = next(self._going)
        except StopIteration as done:
            self.said = done.value

    def __await__(self) -> Generator[Any, Any, Any]:
        """What it gives in the end."""
        if self.said is not None:
            return self.said
        try:
            yield self._waits
        except BaseException as err:  # it is cancelled: what it waits for has to know
            self._going.throw(err)
            raise
        return (yield from self._going)


async def _whole(first: Begun, receive: Receive, limits: Limits) -> bytes:
    parts: list[bytes] = []
    size, message = 0, await first
    while True:
        if message["type"] == "http.disconnect":
            raise Gone
        more, part = message.get("more_body", False), message.get("body", b"")
        size += len(part)
        if size <= limits.body_bytes:
            parts.append(part)
        elif size > DRAINED * limits.body_bytes:
            break
        if not more:
            break
        message = await receive()
    if size > limits.body_bytes:
        raise Refused(413, "TOO_LARGE", f"the body is larger than {limits.body_bytes} bytes", headers=CLOSE)
    return parts[0] if len(parts) == 1 else b"".join(parts)
