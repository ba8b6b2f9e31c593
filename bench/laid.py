"""A bench's rows as the pillars want them: a project for their columns, and what a reader would give."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.training.rows import Rows


def project_of(
    table: pa.Table,
    task: str,
    classes: Sequence[str] = (),
    block: str = "row",
    search: Mapping[str, Any] | None = None,
    margin: float = 0,
    folds: Mapping[str, Any] | None = None,
) -> Project:
    """A project with all columns of the table as features, strings as categories."""
    names = {name: "category" if pa.types.is_string(table[name].type) else "float" for name in table.column_names}
    target = {"binary": "bool", "multiclass": "category", "regression": "float"}[task]
    return Project.model_validate(
        {
            "project": "bench",
            "task": task,
            **({"classes": list(classes)} if classes else {}),
            "target": "outcome",
            "source": {"python": "projects.bench"},
            "columns": {
                "at": {"type": "timestamp", "role": ["key", "time"]},
                **{name: {"type": kind, "role": ["feature"]} for name, kind in names.items()},
                "outcome": {"type": target, "role": ["outcome"]},
            },
            "features": {
                "numeric": [name for name, kind in names.items() if kind == "float"],
                "categorical": [name for name, kind in names.items() if kind == "category"],
            },
            "split": {"block": block, **({"folds": dict(folds)} if folds else {})},
            "search": dict(search or {}),
            "gate": {"loss": "squared_error" if task == "regression" else "log_loss", "margin": margin},
        }
    )


def arrays(table: pa.Table) -> dict[str, np.ndarray]:
    """Columns as a design has them."""
    return {
        name: np.array(table[name].to_pylist(), dtype=object) if pa.types.is_string(table[name].type) else table[name].to_numpy()
        for name in table.column_names
    }


def rows_of(table: pa.Table, y: Sequence[Any], blocks: np.ndarray, classes: Sequence[str] = ()) -> Rows:
    """All rows of a table of features; y as a truth has it: 0 or 1, a number, or the place of the class."""
    places = {name: place for place, name in enumerate(classes)}
    truth = np.array([places[one] for one in y] if classes else y, dtype=np.float32)
    at = np.arange(table.num_rows)
    return Rows(pa.table({"at": at}), arrays(table), truth, blocks, json.dumps([table.num_rows, float(truth.sum())]))
