"""Segments of the prediction server's request log, in the clear or sealed: which there are, and their lines."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from pillars.deployment.server.log import ENDING, SEALED
from pillars.errors import StoreUnavailable
from pillars.stores import Stores, Write, write_atomically


@dataclass(frozen=True)
class AtRest:
    """How a project's log lies on the disk. By paths under `var`: `write` puts what was compacted there, `open` gives a file's content.
    `secret`: the private half (32 bytes) of the key of an id, by which sealed segments are opened."""

    write: Write
    open: Callable[[str], BinaryIO]
    secret: Callable[[str], bytes]


def in_the_open(stores: Stores) -> AtRest:
    """Of a project that seals nothing: its owner's alone, and as it is. Raises: StoreUnavailable, when it is asked for a key."""

    def secret(id: str) -> bytes:
        raise StoreUnavailable(f"key {id}", "seals the request log, and is not at hand", "Nothing was changed.")

    return AtRest(
        lambda path, content: write_atomically(stores.var / path, content, private=True),
        lambda path: (stores.var / path).open("rb"),
        secret,
    )


class Lines:
    """The whole lines of a segment, without their ends; None in place of a sealed append that was changed. `cut`, once all are read: bytes
    at the end that are no line, of a request that was never answered.

    Raises:
        OSError: it cannot be read, or is gone.
        StoreUnavailable: its key is not on the ring.
    """

    def __init__(self, path: Path, kept: AtRest) -> None:
        self.path, self._kept, self.cut = path, kept, 0

    def __iter__(self) -> Iterator[bytes | None]:
        with self.path.open("rb") as segment:
            if self.path.suffix != SEALED:
                yield from self._plain(segment)
                return
            from pillars.deployment.server.sealed import Records

            records = Records(segment, self.path.name, self._kept.secret)
            for record in records:
                if record is None:
                    yield None
                else:
                    yield from record.split(b"\n")[:-1]
            self.cut = records.cut

    def _plain(self, segment: BinaryIO) -> Iterator[bytes]:
        for line in segment:
            if line.endswith(b"\n"):
                yield line[:-1]
            else:
                self.cut = len(line)


def segments(log: Path) -> list[Path]:
    """The segments in a folder, oldest first."""
    return sorted(path for ending in (ENDING, SEALED) for path in log.glob(f"[!.]*{ending}"))


def is_finished(segment: Path) -> bool:
    """Whether nobody writes it: its process holds a lock on it for as long as it lives."""
    with segment.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
