"""How large a data set fits, and how fast: training over Parquet partitions, and the flights features of ten years.

    python -m bench.scale                                     # 10M and 30M rows, ten years of flights; half an hour on two cores
    python -m bench.scale --rows 1000000 --years 1            # a try

Each measurement is a process of its own. Peak memory is its VmHWM, which counts pages of mapped files too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

ROWS = (10_000_000, 30_000_000)
COLUMNS, ROUNDS, PER_PERIOD = 40, 20, 500_000
YEARS = 10
LIMIT_MB, LIMIT_S = 2_000, 60  # what is promised: training 10M rows, building ten years


def main(arguments: Sequence[str] = ()) -> None:
    """Print what was measured, a line of JSON each."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, action="append", help=f"rows to train on, may be repeated; default {ROWS}")
    asked.add_argument("--years", type=int, default=YEARS, help="years of flights whose features are built; 0: none")
    asked.add_argument("--engine", choices=("external-memory", "local"), default="external-memory")
    given = asked.parse_args(arguments)
    for rows in given.rows or ROWS:
        with tempfile.TemporaryDirectory(prefix="pillars-bench-scale-") as folder:
            print(json.dumps(_child("write", folder, rows)), flush=True)
            print(json.dumps(_child("train", folder, given.engine)), flush=True)
    if given.years:
        print(json.dumps(_child("flights", given.years)), flush=True)


def write(folder: str, rows: str) -> dict[str, Any]:
    """Parquet partitions of rows and outcomes: 36 numbers, 4 categories, a tenth of nulls."""
    from pillars.data.parquet import write_parquet

    began, left, place, size = time.perf_counter(), int(rows), 0, 0
    while left:
        count, drawn = min(left, PER_PERIOD), np.random.default_rng(place)
        numbers = drawn.normal(size=(COLUMNS - 4, count))
        key = pa.array(np.arange(count) + place * PER_PERIOD)
        columns = {"at": pa.array(np.arange(count), pa.timestamp("s"))} | {
            f"n{i}": pa.array(one, mask=drawn.random(count) < 0.1) for i, one in enumerate(numbers)
        }
        columns |= {f"c{i}": pa.array(drawn.integers(0, 30, count).astype(str)) for i in range(4)}
        late = drawn.random(count) < 1 / (1 + np.exp(-numbers[0] - numbers[1] * numbers[2]))
        for kind, table in (("rows", {"id": key, **columns}), ("outcomes", {"id": key, "late": pa.array(late)})):
            file = Path(folder, kind, f"{place:04d}.parquet")
            write_parquet(file, pa.table(table))
            size += file.stat().st_size
        left, place = left - count, place + 1
    return {"what": "written", "rows": int(rows), "files_mb": round(size / 1e6), "wall_s": round(time.perf_counter() - began, 1)}


def train(folder: str, engine: str) -> dict[str, Any]:
    """The stages of one final fit over these partitions: read and encoded, put in bins, each round."""
    from pillars.config import Project
    from pillars.data.parquet import read_parquet
    from pillars.development import features
    from pillars.stores import Stores
    from pillars.training.fitting import fit, grounded
    from pillars.training.splits import Part
    from pillars.vocabulary import Recipe

    numbers, words = [f"n{i}" for i in range(COLUMNS - 4)], [f"c{i}" for i in range(4)]
    columns = {
        "id": {"type": "int", "role": ["key"]},
        "at": {"type": "timestamp", "role": ["time"]},
        "late": {"type": "bool", "role": ["outcome"]},
    }
    columns |= {name: {"type": "float"} for name in numbers} | {name: {"type": "category"} for name in words}
    source = {"python": "projects.flights"}  # never opened: rows are read below
    content = {"project": "scale", "target": "late", "columns": columns, "features": {"numeric": numbers, "categorical": words}}
    project = Project.model_validate({**content, "source": source, "fit": {"engine": engine}})

    def read(kind: str, periods: Sequence[str]) -> pa.Table:
        return read_parquet(Path(folder, kind, f"{periods[0]}.parquet"))

    periods = tuple(sorted(file.stem for file in Path(folder, "rows").iterdir()))
    stores = Stores(root=Path(folder))
    recipe = Recipe("scale", {"max_bin": 128, "max_depth": 6, "eta": 0.1}, ROUNDS, 0)
    began = time.perf_counter()
    ground = grounded(stores, project, features.reader(project, "bench", read), Part(periods))
    rows = len(ground.rows.y)
    read_s = time.perf_counter() - began
    ground.matrix(recipe, stores.threads)
    bins_s = time.perf_counter() - began - read_s
    fit(ground, recipe, stores.threads)
    rounds_s = time.perf_counter() - began - read_s - bins_s
    return {
        "what": f"trained, {engine}",
        "rows": rows,
        "read_s": round(read_s, 1),
        "read_rows_per_s": round(rows / read_s),
        "bins_s": round(bins_s, 1),
        "round_s": round(rounds_s / ROUNDS, 3),  # two probes of two rounds each among them
        "peak_mb": _peak_mb(),
    } | ({"within_2_gb": _peak_mb() <= LIMIT_MB} if rows >= ROWS[0] else {})


def flights(years: str) -> dict[str, Any]:
    """All features of a year of flights, repeated with years that follow one another."""
    from projects.flights.raw import raw, read
    from projects.flights.year import build

    once, count = read(), int(years)
    repeated = [_later(once.flights, place) for place in range(count)]
    weather = [_later(once.weather, place) for place in range(count)]
    many = raw(pa.concat_tables(repeated), pa.concat_tables(weather), once.planes, once.airports)
    before_mb, began = _peak_mb(), time.perf_counter()
    built = build(many, 60)
    took = time.perf_counter() - began
    said = {"what": "flights features", "rows": built.rows.num_rows, "columns": built.rows.num_columns, "wall_s": round(took, 1)}
    return {**said, "within_60_s": took <= LIMIT_S, "before_mb": before_mb, "peak_mb": _peak_mb()}


def _later(table: pa.Table, years: int) -> pa.Table:
    """The same rows so many times 365 days later."""
    moved = pa.array(table["time_hour"].cast(pa.int64()).to_numpy() + years * 365 * 86_400).cast(table["time_hour"].type)
    table = table.set_column(table.column_names.index("time_hour"), "time_hour", moved)
    if "year" not in table.column_names:
        return table
    shifted = pa.array(table["year"].to_numpy() + years)
    return table.set_column(table.column_names.index("year"), "year", shifted)


def _child(what: str, *arguments: object) -> dict[str, Any]:
    done = subprocess.run([sys.executable, "-m", "bench.scale", f"--{what}", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{what} ended with {done.returncode}:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _peak_mb() -> int:
    """Largest resident memory of this process so far."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) * 1024 / 1e6)


INSIDE = {"--write": write, "--train": train, "--flights": flights}  # what a child is asked for

if __name__ == "__main__":
    if len(sys.argv) > 1 and sys.argv[1] in INSIDE:
        print(json.dumps(INSIDE[sys.argv[1]](*sys.argv[2:])))
    else:
        main(sys.argv[1:])
