"""Small projects and their rows, in three lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project

COLUMNS: dict[str, Any] = {
    "at": {"type": "timestamp", "role": ["key", "time"], "nullable": False},
    "line": {"type": "category", "role": ["key", "feature"], "nullable": False},
    "number": {"type": "int", "role": ["key"], "nullable": False},
    "load": {"type": "float", "role": ["feature"]},
    "wind": {"type": "float", "role": ["feature"]},
    "hour": {"type": "int", "role": ["feature"], "nullable": False},
    "stop": {"type": "category", "role": ["feature"]},
    "late": {"type": "bool", "role": ["outcome"]},
    "delay_min": {"type": "float", "role": ["known_later"]},
}
CLASSES = ["on time", "late", "very late"]


def binary_project(**sections: Any) -> Project:
    """A project that fits in milliseconds; each keyword changes keys of one section, e.g. `gate={"min_rows": 10}`."""
    content: dict[str, Any] = {
        "project": "trams",
        "target": "late",
        "source": {"python": "projects.trams"},
        "columns": COLUMNS,
        "features": {"numeric": ["load", "wind", "hour"], "categorical": ["line", "stop"], "min_category_rows": 5},
        "search": {"trials": 3, "batch": 2, "rows": 500, "max_rounds": 20, "early_stopping": 3, "max_bin": 32, "prior_rounds": 8},
        "gate": {"min_rows": 200, "resamples": 200},
        "cost": {"false_negative": 3.0},
    }
    for name, change in sections.items():
        merged = isinstance(change, dict) and name != "columns"
        content[name] = {**content.get(name, {}), **change} if merged else change
    return Project.model_validate(content)


def classes_project(**sections: Any) -> Project:
    """The same trams, asked for one of three classes."""
    columns = {name: c for name, c in COLUMNS.items() if name != "late"} | {"how_late": {"type": "category", "role": ["outcome"]}}
    several = {
        "task": "multiclass",
        "target": "how_late",
        "classes": CLASSES,
        "columns": columns,
        "gate": {"min_rows": 200, "resamples": 200},
    }
    return binary_project(**{**several, **sections})


def numbers_project(**sections: Any) -> Project:
    """The same trams, asked for minutes."""
    columns = {name: c for name, c in COLUMNS.items() if name != "late"} | {"minutes": {"type": "float", "role": ["outcome"]}}
    gate = {"loss": "squared_error", "margin": 0.01, "refresh_margin": 0.05}
    return binary_project(**{"task": "regression", "target": "minutes", "columns": columns, "gate": gate, **sections})


def rows_and_outcomes(periods: Sequence[str], rows: int = 600, seed: int = 0) -> tuple[pa.Table, pa.Table]:
    """`rows` rows per period ("2013-01"), spread over its days and sorted by key, and their outcomes.

    Lateness grows with load, wind and the line; its base rate drifts from period to period; 2 % of the rows have no outcome, 5 % no wind.
    """
    parts = [_period(period, rows, seed) for period in periods]
    return pa.concat_tables([one for one, _ in parts]), pa.concat_tables([other for _, other in parts])


def reading(rows: pa.Table, outcomes: pa.Table) -> Callable[[str, Sequence[str]], pa.Table]:
    """What `versions.read`, bound to a version, would be over these tables."""

    def read(kind: str, periods: Sequence[str]) -> pa.Table:
        table = rows if kind == "rows" else outcomes
        return table.filter(pc.is_in(pc.strftime(table.column("at"), "%Y-%m"), pa.array(list(periods))))

    return read


def _period(period: str, rows: int, seed: int) -> tuple[pa.Table, pa.Table]:
    start = np.datetime64(f"{period}-01", "s")
    random = np.random.default_rng([seed, datetime.fromisoformat(f"{period}-01").toordinal()])
    seconds = np.sort(random.integers(0, 28 * 86_400, rows))
    hour = seconds % 86_400 // 3600
    load, wind = random.gamma(2.0, 1.0, rows), random.normal(size=rows)
    line, stop = random.integers(0, 4, rows), random.integers(0, 12, rows)
    weather = random.normal(scale=0.4, size=28)[seconds // 86_400]  # rows of one day share it
    logit = -3.0 + 0.6 * load + 0.5 * wind + 0.4 * (line == 2) + weather + 0.3 * random.normal()
    late = random.random(rows) < 1 / (1 + np.exp(-logit))
    unknown = random.random(rows) < 0.02
    key = {
        "at": pa.array(start + seconds.astype("timedelta64[s]")),
        "line": pa.array(np.array(["A", "B", "C", "D"])[line]),
        "number": pa.array(np.arange(rows, dtype=np.int64)),
    }
    features = {
        "load": pa.array(load),
        "wind": pa.array(wind, mask=random.random(rows) < 0.05),
        "hour": pa.array(hour),
        "stop": pa.array([f"stop {place}" for place in stop.tolist()]),
    }
    minutes = 4.0 + 2.0 * logit + np.random.default_rng([seed, 7]).normal(scale=1.5, size=rows)
    outcomes = {
        "late": pa.array(late, mask=unknown),
        "delay_min": pa.array(np.where(late, 20.0, 2.0), mask=unknown),
        "how_late": pa.array(np.array(CLASSES)[np.searchsorted([1.0, 4.0], minutes)], mask=unknown),
        "minutes": pa.array(minutes, mask=unknown),
    }
    return pa.table({**key, **features}), pa.table({**key, **outcomes})
