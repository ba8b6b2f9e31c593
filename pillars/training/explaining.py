"""What the released boosters lean on: contributions to the margin, losses after shuffling, and scores along a column."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.training.metrics import losses
from pillars.training.rows import Rows, subset
from pillars.vocabulary import Reliance

ROWS = 2_000  # of the newest period, spread evenly; mean |SHAP| and shuffled losses are the whole month's to 2 digits
KEPT = 15  # columns on record
DRAWN, POINTS, ALONG = 4, 20, 300  # columns, points and rows of the partial dependence


@dataclass(frozen=True)
class Explained:
    """reliance: all columns, largest contribution first. along: column to its points and the mean score there, each (points,)."""

    reliance: tuple[Reliance, ...]
    along: dict[str, tuple[np.ndarray, np.ndarray]]


def explain(project: Project, bundle: Bundle, newest: Rows) -> Explained:
    """Explain on rows of the newest period. The boosters were fitted on them: this is what they lean on, not how well they do."""
    sample = subset(newest, np.unique(np.linspace(0, len(newest.y) - 1, min(ROWS, len(newest.y))).astype(np.int64)))
    shares = bundle.contributions(sample.columns)[..., :-1]
    mean = np.abs(shares).mean(axis=tuple(range(shares.ndim - 1)))
    names, random = bundle.encoder.feature_names, np.random.default_rng([project.search.seed, 3])
    base = losses(project.gate.loss, sample.y, bundle.scores(sample.columns)).mean()
    shuffled = random.permutation(len(sample.y))
    reliance = []
    for name, contribution in zip(names, mean.tolist(), strict=True):
        lost = 0.0
        if contribution > 0:  # a column that no booster splits by changes nothing
            scores = bundle.scores({**sample.columns, name: sample.columns[name][shuffled]})
            lost = float(losses(project.gate.loss, sample.y, scores).mean() - base)
        reliance.append(Reliance(name, contribution, lost))
    reliance.sort(key=lambda one: (-one.contribution, one.column))
    shown = [one.column for one in reliance if one.column in bundle.encoder.numeric and one.column not in project.confidential]
    few = subset(sample, np.arange(0, len(sample.y), max(1, len(sample.y) // ALONG))) if bundle.task != "multiclass" else None
    return Explained(tuple(reliance), {name: _along(bundle, few, name) for name in shown[:DRAWN]} if few else {})


def _along(bundle: Bundle, rows: Rows, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Mean score of the rows with the column set to each of its quantiles from 2 to 98 %."""
    known = rows.columns[name][np.isfinite(rows.columns[name])]
    points = np.unique(np.quantile(known, np.linspace(0.02, 0.98, POINTS))) if len(known) else np.zeros(0)
    means = [bundle.scores({**rows.columns, name: np.full(len(rows.y), point)}).mean() for point in points]
    return points, np.array(means)
