"""What came true, as numbers to learn from and to judge by, and the measures people see: one of two, one of several, or a number."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project, Task


@dataclass(frozen=True)
class Figure:
    """A measure as tables and pages show it; `name` is the scorecard's."""

    name: str
    title: str
    note: str


FIGURES: dict[Task, tuple[Figure, ...]] = {
    "binary": (
        Figure("auc", "AUC", "share of pairs ranked right; higher is better"),
        Figure("log_loss", "log loss", "per row, in nats; lower is better"),
        Figure("brier", "Brier", "squared error of the probability; lower is better"),
        Figure("cost", "cost", "per row; lower is better"),
    ),
    "multiclass": (
        Figure("accuracy", "accuracy", "share of rows whose most probable class came true; higher is better"),
        Figure("log_loss", "log loss", "per row, in nats; lower is better"),
        Figure("brier", "Brier", "squared error of the probabilities, summed over the classes; lower is better"),
    ),
    "regression": (
        Figure("r2", "R²", "share of the variance that is explained; higher is better"),
        Figure("rmse", "RMSE", "root of the mean squared error, in units of the target; lower is better"),
        Figure("absolute_error", "mean absolute error", "in units of the target; lower is better"),
    ),
}


def spread(project: Project, y: np.ndarray) -> np.ndarray:
    """An order of rows without time, int64 (n,): each row's rank, such that every stretch of ranks has the classes' shares of all rows.

    `y` is (n,), as `truth` gives it; of numbers, its tenths are held alike. Ranks within a class are by chance, and always the same.
    """
    strata = np.asarray(y, dtype=np.int64)
    if project.task == "regression":
        strata = np.searchsorted(np.quantile(y, np.linspace(0.1, 0.9, 9)), y) if len(y) else strata
    drawn = np.random.default_rng(0).permutation(len(y))
    place = np.empty(len(y))
    for one in np.unique(strata):
        members = np.flatnonzero(strata == one)
        place[members[np.argsort(drawn[members])]] = (np.arange(len(members)) + 0.5) / len(members)
    ranks = np.empty(len(y), dtype=np.int64)
    ranks[np.lexsort((drawn, place))] = np.arange(len(y))
    return ranks


def decimal(value: float) -> str:
    """A measure in short: four decimals, fewer where it is large."""
    decimals = 4 if abs(value) < 100 else 2 if abs(value) < 100_000 else 0
    return f"{value:,.{decimals}f}"


def is_known(project: Project, target: pa.ChunkedArray) -> pa.ChunkedArray:
    """Whether each outcome can be learned from and judged by, bool: it is not null, and of a declared class or finite."""
    match project.task:
        case "multiclass":
            return pc.is_in(target, pa.array(project.classes, pa.string()))
        case "regression":
            return pc.fill_null(pc.is_finite(target), False)
        case _:
            return pc.is_valid(target)


def truth(project: Project, target: pa.ChunkedArray) -> np.ndarray:
    """Known outcomes as y, shape (n,): float32 0 or 1 (binary), float32 places among `classes` (multiclass), float64 (regression)."""
    match project.task:
        case "multiclass":
            return np.asarray(pc.index_in(target, pa.array(project.classes, pa.string())).to_numpy(), dtype=np.float32)
        case "regression":
            return np.asarray(target.cast(pa.float64()).to_numpy())
        case _:
            return np.asarray(target.cast(pa.float32()).to_numpy())
