"""The request log: the requests of one turn by one write, before their answers, into a segment of this process alone. What was answered
survives `kill -9`.

A segment is a file of JSON lines that its process holds a lock on (flock) for as long as it writes: one without a lock is finished,
however its process ended. Only a last line without its end may be cut, and that request was not answered. Where the project's rows are
sealed, a segment is, too, append by append (`sealed`).
"""

from __future__ import annotations

import fcntl
import os
import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pillars.deployment.server.settings import Seal

if TYPE_CHECKING:
    from pillars.deployment.server.sealed import Sealer

SYNC_S = 0.5  # at most a second of answers is lost when the machine itself dies
ENDING, SEALED = ".jsonl", ".sealed"


class Log:
    """Safe for threads."""

    def __init__(self, folder: Path, segment_bytes: int, segment_s: float, seal: Seal | None = None) -> None:
        self.folder, self.segment_bytes, self.segment_s, self.seal = folder, segment_bytes, segment_s, seal
        self._sealer = self._sealer_of("")  # whoever cannot seal does not begin
        self._lock, self._fd, self._size, self._begun, self._dirty = threading.Lock(), -1, 0, 0.0, False
        self._told: set[bytes] = set()
        self._full: list[int] = []
        self._stop = threading.Event()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._thread = threading.Thread(target=self._flush_for_ever, name="log", daemon=True)
        self._thread.start()

    def write(self, lines: bytes, heads: Iterable[bytes]) -> None:
        """Append whole lines; `heads` are the lines of the models they name, which each segment says once.

        Raises:
            OSError: the disk refuses. Then the request must not be answered.
        """
        with self._lock:
            if self._fd >= 0 and (self._size >= self.segment_bytes or time.monotonic() - self._begun >= self.segment_s):
                self._put_aside()
            if self._fd < 0:
                self._open()
            new = [head for head in heads if head not in self._told]
            content = b"".join((*new, lines))
            if self._sealer is not None:
                content = (b"" if self._size else self._sealer.head) + self._sealer.record(content)
            try:
                self._append(content)
            except OSError:
                with suppress(OSError):  # none of these requests will be answered
                    os.ftruncate(self._fd, self._size)
                self._put_aside()  # what stands in it may still be cut; nothing is ever written behind that
                raise
            self._told.update(new)
            self._size += len(content)
            self._dirty = True

    def close(self) -> None:
        """Flush to the disk and let go of the segment."""
        self._stop.set()
        self._thread.join(5)
        with self._lock:
            if self._fd >= 0:
                self._put_aside()
        self._finish()

    def _append(self, content: bytes) -> None:
        left = memoryview(content)
        while left:  # a second write only where the disk is nearly full, and then it fails
            left = left[os.write(self._fd, left) :]

    def _open(self) -> None:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # somebody may have tidied up
        name = f"{time.time_ns():020d}-{os.getpid()}-{secrets.token_hex(3)}{SEALED if self.seal else ENDING}"
        sealer = self._sealer_of(name)
        draft = self.folder / f".{name}"  # so that nobody sees it before it is locked
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        fd = os.open(draft, flags, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.rename(draft, self.folder / name)
        except OSError:
            os.close(fd)
            with suppress(OSError):
                os.unlink(draft)
            raise
        self._fd, self._size, self._begun, self._told, self._sealer = fd, 0, time.monotonic(), set(), sealer

    def _sealer_of(self, name: str) -> Sealer | None:
        if self.seal is None:
            return None
        from pillars.deployment.server.sealed import Sealer  # 6 MB and .1 s that a project in the open does not pay

        return Sealer(self.seal.id, bytes.fromhex(self.seal.public), name)

    def _put_aside(self) -> None:
        self._full.append(self._fd)
        self._fd = -1

    def _flush_for_ever(self) -> None:
        while not self._stop.wait(SYNC_S):
            with self._lock:
                if self._fd >= 0 and time.monotonic() - self._begun >= self.segment_s:
                    self._put_aside()
                copy = os.dup(self._fd) if self._fd >= 0 and self._dirty else -1
                self._dirty = False
            self._finish()
            if copy >= 0:  # not under the lock: it may take 10 ms
                with suppress(OSError):
                    os.fdatasync(copy)
                os.close(copy)

    def _finish(self) -> None:
        while self._full:
            fd = self._full.pop()
            with suppress(OSError):
                os.fdatasync(fd)
            os.close(fd)
