"""A small project of parcels and its batches: 40 rows a month, one protected column."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.data import at_rest, sealing
from pillars.data.collection import collect
from pillars.data.parquet import parquet_bytes, read_parquet
from pillars.stores import Stores
from pillars.vocabulary import Collected, Decision, Prepared, Validation

NOW = datetime(2013, 6, 1, 12, tzinfo=UTC)
CANARY = "Zaphod Beeblebrox"  # a protected value
COLUMNS: dict[str, Any] = {
    "at": {"type": "timestamp", "role": ["key", "time"], "nullable": False},
    "parcel": {"type": "int", "role": ["key"], "nullable": False},
    "weight_kg": {"type": "float", "role": ["feature"]},
    "carrier": {"type": "category", "role": ["feature"], "nullable": False},
    "stops": {"type": "int"},
    "express": {"type": "bool"},
    "person": {"type": "text", "role": ["protected"]},
    "late": {"type": "bool", "role": ["outcome"]},
    "delay_min": {"type": "float", "role": ["known_later"]},
}
SUITE: list[dict[str, Any]] = [
    {"type": "expect_column_values_to_be_between", "kwargs": {"column": "weight_kg", "min_value": 0, "max_value": 50}, "quarantine": True},
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "carrier", "value_set": ["A", "B", "C"]}, "quarantine": True},
    {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "weight_kg", "max_value": 30}, "severity": "warning"},
]


def project(*, lag: int = 0, columns: dict[str, Any] | None = None, suite: list[dict[str, Any]] | None = None, **limits: Any) -> Project:
    """The project, with other columns, checks or limits where a test asks for them."""
    return Project.model_validate(
        {
            "project": "parcels",
            "target": "late",
            "source": {"python": "projects.parcels", "outcome_lag": lag},
            "columns": COLUMNS | (columns or {}),
            "features": {"numeric": ["weight_kg"], "categorical": ["carrier"]},
            "expectations": {"suite": SUITE if suite is None else suite, "min_rows": 5, "quarantine_budget": 0.2} | limits,
        }
    )


def rows(period: str, n: int = 40, seed: int = 0) -> pa.Table:
    """Good rows of a month, sorted by key."""
    draw = np.random.default_rng([seed, *map(int, period.split("-"))])
    start = np.datetime64(f"{period}-01", "s")
    person = [f"Person {i}" for i in range(n)]
    person[0] = CANARY
    return pa.table(
        {
            "at": pa.array((start + np.sort(draw.integers(0, 28 * 86_400, n))).astype("datetime64[ms]")),
            "parcel": pa.array(np.arange(n)),
            "weight_kg": pa.array(draw.uniform(1, 40, n).round(2), mask=np.arange(n) % 9 == 8),
            "carrier": pa.array(draw.choice(["A", "B", "C"], n)),
            "stops": pa.array(draw.integers(0, 5, n), mask=np.arange(n) % 7 == 6),
            "express": pa.array(draw.random(n) < 0.5),
            "person": pa.array(person),
        }
    )


def outcomes(table: pa.Table) -> pa.Table:
    """Outcomes of some rows."""
    delay = np.arange(table.num_rows, dtype=float)
    return table.select(["at", "parcel"]).append_column("late", pa.array(delay > 15)).append_column("delay_min", pa.array(delay))


def changed(table: pa.Table, column: str, at: int | list[int], value: Any) -> pa.Table:
    """`table` with some values of a column replaced."""
    values = table.column(column).to_pylist()
    for i in [at] if isinstance(at, int) else at:
        values[i] = value
    place = table.schema.get_field_index(column)
    return table.set_column(place, column, pa.array(values, table.schema.field(column).type))


@dataclass
class Memory:
    """A source that holds its tables."""

    tables: dict[str, pa.Table]
    results: dict[str, pa.Table] = field(default_factory=dict)

    def periods(self) -> list[str]:
        return list(self.tables)

    def rows(self, period: str) -> pa.Table:
        return self.tables[period]

    def outcomes(self, period: str) -> pa.Table:
        return self.results[period] if period in self.results else outcomes(self.tables[period])


def collected(stores: Stores, given: Project, table: pa.Table, results: pa.Table | None = None, period: str = "2013-01") -> Collected:
    """One table, collected as a period."""
    return collect(stores, given, Memory({period: table}, {} if results is None else {period: results}), period)


def prepared(stores: Stores, period: str, seed: int = 0, n: int = 40, with_outcomes: bool = True, of: Project | None = None) -> Prepared:
    """A batch as cleaning leaves it, without the checks: for tests of what comes after. `of` says whether it is sealed."""
    table = rows(period, n, seed).drop_columns(["person"])
    for kind, content in (("rows", table), ("outcomes", outcomes(table))):
        at_rest.write(stores, of or project(), f"staging/parcels/{period}-{seed}/{kind}.parquet", parquet_bytes(content))
    return Prepared(
        project="parcels",
        period=period,
        rows_path=f"staging/parcels/{period}-{seed}/rows.parquet",
        rows=n,
        outcomes_period=period if with_outcomes else None,
        outcomes_path=f"staging/parcels/{period}-{seed}/outcomes.parquet" if with_outcomes else None,
        outcomes=n if with_outcomes else 0,
        quarantine_path="",
        kept_at="",
        validation=Validation("parcels", period, n, 0, (), Decision.accept("not checked")),
    )


def table_at(stores: Stores, path: str | None) -> pa.Table:
    """The table in a file that a step has written."""
    assert path
    return read_parquet(sealing.read(stores, path), path)


def git(root: Path, *arguments: str) -> str:
    """What git prints in `root`."""
    return subprocess.run(["git", "-C", str(root), *arguments], check=True, capture_output=True, text=True).stdout.strip()


def repository(root: Path) -> Path:
    """A git repository with one commit, as a user has it: var and data ignored."""
    root.mkdir(parents=True, exist_ok=True)
    git(root, "init", "-q", "-b", "main")
    (root / ".gitignore").write_text("/var\n/data\n")
    (root / "notes.txt").write_text("first\n")
    git(root, "add", ".")
    git(root, "-c", "user.name=A User", "-c", "user.email=user@example.org", "commit", "-q", "-m", "first")
    return root
