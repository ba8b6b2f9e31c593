"""What the platform costs: the same months through one plain script and through the loop, each in a process and a clone of its own.

    python -m bench.price                          # the flights year, some ten minutes on a quiet machine
    python -m bench.price --periods 3 --markdown   # the tables of docs/price.md

Prefect's server is started before, and measured apart. CPU seconds are those of the process, its children, and for the loop of Prefect's
server while it ran. Both sides must end with the same data versions, models and losses, or nothing is printed. So releases take the
traffic at once on both: what a trial's rows are answered by is no other model's work.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import yaml

from bench.found import differences
from bench.machine import Ran, measured, prefect_server, start_up_s
from pillars import project_file
from pillars.data import collection
from pillars.stores import Stores
from tests.clone import make_clone

BUDGET = 0.15  # what orchestration may add, as a share of the plain script's wall time
START_UPS = (("pillars --help", ("--help",), 0.3), ("pillars status", ("status",), 1.5))  # seconds
STEPS = (
    *("start", "collect", "check", "publish", "score", "drift", "quality", "search", "judge", "refit", "log", "register"),
    *("export", "switch", "ledger", "settings", "Prefect", "the rest"),
)


@dataclass(frozen=True)
class Price:
    """One row per side or command; seconds."""

    periods: int
    plain: Ran
    loop: Ran
    server_wall_s: float  # to start Prefect's server
    server_cpu_s: float
    start_ups_s: dict[str, float]

    @property
    def adds(self) -> dict[str, float]:
        """What the loop adds to the plain script, as shares of it."""
        return {
            "wall": self.loop.wall_s / self.plain.wall_s - 1,
            "cpu": (self.loop.cpu_s + self.loop.server_cpu_s) / self.plain.cpu_s - 1,
        }


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--project", default="flights")
    asked.add_argument("--periods", type=int, help="the first so many; all if not given")
    asked.add_argument("--repeats", type=int, default=1, help="pairs of runs; medians are shown")
    asked.add_argument("--threads", type=int, help="of final fits; 1 beside other work, where two threads may wait for each other")
    asked.add_argument("--json", action="store_true")
    asked.add_argument("--markdown", action="store_true", help="only the tables, as in docs/price.md")
    wanted = asked.parse_args(arguments)
    price = measure(wanted.project, wanted.periods, wanted.repeats, wanted.threads)
    if wanted.json:
        print(json.dumps({**asdict(price), "adds": price.adds}, indent=1))
    else:
        print(tables(price))
        if not wanted.markdown:
            print("\nBoth sides ended with the same data versions, models and losses.")


def measure(project: str, periods: int | None, repeats: int, threads: int | None = None) -> Price:
    """Run both sides, one after the other.

    Raises:
        RuntimeError: one of them failed, or they do not agree.
    """
    stores = Stores()
    known = collection.open_source(stores, project_file.load(stores.config_file(project))).periods()[:periods]
    runs: dict[str, list[Ran]] = {"plain": [], "loop": []}
    with TemporaryDirectory(prefix="pillars-price-") as folder, prefect_server(Path(folder, "prefect")) as server:
        for repeat in range(repeats):
            for side in runs if repeat % 2 == 0 else reversed(runs):
                root = _at_once(make_clone(Path(folder, f"{side}-{repeat}"), of=stores.root), project)
                runs[side].append(measured(side, root, project, known[-1], server, threads))
            if said := differences(runs["plain"][-1].months, runs["loop"][-1].months):
                raise RuntimeError("the two sides did not do the same work:\n" + "\n".join(said))
        finished = Path(folder, f"loop-{repeats - 1}")
        start_ups = {what: start_up_s(given, finished, server) for what, given, _ in START_UPS}
        return Price(len(known), middle(runs["plain"]), middle(runs["loop"]), server.start_wall_s, server.start_cpu_s, start_ups)


def _at_once(root: Path, project: str) -> Path:
    """The clone with releases that take the whole traffic at once, as the plain script's do: with a trial others would answer some rows."""
    file = root / "configs" / f"{project}.yaml"
    said = yaml.safe_load(file.read_text())
    file.write_text(yaml.safe_dump({**said, "rollout": {"strategy": "direct"}}, sort_keys=False))
    told = ["-c", "user.name=A User", "-c", "user.email=user@example.org", "commit", "-q", "--allow-empty", "-a", "-m", "at once"]
    subprocess.run(["git", *told], cwd=root, check=True, capture_output=True)
    return root


def middle(runs: Sequence[Ran]) -> Ran:
    """Medians of several runs of one side."""

    def of(tables: list[dict[str, float]]) -> dict[str, float]:
        return {name: median(table.get(name, 0.0) for table in tables) for name in {n for table in tables for n in table}}

    whole = [median(getattr(run, name) for run in runs) for name in ("wall_s", "cpu_s", "server_cpu_s")]
    return Ran(*whole, of([run.steps_wall_s for run in runs]), of([run.steps_cpu_s for run in runs]), runs[-1].months)


def tables(price: Price) -> str:
    """The whole, the steps and the start-ups, as Markdown."""
    return "\n\n".join((whole(price), steps(price), start_ups(price)))


def whole(price: Price) -> str:
    """Both sides and what the loop adds."""
    plain, loop, adds = price.plain, price.loop, price.adds
    lines = [
        f"| {price.periods} periods | plain script | the loop | the loop adds |",
        "|---|---:|---:|---:|",
        f"| wall | {plain.wall_s:.1f} s | {loop.wall_s:.1f} s | **{adds['wall']:+.1%}** (budget {BUDGET:.0%}) |",
        f"| CPU | {plain.cpu_s:.1f} s | {loop.cpu_s + loop.server_cpu_s:.1f} s | {adds['cpu']:+.1%} |",
        f"| of it Prefect's server | - | {loop.server_cpu_s:.1f} s | {loop.server_cpu_s / plain.cpu_s:+.1%} |",
        f"| started apart: Prefect's server | - | {price.server_wall_s:.1f} s, CPU {price.server_cpu_s:.1f} s | |",
    ]
    return "\n".join(lines)


def steps(price: Price) -> str:
    """Where the time of a cycle goes: seconds of each side over all periods, and the step's share of the loop's wall time."""
    total = sum(price.loop.steps_wall_s.values())
    lines = ["| step | plain wall | loop wall | share | plain CPU | loop CPU |", "|---|---:|---:|---:|---:|---:|"]
    for step in STEPS:
        seconds = [side.get(step, 0.0) for side in (*_sides(price, "steps_wall_s"), *_sides(price, "steps_cpu_s"))]
        if any(seconds):
            lines.append("| {} | {:.1f} | {:.1f} | {:.1%} | {:.1f} | {:.1f} |".format(step, *seconds[:2], seconds[1] / total, *seconds[2:]))
    sums = [sum(side.values()) for side in (*_sides(price, "steps_wall_s"), *_sides(price, "steps_cpu_s"))]
    lines.append("| **all** | {:.1f} | {:.1f} | 100.0% | {:.1f} | {:.1f} |".format(*sums))
    return "\n".join(lines)


def _sides(price: Price, kind: str) -> tuple[dict[str, float], dict[str, float]]:
    return getattr(price.plain, kind), getattr(price.loop, kind)


def start_ups(price: Price) -> str:
    """Median seconds of the commands that must answer at once."""
    lines = ["| command | median of 5 | budget |", "|---|---:|---:|"]
    return "\n".join([*lines, *(f"| `{what}` | {price.start_ups_s[what]:.2f} s | {budget:g} s |" for what, _, budget in START_UPS)])


if __name__ == "__main__":
    main(sys.argv[1:])
