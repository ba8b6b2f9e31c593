"""What it costs to hold a large batch against its checks, and to set rows aside: against what people would write without us.

    make bench-peers                       # pandera, in an environment of its own
    python -m bench.validation             # 1 million rows, then 10 million; --rows 1000000 for one size, --markdown for the table

Twenty columns, 26 checks, one row of a thousand broken in each of four ways. Every side reads the same Parquet file in a process of its
own, its imports not counted; all must find the same number of failing rows, check by check, or nothing is printed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.validation_checks import SETS
from pillars.stores import Stores

SIDES = {
    "duckdb": "Great Expectations over DuckDB (ours)",
    "pandas": "Great Expectations on pandas",
    "pandera": "pandera on pandas",
    "by_hand": "one DuckDB query, written by hand",
}
SPLITS = {
    "split": "kept rows and quarantine with reasons, of rows that came by key (ours)",
    "split_unsorted": "the same, of rows that came in another order, sorted (ours)",
    "copy": "a copy of the Parquet file, as it is",
    "sorted_copy": "a copy sorted by key, by DuckDB",
}
INGESTS = {
    "pieces": "collected, checked and written in pieces (ours)",
    "whole": "collected, checked and written in memory (ours, of smaller batches)",
}
PEERS = Path(".venv-peers/bin/python")
STEP = 1 << 18


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, action="append", help="rows of the batch; more than once for several")
    asked.add_argument("--markdown", action="store_true", help="only the tables, as in docs/validation.md")
    wanted = asked.parse_args(arguments)
    for rows in wanted.rows or (1_000_000, 10_000_000):
        print(table(rows, measure(rows)), flush=True)


def measure(rows: int) -> dict[str, dict[str, float]]:
    """Figures of every side: CPU and wall seconds, peak memory in MB.

    Raises:
        RuntimeError: a side failed, or they do not agree.
    """
    with TemporaryDirectory(prefix="pillars-validation-", dir=Stores().folder()) as folder:
        path = Path(folder, "batch.parquet")
        write(path, rows)
        found = {side: _ran(side, path) for side in (*SIDES, *SPLITS, *INGESTS) if side != "pandera" or PEERS.exists()}
    sides = {side: answer["failing"] for side, answer in found.items() if side in SIDES}
    if odd := [side for side, failing in sides.items() if failing != sides["pandas"]]:
        raise RuntimeError(f"{odd[0]} finds other rows than Great Expectations on pandas: {sides[odd[0]]} and {sides['pandas']}")
    if found["pieces"]["failing"] != found["whole"]["failing"]:
        raise RuntimeError("in pieces other files are written than in memory")
    return found


def table(rows: int, found: dict[str, dict[str, float]]) -> str:
    """One size as Markdown."""
    lines = [f"| {rows:,} rows × 20 columns | CPU | wall | peak memory | CPU ratio |", "|---|---:|---:|---:|---:|"]
    for group, peer in ((SIDES, "pandas"), (SPLITS, "copy"), (INGESTS, "whole")):
        for side, said in group.items():
            if side in found:
                f = found[side]
                lines.append(
                    f"| {said} | {f['cpu']:.1f} s | {f['wall']:.1f} s | {f['peak']:,.0f} MB | {f['cpu'] / found[peer]['cpu']:.2f} |"
                )
    return "\n".join(lines) + "\n"


def write(path: Path, rows: int) -> None:
    """The batch: flights as they might be, one of a thousand broken in each of four ways, and fifty keys that come twice."""
    draw = np.random.default_rng(0)
    with pq.ParquetWriter(path, _columns(draw, 0, 1).schema, compression="zstd") as writer:
        for at in range(0, rows, STEP):
            writer.write_table(_columns(draw, at, min(STEP, rows - at)))


def _columns(draw: np.random.Generator, at: int, n: int) -> pa.Table:
    def some(share: float) -> np.ndarray:
        return draw.random(n) < share

    flight = np.arange(at, at + n)
    if at == STEP:
        flight[:50] = np.arange(50)  # keys of the first rows again, with their times below
    moment = np.datetime64("2013-01-01", "us") + flight.astype("timedelta64[s]")
    return pa.table(
        {
            "flight": flight,
            "departs": moment,
            "carrier": pa.array(np.where(some(0.001), "??", np.array(SETS["carrier"])[draw.integers(0, 10, n)])),
            "origin": pa.array(np.array(SETS["origin"])[draw.integers(0, 3, n)]),
            "dest": pa.array(np.array([f"D{i:02d}" for i in range(105)])[draw.integers(0, 105, n)], mask=some(0.001)),
            "tailnum": pa.array(np.array([f"N{i:05d}" for i in range(4043)])[draw.integers(0, 4043, n)]),
            "distance": np.where(some(0.001), 99_999.0, draw.uniform(80, 4983, n).round()),
            "minute": draw.integers(0, 60, n),
            "hour": np.where(some(0.001), 99, draw.integers(5, 24, n)),
            "month": draw.integers(1, 13, n),
            "dep_delay": pa.array(draw.exponential(12, n).round() - 5, mask=some(0.02)),
            "arr_delay": pa.array(draw.exponential(14, n).round() - 9, mask=some(0.03)),
            "air_time": pa.array(draw.uniform(20, 695, n).round(), mask=some(0.03)),
            "temp": draw.uniform(10, 100, n),
            "dewp": draw.uniform(-10, 10, n),
            "humid": draw.uniform(12, 100, n),
            "wind_speed": pa.array(draw.uniform(0, 40, n), mask=some(0.01)),
            "pressure": pa.array(draw.uniform(990, 1040, n), mask=some(0.1)),
            "visib": draw.choice([10.0, 9, 8, 5, 2, 0.5], n),
            "rain": some(0.1),
        }
    )


def _ran(side: str, path: Path) -> dict[str, float]:
    """What a side measured of itself, in a process of its own."""
    python, module = (str(PEERS), "bench.validation_pandera") if side == "pandera" else (sys.executable, "bench.validation_side")
    done = subprocess.run([python, "-m", module, side, str(path)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{side} failed:\n{done.stderr[-3000:]}")
    return dict(json.loads(done.stdout.splitlines()[-1]))


if __name__ == "__main__":
    main(sys.argv[1:])
