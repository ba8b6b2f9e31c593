"""Learning calibration and threshold from held-out probabilities; what is learned is applied by `pillars.bundle.calibration`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from pillars.bundle.calibration import NONE, apply, logit
from pillars.config import Cost, Gate
from pillars.training.gate import paired_gain

KINDS = ("sigmoid", "isotonic")
WINS = 3  # periods in a row
GRID = np.round(np.arange(0.01, 1.0, 0.01), 2)  # thresholds that are tried: a coarse grid does not chase single rows
HALVINGS = 20
NEWTON_STEPS = 25  # each doubles the digits that are right: far more than float64 has


@dataclass(frozen=True)
class Outlook:
    """Held-out rows: outcomes y (0 or 1), uncalibrated probabilities p, blocks; each of shape (n,)."""

    y: np.ndarray
    p: np.ndarray
    blocks: np.ndarray
    weights: np.ndarray | None = None


def asked(kind: str, y: np.ndarray, p: np.ndarray, weights: np.ndarray | None = None) -> dict[str, Any]:
    """The calibration that the YAML names, from rows not fitted on; none where one class only is present.

    y: 0 or 1 with p (n,), or places of the classes with p (n, classes): then each class against the rest (see `bundle.calibration`).
    """
    present = np.unique(y)
    if len(present) < 2:
        return dict(NONE)
    if p.ndim == 1:
        return _unsure(learn(kind, y, p, weights), len(y))
    # of a class that did not come
    own: dict[str, Any] = {"a": 1.0, "b": 0.0} if kind == "sigmoid" else {"x": [0.0, 1.0], "y": [0.0, 1.0]}
    each = [_unsure(learn(kind, (y == k).astype(np.float64), p[:, k], weights), len(y)) if k in present else own for k in range(p.shape[1])]
    if kind == "sigmoid":
        return {"kind": "sigmoid_each", "a": [one["a"] for one in each], "b": [one["b"] for one in each]}
    joined = {name: [knot for one in each for knot in one[name]] for name in "xy"}
    return {"kind": "isotonic_each", "knots": [float(len(one["x"])) for one in each], **joined}


def _unsure(learned: dict[str, Any], rows: int) -> dict[str, Any]:
    """Knots held off 0 and 1 by what so many rows can tell (Laplace's rule): one surprise would cost more log loss than all else."""
    if learned["kind"] != "isotonic":
        return learned
    return {**learned, "y": np.clip(learned["y"], 1 / (rows + 2), 1 - 1 / (rows + 2)).tolist()}


def learn(kind: str, y: np.ndarray, p: np.ndarray, weights: np.ndarray | None = None) -> dict[str, Any]:
    """A calibration from outcomes y (0 or 1, both present), probabilities p, and how much rows count, each of shape (n,)."""
    if kind == "sigmoid":
        a, b = _platt(np.asarray(y, dtype=np.float64), logit(np.asarray(p, dtype=np.float64)), weights)
        return {"kind": "sigmoid", "a": a, "b": b}
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(y_min=0, y_max=1).fit(p, y, sample_weight=weights)
    return {"kind": "isotonic", "x": fitted.X_thresholds_.tolist(), "y": fitted.y_thresholds_.tolist()}


def chosen(gate: Gate, newest_first: Iterator[Outlook], seed: int) -> dict[str, Any]:
    """The calibration to release, none unless one wins as it will be used, in `WINS` periods one after the other.

    It will be learned on one period and laid over a later model in the next, so it is tried like that: learned on predictions of a period,
    laid over the later model's in the following one. There its gain must be above 0, in the newest period surely so. The winner is learned
    again on the newest period. One period is not enough: on flights a calibration that won in September, when hardly a flight was late,
    cost .03 log loss in October. Outlooks are taken, newest first, only as far as something still wins.
    """
    newest = later = next(newest_first, None)
    standing: dict[str, float] = dict.fromkeys(KINDS, 0.0)
    for place in range(WINS):
        earlier = next(newest_first, None)
        if later is None or earlier is None or not (_enough(gate, earlier) and _enough(gate, later)):
            return dict(NONE)
        for kind in tuple(standing):
            calibrated = apply(learn(kind, earlier.y, earlier.p, earlier.weights), later.p)
            gain = paired_gain(gate, later.y, later.p, calibrated, later.blocks, seed, later.weights)
            standing[kind] += gain.value
            if (gain.low if place == 0 else gain.value) <= 0:
                del standing[kind]
        if not standing:
            return dict(NONE)
        later = earlier
    best = max(standing, key=lambda kind: standing[kind])
    return learn(best, newest.y, newest.p, newest.weights) if newest else dict(NONE)


def _enough(gate: Gate, outlook: Outlook) -> bool:
    return len(outlook.y) >= gate.min_rows and len(np.unique(outlook.y)) == 2


def threshold(cost: Cost, min_rows: int, y: np.ndarray, p: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The probability in [0, 1] from which acting is cheapest on held-out rows; on few rows, or one class, what theory says.

    Theory, for calibrated probabilities: see `theoretical`. Costs of rows that are right count against those of rows that are wrong.
    """
    if len(y) < min_rows or len(np.unique(y)) < 2:
        return theoretical(cost)
    positive = np.asarray(y) > 0.5
    counted = np.ones(len(y)) if weights is None else weights
    acted_false = counted[~positive].sum() - _below(p[~positive], counted[~positive])
    missed = _below(p[positive], counted[positive])
    total = (cost.false_positive - cost.true_negative) * acted_false + (cost.false_negative - cost.true_positive) * missed
    cheapest = np.flatnonzero(total == total.min())
    return float(GRID[cheapest[np.abs(GRID[cheapest] - theoretical(cost)).argmin()]])


def theoretical(cost: Cost) -> float:
    """The cheapest threshold of calibrated probabilities; 0.5 when errors cost nothing.

    Act when p >= (fp - tn) / ((fp - tn) + (fn - tp)) (Elkan 2001, equation 2).
    """
    needless, missed = cost.false_positive - cost.true_negative, cost.false_negative - cost.true_positive
    return needless / (needless + missed) if needless + missed > 0 else 0.5


def _below(p: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weight of the rows whose p lies below each threshold of the grid, float64."""
    order = np.argsort(p, kind="stable")
    return np.concatenate([[0.0], np.cumsum(weights[order])])[np.searchsorted(p[order], GRID, side="left")]


def _bernoulli(y: np.ndarray, margin: np.ndarray, counted: np.ndarray | None) -> float:
    """Log loss of margins (n,), summed."""
    lost = np.logaddexp(0, margin) - y * margin
    return float(lost.sum() if counted is None else (counted * lost).sum())


def _platt(y: np.ndarray, x: np.ndarray, counted: np.ndarray | None = None) -> tuple[float, float]:
    """Slope and offset of the logistic regression of y on x (Platt 1999, plain outcomes) by Newton's method; the slope is above 0."""
    features = np.column_stack([x, np.ones_like(x)])
    weights = np.array([1.0, 0.0])
    for _ in range(NEWTON_STEPS):
        p = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        slope, bend = (y - p, p * (1 - p)) if counted is None else (counted * (y - p), counted * (p * (1 - p)))
        curvature = (features * bend[:, None]).T @ features + 1e-9 * np.eye(2)
        step, before = np.linalg.solve(curvature, features.T @ slope), _bernoulli(y, features @ weights, counted)
        for _ in range(HALVINGS):  # far from its end a whole step may lead away for good: scores that tell nothing gave a slope of 5e10
            if _bernoulli(y, features @ (weights + step), counted) <= before * (1 + 1e-9):
                break
            step = step / 2
        weights = weights + step
    return (float(weights[0]), float(weights[1])) if np.isfinite(weights).all() and weights[0] > 0 else (1.0, 0.0)
