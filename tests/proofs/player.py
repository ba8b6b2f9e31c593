"""A process that plays tries, one after the other, in a clone of its own."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.proofs import crashes, kills, races
from tests.proofs.points import Point
from tests.proofs.scenes import Scenes

KILLS_A_REPLAY = 5
Task = tuple[str, ...]  # proof, then what it needs as text


@dataclass(frozen=True)
class Tried:
    """One try: its proof and name, how many kills or races it was, what was wrong, and how long it took."""

    proof: str
    name: str
    times: int
    problems: tuple[str, ...]
    seconds: float


_scenes: Scenes | None = None


def begin(folder: Path, slices: Path, numbers: Any, prefect: str) -> None:
    """A clone of its own, and everything imported."""
    global _scenes
    os.environ["PREFECT_API_URL"] = prefect
    _scenes = Scenes.begin(folder / f"worker-{numbers.get()}", slices)


def points(step: str) -> list[Point]:
    """Write points of a step."""
    assert _scenes is not None
    return crashes.points(_scenes, step)


def play(task: Task) -> Tried:
    """One try."""
    assert _scenes is not None
    proof, *rest = task
    start, times = time.perf_counter(), 1
    try:
        if proof == "crash":
            times, problems = crashes.crash(_scenes, rest[0], Point(rest[2], int(rest[1])))
        elif proof == "kill":
            times, problems = KILLS_A_REPLAY, kills.under_fire(_scenes, rest[0], int(rest[1]), KILLS_A_REPLAY)
        else:
            problems = races.raced(_scenes, rest[0], int(rest[1]))
    except Exception as err:  # told as what went wrong with this try; the others go on
        problems = [repr(err)]
    return Tried(proof, " ".join(rest), times, tuple(problems), time.perf_counter() - start)
