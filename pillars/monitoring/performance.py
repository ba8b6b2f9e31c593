"""Realized quality: a period's predictions joined with what came true."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pillars.config import Project
from pillars.errors import SourceBroken
from pillars.targets import is_known, truth
from pillars.vocabulary import Measure, Scorecard

BLOCK_SECONDS = {"day": 86_400, "hour": 3_600}
Array = NDArray[Any]
Judge = Callable[..., Scorecard]  # of y, what was said, blocks; and weights, bounds where the predictions have them


def realized(project: Project, predictions: pa.Table, outcomes: pa.Table, scorecard: Judge) -> Scorecard | None:
    """Judge predictions by the outcomes known by now; None while nothing can be judged (no row known, or of two classes only one).

    `scorecard` gets y (as `truth` gives it), what was scored ((known rows,), of several classes (known rows, classes)) and blocks (the
    number of each row's day, hour or row: they are resampled together). Rows without an outcome are left out, and those whose answer was
    none; the measure `coverage` is the share that is left, in [0, 1].

    Raises:
        SourceBroken: an outcome came twice, or the predictions lack the time that names their block.
    """
    known = usable(project, joined(project, predictions, outcomes))
    y = truth(project, known[project.target]).astype(np.float64)
    if len(np.unique(y)) < (2 if project.task == "binary" else 1):
        return None
    coverage = known.num_rows / predictions.num_rows
    judged = scorecard(y, _said(project, known), _blocks(project, known), **_beside(project, known))
    return replace(judged, measures={**judged.measures, "coverage": Measure(coverage, coverage, coverage)})


def joined(project: Project, predictions: pa.Table, outcomes: pa.Table) -> pa.Table:
    """Predictions whose outcome is known, with the target beside them, sorted by key. A null target is not known.

    Raises:
        SourceBroken: an outcome came twice; the join would count its prediction twice.
    """
    key = list(project.key)
    target = outcomes.select([*key, project.target])
    if target.group_by(key).aggregate([]).num_rows < target.num_rows:
        raise SourceBroken(project.source.name, "of these outcomes", "two outcomes have the same key")
    target = pa.table({c: pc.cast(target[c], predictions.schema.field(c).type) if c in key else target[c] for c in target.column_names})
    known = predictions.join(target, keys=key, join_type="inner")
    known = known.filter(is_known(project, known[project.target]))
    return known.sort_by([(column, "ascending") for column in key])


def usable(project: Project, known: pa.Table) -> pa.Table:
    """The rows that were given an answer: a number, and a probability where one was asked for. A release that was taken back for its scores
    may have said anything, and no measure is of that."""
    said = _said(project, known)
    low, high = (-np.inf, np.inf) if project.task == "regression" else (0.0, 1.0)
    fine = np.all(np.isfinite(said) & (said >= low) & (said <= high), axis=tuple(range(1, said.ndim)))
    return known if fine.all() else known.filter(pa.array(fine))


def _said(project: Project, known: pa.Table) -> Array:
    """What was predicted: scores (rows,), of several classes probabilities (rows, classes)."""
    if project.task != "multiclass":
        return known["score"].to_numpy().astype(np.float64)
    return np.column_stack([known[f"p_{name}"].to_numpy() for name in project.classes])


def _beside(project: Project, known: pa.Table) -> dict[str, Array]:
    """weights: how much rows count, (rows,); bounds: low and high of numbers, (rows, 2); each only where the predictions have them."""
    found = {}
    if project.weight in known.column_names:
        found["weights"] = known[project.weight].to_numpy().astype(np.float64)
    if project.task == "regression" and {"low", "high"} <= set(known.column_names):
        found["bounds"] = np.column_stack([known[name].to_numpy().astype(np.float64) for name in ("low", "high")])
    return found


def _blocks(project: Project, known: pa.Table) -> Array:
    """Number of each row's block (rows,): its day or hour since 1970, or its place."""
    if project.split.block == "row":
        return np.arange(known.num_rows, dtype=np.int64)
    if project.time not in known.column_names:  # rows as blocks would pass, with intervals several times too narrow
        raise SourceBroken(
            project.source.name, "of these predictions", f"they came without {project.time}, which names their {project.split.block}"
        )
    seconds = pc.cast(pc.cast(known[project.time], pa.timestamp("s"), safe=False), pa.int64()).to_numpy()
    return np.asarray(seconds // BLOCK_SECONDS[project.split.block], dtype=np.int64)
