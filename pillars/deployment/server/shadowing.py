"""Shadows see what was answered, after it was, on a thread of their own. What does not fit into their queue is dropped, and counted."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from contextlib import suppress

from pillars.deployment.server import answering
from pillars.deployment.server.answering import Asked
from pillars.deployment.server.log import Log
from pillars.deployment.server.metrics import Metrics
from pillars.deployment.server.snapshot import Snapshot

Seen = tuple[Snapshot, Asked, Sequence["int | None"]]


class Shadowing:
    """Of one worker."""

    def __init__(self, log: Log, metrics: Metrics, size: int) -> None:
        self.log, self.metrics = log, metrics
        self._queue: queue.Queue[Seen | None] = queue.Queue(size)
        self._thread = threading.Thread(target=self._work, name="shadow", daemon=True)
        self._thread.start()

    def show(self, snapshot: Snapshot, asked: Asked, buckets: Sequence[int | None]) -> None:
        """Have the shadows answer it, too, when there is time."""
        try:
            self._queue.put_nowait((snapshot, asked, buckets))
        except queue.Full:
            self.metrics.dropped.inc(asked.rows.count)

    def close(self) -> None:
        """Answer what waits, for some seconds, and end."""
        with suppress(queue.Full):
            self._queue.put(None, timeout=1)
        self._thread.join(5)

    def _work(self) -> None:
        while (seen := self._queue.get()) is not None:
            snapshot, asked, buckets = seen
            for shadow in snapshot.shadows:
                try:
                    answered, lines = answering.shadowed(snapshot, shadow, asked, buckets)
                    self.log.write(lines, answering.heads(answered.arms))
                    if answered.outputs:
                        self.metrics.predicted(shadow, asked.rows.count)
                    else:
                        self.metrics.dropped.inc(asked.rows.count)
                except Exception:  # a shadow harms nobody
                    self.metrics.dropped.inc(asked.rows.count)
