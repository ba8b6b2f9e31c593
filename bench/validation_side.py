"""One side of the validation bench in a process of its own: `python -m bench.validation_side SIDE FILE`; see `bench.validation`."""

from __future__ import annotations

import hashlib
import json
import resource
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.validation_checks import FULL, KEY, RANGES, SETS
from pillars.config import Project
from pillars.config_data import Expectation
from pillars.data.quarantine import failing, set_aside
from pillars.data.ready import Came
from pillars.data.spilled import Spilled
from pillars.stores import Stores

NAMES = [*FULL, "tailnum", *(n for n in RANGES if n not in FULL), "dewp", "wind_speed", "visib", "rain"]


def suite() -> list[Expectation]:
    """26 checks, most of which set rows aside."""

    def each(kind: str, quarantine: bool = True, **kwargs: Any) -> Expectation:
        return Expectation(type=f"expect_{kind}", kwargs=kwargs, quarantine=quarantine)

    return [
        each("table_row_count_to_be_between", False, min_value=1000),
        each("table_column_count_to_equal", False, value=20),
        *(each("column_values_to_not_be_null", column=name) for name in FULL),
        each("compound_columns_to_be_unique", column_list=KEY),
        *(each("column_values_to_be_in_set", column=name, value_set=values) for name, values in SETS.items()),
        *(each("column_values_to_be_between", column=name, min_value=low, max_value=high) for name, (low, high) in RANGES.items()),
        each("column_mean_to_be_between", False, column="distance", min_value=500, max_value=5000),
        each("column_mean_to_be_between", False, column="temp", min_value=0, max_value=100),
        each(
            "column_pair_values_a_to_be_greater_than_b",
            column_A="temp",
            column_B="dewp",
            or_equal=True,
            ignore_row_if="either_value_is_missing",
        ),
        each("column_value_lengths_to_equal", column="origin", value=3),
        each("column_unique_value_count_to_be_between", False, column="dest", min_value=50, max_value=200),
    ]


def project(key: Sequence[str] = KEY) -> Project:
    """The batch's columns and checks, as a YAML says them."""
    kinds = {"flight": "int", "minute": "int", "hour": "int", "month": "int", "departs": "timestamp", "rain": "bool"}
    kinds |= dict.fromkeys(("carrier", "origin", "dest", "tailnum"), "category")
    roles = {name: ["key"] for name in key} | {"departs": ["key", "time"], "rain": ["outcome"], "distance": ["feature"]}
    columns = {name: {"type": kinds.get(name, "float"), "role": roles.get(name, ["info"])} for name in (*key, *NAMES)}
    source = {"file": "inbox", "batches": {"by": "file"}}
    checks = [each.model_dump(mode="json") for each in suite() if "column_count" not in each.type]
    expected = {"suite": checks, "quarantine_budget": 0.05, "freshness": False}
    said = {"project": "bench", "target": "rain", "source": source, "features": {"numeric": ["distance"]}}
    return Project.model_validate(said | {"columns": columns, "expectations": expected})


def duckdb(path: Path) -> list[int]:
    """Ours, of a batch in its file."""
    from pillars.data.engines import hold

    return [0 if held.fails is None else int(held.fails.sum()) for held in hold(project(), suite(), Spilled(path), path.parent)]


def pandas(path: Path) -> list[int]:
    """Ours of a batch in memory, which is Great Expectations as it comes."""
    from pillars.data.engines import hold

    return [0 if held.fails is None else int(held.fails.sum()) for held in hold(project(), suite(), pq.read_table(path))]


def by_hand(path: Path) -> list[int]:
    """One aggregate over the file, and one for the key: what a person would write who needs no more than counts."""
    import duckdb

    parts = [f"count(*) FILTER ({name} IS NULL)" for name in FULL]
    listed = {name: ", ".join(f"'{value}'" for value in values) for name, values in SETS.items()}
    parts += [f"count(*) FILTER ({name} NOT IN ({values}))" for name, values in listed.items()]
    parts += [f"count(*) FILTER ({name} NOT BETWEEN {low} AND {high})" for name, (low, high) in RANGES.items()]
    parts += ["count(*) FILTER (temp < dewp)", "count(*) FILTER (length(origin) <> 3)"]
    parts += [
        "count(*) >= 1000",
        "avg(distance) BETWEEN 500 AND 5000",
        "avg(temp) BETWEEN 0 AND 100",
        "count(DISTINCT dest) BETWEEN 50 AND 200",
    ]
    with duckdb.connect() as database:
        found = database.sql(f"SELECT {', '.join(parts)} FROM '{path}'").fetchall()[0]
        ((again,),) = database.sql(f"SELECT sum(n - 1) FROM (SELECT count(*) AS n FROM '{path}' GROUP BY {', '.join(KEY)})").fetchall()
    counts = [int(n) for n in found]
    return [0, 0, *counts[:6], int(again), *counts[6:18], 0, 0, counts[18], counts[19], 0]


def masks(path: Path) -> dict[str, np.ndarray]:
    """Which rows fail which check, as it is known once the batch is checked."""
    from pillars.data.engines import hold

    held = zip(suite(), hold(project(), suite(), Spilled(path), path.parent), strict=True)
    return {str(i): each.fails for i, (expectation, each) in enumerate(held) if expectation.quarantine and each.fails is not None}


def split(path: Path, known: dict[str, np.ndarray], key: Sequence[str] = KEY) -> None:
    """Ours: kept rows sorted by key, and the others with their reasons."""
    from pillars.data.cleaning import put_kept
    from pillars.data.parquet import write_parquet

    table = Spilled(path)
    bad = failing(known, table.num_rows)
    with (path.parent / "kept.parquet").open("wb") as handle:
        put_kept(handle, project(key), table, bad, None, path.parent)
    write_parquet(path.parent / "quarantine.parquet", set_aside("rows", bad, known, Came(table, lambda rows: rows)))


def copy(path: Path) -> None:
    """The file once more, piece by piece, by the same writer."""
    from pillars.data.parquet import write_pieces

    table = Spilled(path)
    with (path.parent / "copy.parquet").open("wb") as handle:
        write_pieces(handle, table.schema, table.pieces())


def sorted_copy(path: Path) -> None:
    """The file once more, sorted, by DuckDB alone."""
    import duckdb

    with duckdb.connect() as database:
        database.execute("SET memory_limit = '800MB'")
        database.execute(f"SET temp_directory = '{path.parent}'")
        target = path.parent / "sorted.parquet"
        database.execute(f"COPY (FROM '{path}' ORDER BY {', '.join(KEY)}) TO '{target}' (FORMAT parquet, COMPRESSION zstd)")


def ingested(path: Path, large: int) -> list[str]:
    """The batch from its source to its prepared files; their hashes."""
    from pillars.data.cleaning import prepare
    from pillars.data.collection import collect, open_source

    root = path.parent / f"clone-{large}"
    (root / "inbox").mkdir(parents=True)
    (root / "inbox/2013-01.parquet").hardlink_to(path)
    stores = Stores(root=root, var=Path("var"), large_rows=large)
    done = prepare(stores, project(), collect(stores, project(), open_source(stores, project()), "2013-01"))
    written = [stores.var / name for name in (done.rows_path, str(done.outcomes_path), done.quarantine_path)]
    return [hashlib.file_digest(each.open("rb"), "sha256").hexdigest() for each in written]


def main() -> None:
    """Run one side and print what it took."""
    side, path = sys.argv[1], Path(sys.argv[2]).resolve()
    import duckdb as _duckdb
    import great_expectations.expectations
    import pandas as _pandas

    del great_expectations, _duckdb, _pandas
    steps: dict[str, Callable[[Path], Sequence[int | str] | None]] = {
        "duckdb": duckdb,
        "pandas": pandas,
        "by_hand": by_hand,
        "copy": copy,
        "sorted_copy": sorted_copy,
        "pieces": partial(ingested, large=500_000),
        "whole": partial(ingested, large=10**9),
    }
    step = steps.get(side)
    if step is None:
        known = masks(path)

        def step(path: Path) -> None:
            split(path, known, KEY if side == "split" else ("tailnum", *KEY))

    cpu, wall = time.process_time(), time.perf_counter()
    found = step(path)
    took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**took, "peak": peak, "failing": found}))


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    pa.default_memory_pool().release_unused()
