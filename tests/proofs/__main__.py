"""Proofs that the loop holds, on demand: `make proofs` for all of it, `make proofs-some` for a part that represents it.

    python -m tests.proofs crashes                # kill -9 at every write point of each step of a first and of a later cycle
    python -m tests.proofs kills --count 200      # kill -9 at random moments of replays
    python -m tests.proofs races --count 50       # commands let loose at once, each race so often
    python -m tests.proofs all --some             # a sample of each

Every try begins with a fresh copy of a clone, and ends with a comparison of data versions, ledger, traffic, registry, predictions and
releases with those of an undisturbed run. Exit code 1 when one differs.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.proofs import kills, races
from tests.proofs.player import KILLS_A_REPLAY, Task, Tried, begin, play, points
from tests.proofs.points import Point
from tests.proofs.scenes import STEPS


def main() -> int:
    """Play the proofs that were asked for; the exit code."""
    asked = _arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that workers and server end with it
    folder = Path(tempfile.mkdtemp(prefix="pillars-proofs-"))
    try:
        with _prefect():
            return _play(asked, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _arguments() -> argparse.Namespace:
    asked = argparse.ArgumentParser(
        prog="python -m tests.proofs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    asked.add_argument("proof", choices=("crashes", "kills", "races", "all"))
    asked.add_argument(
        "--some", action="store_true", help="a sample: 2 write points a step, 10 kills, each race once, four ingests 20 times"
    )
    asked.add_argument("--count", type=int, help="random kills in all (200), or times of each race (50)")
    asked.add_argument("--only", default="", metavar="TEXT", help="only tries whose name contains this")
    asked.add_argument("--seed", type=int, default=0, help="decides samples, moments of random kills, and orders of starts")
    asked.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    asked.add_argument(
        "--log", type=Path, metavar="FILE", help="append each try as a line of JSON; tries that ended well there are not repeated"
    )
    asked.add_argument("--json", action="store_true", help="print the summary as JSON")
    return asked.parse_args()


def _play(asked: argparse.Namespace, folder: Path) -> int:
    start, tried = time.monotonic(), _logged(asked.log)
    known = {(one.proof, one.name) for one in tried}
    numbers = multiprocessing.get_context("spawn").Queue()
    for number in range(asked.workers):
        numbers.put(number)
    slices = _slices(folder)
    with ProcessPoolExecutor(
        asked.workers, multiprocessing.get_context("spawn"), begin, (folder, slices, numbers, os.environ["PREFECT_API_URL"])
    ) as workers:
        tasks = [t for t in _tasks(asked, workers) if (t[0], " ".join(t[1:])) not in known and asked.only in " ".join(t)]
        print(f"{len(tasks)} tries to play, {len(known)} played before", file=sys.stderr, flush=True)
        for done, future in enumerate(as_completed([workers.submit(play, task) for task in tasks]), 1):
            one = future.result()
            tried.append(one)
            _tell(asked, one, done, len(tasks), start)
    return _summary(tried, asked.json)


def _tasks(asked: argparse.Namespace, workers: ProcessPoolExecutor) -> Iterator[Task]:
    """The tries, mixed by seed so that the first ones already represent the whole."""
    mixed = random.Random(asked.seed)
    tasks: list[Task] = []
    if asked.proof in ("crashes", "all"):
        for step, found in zip(STEPS, workers.map(points, STEPS), strict=True):
            chosen = mixed.sample(found, 2) if asked.some else found
            print(f"{step}: {len(found)} write points, {_by_kind(found)}", file=sys.stderr, flush=True)
            tasks += [("crash", step, str(p.nth), p.name) for p in chosen]
    if asked.proof in ("kills", "all"):
        count = 10 if asked.some else (asked.count or 200)
        scenes = list(kills.REPLAYS)
        tasks += [("kill", scenes[i % len(scenes)], str(asked.seed + i)) for i in range(-(-count // KILLS_A_REPLAY))]
    if asked.proof in ("races", "all"):
        for name, race in races.RACES.items():
            count = race.sample if asked.some else (asked.count or 50)
            tasks += [("race", name, str(asked.seed + i)) for i in range(count)]
    mixed.shuffle(tasks)
    yield from tasks


def _by_kind(found: list[Point]) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in Counter(p.kind for p in found).most_common())


def _tell(asked: argparse.Namespace, one: Tried, done: int, of: int, start: float) -> None:
    if asked.log:
        with asked.log.open("a") as log:
            log.write(json.dumps(asdict(one)) + "\n")
    left = (time.monotonic() - start) / done * (of - done)
    if one.problems:
        print(f"\nNOT RIGHT: {one.proof} {one.name}\n  " + "\n  ".join(one.problems[:12]), file=sys.stderr, flush=True)
    if one.problems or done % 10 == 0 or done == of:
        print(f"{done}/{of}, about {left / 60:.0f} min left", file=sys.stderr, flush=True)


def _logged(log: Path | None) -> list[Tried]:
    """Tries of an earlier, interrupted run that ended well."""
    if log is None or not log.exists():
        return []
    _cut_half_line(log)
    found = [Tried(**{**json.loads(line), "problems": tuple(json.loads(line)["problems"])}) for line in log.read_text().splitlines()]
    return [one for one in found if not one.problems]


def _cut_half_line(log: Path) -> None:
    """What a kill left at the end: no try, and the next one would be written behind it on the same line."""
    if not (content := log.read_bytes()).endswith(b"\n"):
        os.truncate(log, content.rfind(b"\n") + 1)


def _summary(tried: list[Tried], as_json: bool) -> int:
    wrong = [one for one in tried if one.problems]
    kinds = sorted({(one.proof, one.name.rpartition(" ")[0] if one.proof != "crash" else _step(one)) for one in tried})
    rows = []
    for proof, name in kinds:
        of = [one for one in tried if one.proof == proof and one.name.startswith(name)]
        rows.append({"proof": proof, "of": name, "times": sum(o.times for o in of), "wrong": sum(bool(o.problems) for o in of)})
    if as_json:
        print(json.dumps({"rows": rows, "wrong": [asdict(one) for one in wrong]}, indent=1))
    else:
        for row in rows:
            print(f"{row['proof']:6} {row['of']:40} {row['times']:>6} times, {row['wrong']} wrong")
    return 1 if wrong else 0


def _step(one: Tried) -> str:
    return next(step for step in STEPS if one.name.startswith(step))


def _slices(folder: Path) -> Path:
    from tests.small import write_slices

    return write_slices(folder / "slices")


def _prefect() -> Any:
    from tests.conftest import running_prefect

    return running_prefect()


if __name__ == "__main__":
    sys.exit(main())
