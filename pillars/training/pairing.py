"""Two models on the same rows: how much lower the loss of one is, and how surely."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.training.gate import paired_gain
from pillars.training.rows import Rows
from pillars.vocabulary import Gain


@dataclass(frozen=True)
class Side:
    """What a model said of rows: their keys, n rows, and its scores, float64, shape (n,) or (n, classes)."""

    keys: pa.Table
    p: np.ndarray


def sides(predictions: pa.Table, key: Sequence[str]) -> dict[str, Side]:
    """The sides of a file of judged predictions, by name."""
    names = [name.removeprefix("score_") for name in predictions.column_names if name.startswith("score_")]
    keys = predictions.select(list(key))
    return {name: Side(keys, np.array(predictions.column(f"score_{name}").to_pylist(), dtype=np.float64)) for name in names}


def gain(project: Project, rows: Rows, against: str, one: Side, other: Side) -> Gain:
    """The gain of `one` over `other` on those of `rows` of which both said something, in units of the project's own gate."""
    mine, its = _places(rows.keys, one.keys), _places(rows.keys, other.keys)
    both = np.flatnonzero((mine >= 0) & (its >= 0))
    if not len(both):
        return Gain(against, project.gate.loss, 0, None, "they were judged on no row in common")
    weights = None if rows.weights is None else rows.weights[both]
    told = (rows.y[both], other.p[its[both]], one.p[mine[both]], rows.blocks[both])
    return Gain(against, project.gate.loss, len(both), paired_gain(project.gate, *told, project.search.seed, weights))


def _places(wanted: pa.Table, keys: pa.Table) -> np.ndarray:
    """Where each wanted key is among `keys`, int64, shape (wanted rows,); -1 where it is not."""
    if wanted.equals(keys):
        return np.arange(wanted.num_rows)
    left = wanted.append_column("__row", pa.array(np.arange(wanted.num_rows)))
    right = keys.append_column("__place", pa.array(np.arange(keys.num_rows)))
    joined = left.join(right, keys=wanted.column_names, join_type="inner")
    found = np.full(wanted.num_rows, -1, dtype=np.int64)
    found[joined.column("__row").to_numpy()] = joined.column("__place").to_numpy()
    return found
