"""A tiny project of parcels in a user's clone: 40 rows a month, read from Parquet files that a test can spoil."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

PERIODS = ("2013-01", "2013-02")
ROWS = 40
SOURCE = '''"""Parcels, read from files of the clone that is entered."""
import os
from pathlib import Path
import pyarrow.parquet as pq

class Files:
    def periods(self):
        return sorted(f.stem[5:] for f in files().glob("rows-*"))

    def rows(self, period):
        return pq.read_table(files() / f"rows-{period}.parquet")

    def outcomes(self, period):
        return pq.read_table(files() / f"outcomes-{period}.parquet")

def files():
    return Path(os.environ["PILLARS_ROOT"]) / "files"

def source(depot="north"):
    return Files()
'''
CONFIG: dict[str, Any] = {
    "project": "parcels",
    "target": "late",
    "source": {"python": "parcels_source"},
    "columns": {
        "at": {"type": "timestamp", "role": ["key", "time"], "nullable": False},
        "parcel": {"type": "int", "role": ["key"], "nullable": False},
        "weight_kg": {"type": "float", "role": ["feature"]},
        "carrier": {"type": "category", "role": ["feature"], "nullable": False},
        "stops": {"type": "int", "role": ["feature"]},
        "express": {"type": "bool"},
        "note": {"type": "text"},
        "late": {"type": "bool", "role": ["outcome"]},
        "delay_min": {"type": "float", "role": ["known_later"]},
    },
    "features": {"numeric": ["weight_kg", "stops"], "categorical": ["carrier"], "min_category_rows": 2},
    "expectations": {
        "min_rows": 20,
        "quarantine_budget": 0.2,
        "suite": [
            {
                "type": "expect_column_values_to_be_between",
                "kwargs": {"column": "weight_kg", "min_value": 0, "max_value": 50},
                "quarantine": True,
            },
            {
                "type": "expect_column_values_to_be_in_set",
                "kwargs": {"column": "carrier", "value_set": ["A", "B", "C"]},
                "quarantine": True,
            },
        ],
    },
    "search": {"trials": 1, "rows": 100, "max_rounds": 5, "prior_rounds": 5},
    "gate": {"min_rows": 5, "refresh_margin": 1.0, "resamples": 100},
    "leakage": {"allow": ["weight_kg"]},  # a parcel is late when it is heavy, as the source and the tests make it
}


def rows(period: str, n: int = ROWS) -> pa.Table:
    """Good rows of a month, sorted by key."""
    draw = np.random.default_rng([n, *map(int, period.split("-"))])
    start = np.datetime64(f"{period}-01", "s")
    return pa.table(
        {
            "at": pa.array((start + np.sort(draw.integers(0, 28 * 86_400, n))).astype("datetime64[ms]")),
            "parcel": pa.array(np.arange(n)),
            "weight_kg": pa.array(draw.uniform(1, 40, n).round(2)),
            "carrier": pa.array(draw.choice(["A", "B", "C"], n)),
            "stops": pa.array(draw.integers(0, 5, n)),
            "express": pa.array(draw.random(n) < 0.5),
            "note": pa.array([f"parcel {i}" for i in range(n)]),
        }
    )


def outcomes(table: pa.Table) -> pa.Table:
    """Outcomes of some rows."""
    delay = np.arange(table.num_rows, dtype=float)
    return table.select(["at", "parcel"]).append_column("late", pa.array(delay % 3 == 0)).append_column("delay_min", pa.array(delay))


def write_parcels(root: Path) -> Path:
    """Put the project into a clone."""
    (root / "parcels_source.py").write_text(SOURCE)
    (root / "files").mkdir()
    for period in PERIODS:
        write_month(root, period)
    write_config(root, "parcels")
    return root


def write_month(root: Path, period: str, table: pa.Table | None = None, results: pa.Table | None = None) -> None:
    """Write a month's files, good ones where none are given."""
    table = rows(period) if table is None else table
    pq.write_table(table, root / "files" / f"rows-{period}.parquet")
    pq.write_table(outcomes(rows(period)) if results is None else results, root / "files" / f"outcomes-{period}.parquet")


def write_config(root: Path, name: str, **sections: Any) -> Path:
    """Write the project's YAML under a name, with other sections where a test asks for them."""
    file = root / "configs" / f"{name}.yaml"
    file.write_text(yaml.safe_dump({**CONFIG, "project": name, **sections}, sort_keys=False))
    return file
