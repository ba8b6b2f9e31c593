"""Good batches of the depot, the project the corpus spoils: 240 parcels a month with their outcomes beside them, and what they must be.

The checks are meant to leave nothing bad uncaught: each number has limits and a middle, no two columns look alike, labels follow from what
is known later.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pillars.config import Project

ROWS = 240
BUDGET = 0.10  # of them may be set aside
HISTORY, PERIOD = ("2013-01", "2013-02"), "2013-03"
TYPES = {
    "at": pa.timestamp("ms"),
    "parcel": pa.int64(),
    "sender": pa.string(),
    "carrier": pa.string(),
    "weight_kg": pa.float64(),
    "volume_l": pa.float64(),
    "temp_c": pa.float64(),
    "stops": pa.int64(),
    "express": pa.bool_(),
    "due": pa.timestamp("ms"),
    "note": pa.string(),
    "late": pa.bool_(),
    "delay_min": pa.float64(),
}
COLUMNS: dict[str, Any] = {
    "at": {"type": "timestamp", "role": ["key", "time"], "nullable": False},
    "parcel": {"type": "int", "role": ["key"], "nullable": False},
    "sender": {"type": "category", "role": ["feature"], "nullable": False},
    "carrier": {"type": "category", "role": ["feature"], "nullable": False},
    "weight_kg": {"type": "float", "role": ["feature"]},
    "volume_l": {"type": "float", "role": ["feature"], "nullable": False},
    "temp_c": {"type": "float", "role": ["feature"]},
    "stops": {"type": "int", "role": ["feature"]},
    "express": {"type": "bool"},
    "due": {"type": "timestamp"},
    "note": {"type": "text"},
    "late": {"type": "bool", "role": ["outcome"]},
    "delay_min": {"type": "float", "role": ["known_later"]},
}


def _limits(column: str, least: float, most: float, **more: Any) -> dict[str, Any]:
    kwargs = {"column": column, "min_value": least, "max_value": most}
    return {"type": "expect_column_values_to_be_between", "kwargs": kwargs, "quarantine": True, **more}


def _middle(column: str, least: float, most: float) -> dict[str, Any]:
    return {"type": "expect_column_median_to_be_between", "kwargs": {"column": column, "min_value": least, "max_value": most}}


def _when(label: str, **limits: float) -> dict[str, Any]:
    said = {"column": "delay_min", "row_condition": f"late == {label}", "condition_parser": "pandas", **limits}
    return {"type": "expect_column_values_to_be_between", "kwargs": said, "quarantine": True, "table": "outcomes"}


SUITE: list[dict[str, Any]] = [
    _limits("parcel", 100_000, 999_999),
    {"type": "expect_column_values_to_match_regex", "kwargs": {"column": "sender", "regex": r"^S\d\d$"}, "quarantine": True},
    {"type": "expect_column_values_to_be_in_set", "kwargs": {"column": "carrier", "value_set": ["A", "B", "C"]}, "quarantine": True},
    _limits("weight_kg", 0.1, 25),
    _middle("weight_kg", 10, 14),
    _limits("volume_l", 26, 600),
    _middle("volume_l", 130, 180),
    _limits("temp_c", -40, -5),
    _middle("temp_c", -21, -14),
    _limits("stops", 0, 9),
    {
        "type": "expect_column_pair_values_a_to_be_greater_than_b",
        "kwargs": {"column_A": "due", "column_B": "at", "ignore_row_if": "either_value_is_missing"},
        "quarantine": True,
    },
    {
        "type": "expect_column_values_to_not_be_null",
        "kwargs": {"column": "temp_c", "mostly": 0.8},
        "severity": "warning",
    },
    _limits("delay_min", -120, 1440, table="outcomes"),
    _when("True", min_value=15, strict_min=True),
    _when("False", max_value=15),
    {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "late", "min_value": 0.1, "max_value": 0.4}, "table": "outcomes"},
]


def parcels(period: str, rows: int = ROWS) -> pa.Table:
    """A month's rows with their outcomes, sorted by key: a quarter is late, which means more than 15 minutes."""
    draw = np.random.default_rng([*map(int, period.split("-"))])
    at = np.datetime64(f"{period}-01", "s") + np.sort(draw.choice(28 * 86_400, rows, replace=False))
    late = np.arange(rows) % 4 == 1
    delay = np.where(late, draw.uniform(16, 120, rows), draw.uniform(-30, 14, rows))
    columns = {
        "at": at,
        "parcel": 100_000 + draw.choice(900_000, rows, replace=False),
        "sender": [f"S{i:02}" for i in draw.integers(0, 30, rows)],
        "carrier": draw.choice(["A", "B", "C"], rows),
        "weight_kg": draw.uniform(2, 22, rows).round(2),
        "volume_l": draw.uniform(30, 280, rows).round(1),
        "temp_c": draw.uniform(-25, -10, rows).round(1),
        "stops": draw.integers(0, 6, rows),
        "express": draw.random(rows) < 0.5,
        "due": at + draw.integers(3600, 86_400, rows),
        "note": [f"shelf {i % 17}" for i in range(rows)],
        "late": late,
        "delay_min": delay.round(1),
    }
    return pa.table({name: pa.array(values, TYPES[name]) for name, values in columns.items()})


def project(source: dict[str, Any], declared: dict[str, Any]) -> Project:
    """The depot with a source; `declared` are keys that a case has otherwise, merged into the sections."""
    given = {
        "project": "depot",
        "target": "late",
        "source": source,
        "columns": COLUMNS,
        "features": {"numeric": ["weight_kg", "volume_l", "temp_c", "stops"], "categorical": ["sender", "carrier"]},
        "expectations": {"suite": SUITE, "min_rows": 100, "max_rows": 1000, "quarantine_budget": BUDGET},
    }
    return Project.model_validate(merged(given, declared))


def merged(given: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """`given` with the keys of `other` put in, level by level."""
    found = dict(given)
    for key, value in other.items():
        found[key] = merged(found.get(key, {}), value) if isinstance(value, dict) else value
    return found
