"""What the released boosters lean on: contributions to the margin, losses after shuffling, and scores along a column."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.training.metrics import average, losses
from pillars.training.rows import Rows, subset
from pillars.vocabulary import Reliance

ROWS = 2_000  # of the newest period, spread evenly
SHAP_ROWS = 200  # of those: SHAP costs 1 to 2 ms a row with 60 columns; mean |SHAP| is within 6 % of that of 2,000 rows, in the same order
KEPT = 15  # columns on record; only these are shuffled
DRAWN, POINTS, ALONG = 4, 20, 300  # columns, points and rows of the partial dependence


@dataclass(frozen=True)
class Explained:
    """reliance: the columns that count most, largest first. along: column to its points and the mean score there, (points,)."""

    reliance: tuple[Reliance, ...]
    along: dict[str, tuple[np.ndarray, np.ndarray]]


def explain(project: Project, bundle: Bundle, newest: Rows) -> Explained:
    """Explain on rows of the newest period. The boosters were fitted on them: this is what they lean on, not how well they do."""
    sample = _spread(newest, ROWS)
    shares = bundle.contributions(_spread(sample, SHAP_ROWS).columns)[..., :-1]
    mean = np.abs(shares).mean(axis=tuple(range(shares.ndim - 1)))
    by_size = sorted(zip(bundle.encoder.feature_names, mean.tolist(), strict=True), key=lambda pair: (-pair[1], pair[0]))[:KEPT]
    shuffled = np.random.default_rng([project.search.seed, 3]).permutation(len(sample.y))
    base = _loss(project, bundle, sample, sample.columns)
    reliance = []
    for name, contribution in by_size:
        lost = _loss(project, bundle, sample, {**sample.columns, name: sample.columns[name][shuffled]}) - base if contribution else 0.0
        reliance.append(Reliance(name, contribution, lost))
    shown = [one.column for one in reliance if one.column in bundle.encoder.numeric and one.column not in project.confidential]
    few = _spread(sample, ALONG) if bundle.task != "multiclass" else None
    return Explained(tuple(reliance), {name: _along(bundle, few, name) for name in shown[:DRAWN]} if few else {})


def _spread(rows: Rows, most: int) -> Rows:
    return subset(rows, np.unique(np.linspace(0, len(rows.y) - 1, min(most, len(rows.y))).astype(np.int64)))


def _loss(project: Project, bundle: Bundle, rows: Rows, columns: Mapping[str, np.ndarray]) -> float:
    return average(losses(project.gate.loss, rows.y, bundle.scores(columns)), rows.weights)


def _along(bundle: Bundle, rows: Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean score of the rows with the column set to each of its quantiles from 2 to 98 %."""
    known = rows.columns[name][np.isfinite(rows.columns[name])]
    points = np.unique(np.quantile(known, np.linspace(0.02, 0.98, POINTS))) if len(known) else np.zeros(0)
    if not len(points):
        return points, points
    each = {other: np.tile(column, len(points)) for other, column in rows.columns.items()}
    scores = bundle.scores({**each, name: np.repeat(points, len(rows.y))})
    return points, scores.reshape(len(points), -1).mean(axis=1)
