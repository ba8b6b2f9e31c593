"""What one accepted batch looked like, in a few figures per column. Protected columns have none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data.suite import Kind

MOST_VALUES = 200  # different ones; more are no categories


@dataclass(frozen=True)
class Figures:
    """One column of one batch. Shares are of the batch's rows, `mean_error` is the mean's standard error."""

    null_share: float
    low: float | None = None  # numbers
    high: float | None = None
    mean: float | None = None
    mean_error: float = 0.0
    median: float | None = None
    shortest: int | None = None  # characters of text
    longest: int | None = None
    values: Mapping[str, int] | None = None  # categories with their rows; None where there are too many


@dataclass(frozen=True)
class Past:
    """One table of one accepted batch."""

    period: str
    rows: int
    columns: Mapping[str, Figures] = field(default_factory=dict)


def look(project: Project, kind: Kind, period: str, table: pa.Table) -> Past:
    """The figures of a batch's rows or outcomes."""
    names = project.row_columns if kind == "rows" else tuple(n for n in project.outcome_columns if n not in project.key)
    seen = [n for n in names if n in table.column_names and not project.columns[n].confidential]
    return Past(period, table.num_rows, {n: _figures(project.columns[n].type, table[n]) for n in seen} if table.num_rows else {})


def _figures(kind: str, column: pa.ChunkedArray) -> Figures:
    nulls = pc.sum(pc.is_null(column, nan_is_null=True)).as_py() / len(column)
    if nulls == 1 or kind in ("timestamp", "bool"):
        return Figures(nulls)
    if kind in ("category", "text"):
        lengths = pc.min_max(pc.utf8_length(column)).as_py()
        counted = Counter({v["values"]: v["counts"] for v in pc.value_counts(column.drop_null()).to_pylist()})
        few = kind == "category" and len(counted) <= MOST_VALUES
        return Figures(nulls, shortest=lengths["min"], longest=lengths["max"], values=dict(sorted(counted.items())) if few else None)
    values = column.drop_null().to_numpy().astype(float)
    values = values[np.isfinite(values)]
    if not values.size:
        return Figures(nulls)
    error = float(values.std() / np.sqrt(values.size))
    return Figures(nulls, float(values.min()), float(values.max()), float(values.mean()), error, float(np.median(values)))
