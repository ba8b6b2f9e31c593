"""Requests that are answered in the same turn of the event loop are logged by one write; each of them waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from pillars.deployment.server.log import Log

Waiting = tuple[bytes, Sequence[bytes], "asyncio.Future[None]"]


class Journal:
    """Of one event loop."""

    def __init__(self, log: Log, loop: asyncio.AbstractEventLoop) -> None:
        self.log, self.loop, self.writes = log, loop, 0
        self._waiting: list[Waiting] = []

    async def write(self, lines: bytes, heads: Sequence[bytes], *, alone: bool) -> None:
        """Have whole lines in the log; see `Log.write`. `alone`: no other request is under way, so nothing is gained by a turn of waiting.

        Raises:
            OSError: the disk refuses. Then the request must not be answered.
        """
        if alone:
            self.writes += 1
            self.log.write(lines, heads)
            return
        written: asyncio.Future[None] = self.loop.create_future()  # each its own: who gives up waiting takes nobody along
        if not self._waiting:  # runs after all that are answered in this turn, for they are in the loop's queue already
            self.loop.call_soon(self._flush)
        self._waiting.append((lines, heads, written))
        await written

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        heads = dict.fromkeys(head for _, some, _ in waiting for head in some)
        self.writes += 1
        try:
            self.log.write(b"".join([lines for lines, _, _ in waiting]), heads)
        except Exception as err:
            for _, _, written in waiting:
                if not written.done():
                    written.set_exception(err)
            return
        for _, _, written in waiting:
            if not written.done():  # its client may have gone
                written.set_result(None)
