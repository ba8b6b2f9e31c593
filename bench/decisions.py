"""What decisions cost beside the best fixed threshold, which is known only afterwards.

    python -m bench.decisions [--of flights adult credit compas]        # after `make bench-peers`; some minutes

ours     calibration and threshold as a retraining learns them: on the newest part of the fitting rows, by a model that has not
         seen it; then laid over the model that was fitted on all of them
best     of all thresholds .01, .02, ... the one that would have cost least on the compared rows
half     acts from .5;  theory: acts from what costs say of calibrated probabilities (Elkan 2001)

A missed case costs 2, 5 and 10 times a needless act. Over: what ours costs more than the best, relative, with a 95 % interval from
a bootstrap over blocks in which the best threshold is chosen again in every resample.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.laid import arrays, project_of, rows_of
from bench.sets import SETS, TARGET, Set
from pillars.bundle import booster
from pillars.bundle.calibration import apply
from pillars.config import Cost, Gate, Project
from pillars.development import models
from pillars.training.calibrating import GRID, Outlook, chosen, theoretical, threshold
from pillars.training.fitting import Ground, fit
from pillars.training.metrics import costs, drawn, pooled
from pillars.training.rows import Rows, subset
from pillars.vocabulary import Recipe

RATIOS, RESAMPLES = (2.0, 5.0, 10.0), 2_000
AIM = 0.02


@dataclass(frozen=True)
class Decided:
    """Costs per compared row, in needless acts."""

    calibration: str
    threshold: float
    ours: float
    best: float
    at: float  # the best threshold
    half: float
    theory: float
    low: float  # of ours over best, less 1
    high: float


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line per data set and ratio of costs."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    binary = ["flights", "adult", "credit", "compas"]
    asked.add_argument("--of", nargs="*", default=binary, choices=[*binary, "german"], help="data sets")
    asked.add_argument("--threads", type=int, default=2)
    said = asked.parse_args(arguments)
    print(f"{'data':9}{'miss':>5}{'calibration':>13}{'from':>6}{'ours':>9}{'best':>9}{'from':>6}{'half':>9}{'theory':>9}{'over':>8}   95 %")
    within = []
    for name in said.of:
        data = SETS[name]()
        for ratio, one in zip(RATIOS, decided(data, said.threads), strict=True):
            over = one.ours / one.best - 1
            within.append(over <= AIM)
            print(
                f"{name:9}{ratio:>5g}{one.calibration:>13}{one.threshold:>6.2f}{one.ours:>9.4f}{one.best:>9.4f}{one.at:>6.2f}{one.half:>9.4f}"
                f"{one.theory:>9.4f}{over:>+8.2%}   [{one.low:+.2%}, {one.high:+.2%}]",
                flush=True,
            )
    print(f"{sum(within)} of {len(within)} within {AIM:.0%} of the best fixed threshold")


def decided(data: Set, threads: int) -> Iterator[Decided]:
    """One result per ratio of costs; the model and its calibration are made once."""
    features = data.train.drop_columns([TARGET])
    project, rows = project_of(features, "binary"), rows_of(features, data.train[TARGET].to_pylist(), data.fit_blocks)
    recipe, gate = models.prior_recipe(project), Gate()
    parts = [*range(int(data.parts.max()), 0, -1)]
    learned = {part: outlook(project, rows, data, recipe, part, threads) for part in parts[:1]}

    def outlooks() -> Iterator[Outlook]:
        for part in parts:
            if part not in learned:
                learned[part] = outlook(project, rows, data, recipe, part, threads)
            yield learned[part]

    calibration = chosen(gate, outlooks(), 0)
    newest = learned[parts[0]]
    p = apply(calibration, predicted(project, rows, arrays(data.test.drop_columns([TARGET])), recipe, threads))
    y = data.test.column(TARGET).to_numpy()
    group, groups = pooled(data.blocks, 0)
    draws = drawn(groups, 0, RESAMPLES)
    for ratio in RATIOS:
        cost = Cost(false_positive=1, false_negative=ratio)
        at = threshold(cost, gate.min_rows, newest.y, apply(calibration, newest.p))
        of = {one: costs(cost, y, p >= one) for one in (at, 0.5, theoretical(cost))}
        every = np.array([np.bincount(group, costs(cost, y, p >= one), groups) for one in GRID])
        best = int(every.sum(axis=1).argmin())
        resampled = draws @ np.bincount(group, of[at], groups) / (draws @ every.T).min(axis=1) - 1
        low, high = np.quantile(resampled, [0.025, 0.975])
        yield Decided(
            calibration=str(calibration["kind"]),
            threshold=at,
            ours=float(of[at].mean()),
            best=float(every[best].sum() / len(y)),
            at=float(GRID[best]),
            half=float(of[0.5].mean()),
            theory=float(of[theoretical(cost)].mean()),
            low=float(low),
            high=float(high),
        )


def outlook(project: Project, rows: Rows, data: Set, recipe: Recipe, part: int, threads: int) -> Outlook:
    """Predictions of a part's rows by a model that was fitted on the parts before it; rows without an order: on all others."""
    its = subset(rows, np.flatnonzero(data.parts == part))
    others = subset(rows, np.flatnonzero(data.parts < part if data.ordered else data.parts != part))
    return Outlook(its.y, predicted(project, others, its.columns, recipe, threads), its.blocks)


def predicted(project: Project, rows: Rows, columns: Mapping[str, np.ndarray], recipe: Recipe, threads: int) -> np.ndarray:
    """Uncalibrated probabilities, float64, (n,), of a model that was fitted on the rows."""
    ground = Ground(project, rows)
    return booster.scores(booster.load(fit(ground, recipe, threads), threads), ground.encoder.encode(columns))


if __name__ == "__main__":
    main(sys.argv[1:])
