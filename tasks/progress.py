"""Progress of long work: an artifact in the Prefect UI, and whoever listens in this process (the terminal)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol, cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact, update_progress_artifact


class Listener(Protocol):
    """Told about every step; the terminal sets one."""

    def __call__(self, what: str, done: int, total: int, note: str, fine: bool) -> None:
        """`done` of `total` pieces; `fine`: a piece of a piece."""


_listeners: list[Listener] = []


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tell `listener` while the block runs."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


def tell(what: str, done: int, total: int, note: str = "", fine: bool = False) -> None:
    """Tell the listeners of this process; `fine`: a piece of a piece, worth a bar and no line."""
    for listener in _listeners:
        listener(what, done, total, note, fine)


@contextmanager
def counted(what: str, total: int) -> Iterator[Callable[[str], None]]:
    """Count `total` pieces of work; the value takes a note per finished piece."""
    done = 0
    artifact = cast(UUID, create_progress_artifact(progress=0.0 if total else 100.0, key="progress", description=what))

    def count(note: str) -> None:
        nonlocal done
        done += 1
        update_progress_artifact(artifact_id=artifact, progress=100.0 * done / total, description=f"{what}: {note}")
        tell(what, done, total, note)

    tell(what, 0, total)
    yield count


def search(what: str, clock: Callable[[], float] = time.monotonic) -> Callable[[int, int, float], None]:
    """Progress of a search, for the UI and the terminal: fits done, of how many, and the lowest loss so far.

    Speed and what is left follow from the fits since the first that was told: those before may be of a run that was killed.
    """
    artifact = cast(UUID, create_progress_artifact(progress=0.0, key="search", description=what))
    first: list[tuple[int, float]] = []

    def count(done: int, total: int, best: float) -> None:
        now = clock()
        first.append((done, now))
        note = f"best {best:.4f}{_pace(done - first[0][0], total - done, now - first[0][1])}"
        update_progress_artifact(artifact_id=artifact, progress=100.0 * done / total, description=f"{what}: {note}")
        tell(what, done, total, note, fine=True)

    return count


def _pace(done: int, left: int, taken_s: float) -> str:
    """Trials per minute and the time that what is left takes at this pace; empty before there is a pace."""
    if done < 1 or taken_s <= 0:
        return ""
    each_s = taken_s / done
    minutes, seconds = divmod(round(left * each_s), 60)
    return f", {60 / each_s:.3g} trials/min" + (f", {minutes}:{seconds:02d} left" if left else "")
