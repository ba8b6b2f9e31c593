"""A small project for the monitoring tests: trips with a fare, a carrier and a minute, late or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.vocabulary import Drift, Measure, Scorecard

COLUMNS = {
    "id": {"type": "int", "role": ["key"]},
    "at": {"type": "timestamp", "role": ["key", "time"]},
    "carrier": {"type": "category"},
    "fare": {"type": "float"},
    "minute": {"type": "int"},
    "humid": {"type": "float"},
    "late": {"type": "bool", "role": ["outcome"]},
}


def project(structural: tuple[str, ...] = ("carrier", "fare"), seasonal: tuple[str, ...] = ("humid",), **sections: Any) -> Project:
    """A project that watches these columns; `sections` go into its YAML, those of `monitoring` by their own names."""
    monitoring = {"drift": {"structural": structural, "seasonal": seasonal} | sections.pop("drift", {})}
    monitoring |= {"retraining": sections.pop("retraining")} if "retraining" in sections else {}
    return Project.model_validate(
        {
            "project": "trips",
            "target": "late",
            "source": {"python": "projects.trips"},
            "columns": COLUMNS | sections.pop("columns", {}),
            "features": {"numeric": ["fare", "minute"], "categorical": ["carrier"]},
            "monitoring": monitoring,
            **sections,
        }
    )


def trips(rows: int = 600, seed: int = 0, **changed: Any) -> pa.Table:
    """`rows` trips, 20 a day from 2013-01-01; `changed` replaces whole columns."""
    rng = np.random.default_rng(seed)
    columns: dict[str, Any] = {
        "id": np.arange(rows),
        "at": np.datetime64("2013-01-01", "s") + np.arange(rows) // 20 * np.timedelta64(86_400, "s"),
        "carrier": rng.choice(["AA", "B6", "UA"], rows, p=[0.5, 0.3, 0.2]),
        "fare": rng.normal(30, 5, rows),
        "minute": rng.integers(0, 60, rows),
        "humid": rng.uniform(20, 90, rows),
    }
    return pa.table(columns | changed)


def card(loss: float, low: float | None = None, model: str = "v1", rows_of: str = "2013-01") -> Scorecard:
    """A scorecard of 1,000 rows whose log loss interval starts at `low`."""
    low = loss - 0.01 if low is None else low
    figures = {"log_loss": Measure(loss, low, 2 * loss - low), "auc": Measure(0.7, 0.68, 0.72), "brier": Measure(0.16, 0.15, 0.17)}
    return Scorecard(model, rows_of, 1000, 230, figures | {"cost": Measure(0.4, 0.38, 0.42)})


def drift_of(share: float, columns: tuple[str, ...] = ("carrier",)) -> Drift:
    """A drift whose structural columns moved."""
    moved = columns if share else ()
    return Drift("2013-02", "2013-01", dict.fromkeys(moved, 0.3), moved, moved, share)
