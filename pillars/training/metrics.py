"""Measures of what models say, each with an interval from a bootstrap over blocks: rows of one day share their luck."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pillars.bundle.answers import cheapest
from pillars.config import Cost, Project
from pillars.vocabulary import Measure, Scorecard

LEVEL = 0.95
Z = 1.959964  # of the normal distribution at that level
AUC_BINS = 1024  # of the resampled AUC: its interval is the exact one's to 3 digits, 40 times faster
ECE_BINS = 10  # of equal width, see `_ece`
MOST_GROUPS = 512  # more blocks than this are pooled at random into so many groups: same variance, far fewer draws
EPSILON = 1e-15  # probabilities are held this far from 0 and 1 in logarithms, as scikit-learn does


def losses(loss: str, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Loss of each row, float64, shape (n,).

    Of probabilities: `log_loss` in nats, or `brier` (Brier 1950), in [0, 1] for one of two, in [0, 2] for one of several. y is 0 or 1 and p
    (n,) in [0, 1]; or y is the place of the class and p (n, classes). Of numbers, y and p (n,): `squared_error`, `absolute_error`.
    """
    p = np.asarray(p, dtype=np.float64)
    match loss:
        case "squared_error":
            return np.square(p - y)
        case "absolute_error":
            return np.abs(p - y)
    if p.ndim == 2:
        of_class = p[np.arange(len(y)), np.asarray(y, dtype=np.int64)]
        return 1 - 2 * of_class + np.square(p).sum(axis=1) if loss == "brier" else -np.log(np.clip(of_class, EPSILON, 1))
    if loss == "brier":
        return np.square(p - y)
    held = np.clip(p, EPSILON, 1 - EPSILON)
    return np.where(np.asarray(y) > 0.5, -np.log(held), -np.log1p(-held))


def costs(cost: Cost, y: np.ndarray, acted: np.ndarray) -> np.ndarray:
    """Business cost of each row, float64, shape (n,), in `cost.unit`. `acted`: bool, whether the row was acted on."""
    positive = np.asarray(y) > 0.5
    return np.where(
        positive, np.where(acted, cost.true_positive, cost.false_negative), np.where(acted, cost.false_positive, cost.true_negative)
    )


def auc(y: np.ndarray, p: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Area under the ROC curve: share of (positive, negative) pairs in which the positive scores higher, ties half. NaN with one class."""
    _, place = np.unique(p, return_inverse=True)
    positive = np.asarray(y) > 0.5
    positives = np.bincount(place, weights=positive if weights is None else positive * weights)
    return float(_auc(positives, np.bincount(place, weights=weights) - positives))


def card(
    project: Project,
    model: str,
    rows_of: str,
    y: np.ndarray,
    p: np.ndarray,
    blocks: np.ndarray,
    threshold: float,
    weights: np.ndarray | None = None,
    bounds: np.ndarray | None = None,
) -> Scorecard:
    """The scorecard of the project's kind of target. `bounds`: low and high of each row's interval, shape (n, 2), where there are any."""
    seed, resamples = project.search.seed, project.gate.resamples
    match project.task:
        case "multiclass":
            table = np.array(project.cost.table(project.classes)) if project.cost.matrix else None
            return scorecard_of_classes(model, rows_of, y, p, blocks, seed, resamples, weights, table)
        case "regression":
            return scorecard_of_numbers(model, rows_of, y, p, blocks, seed, resamples, weights, bounds)
        case _:
            return scorecard(model, rows_of, y, p, blocks, threshold, project.cost, seed, resamples, weights)


def scorecard(
    model: str,
    rows_of: str,
    y: np.ndarray,
    p: np.ndarray,
    blocks: np.ndarray,
    threshold: float,
    cost: Cost,
    seed: int,
    resamples: int,
    weights: np.ndarray | None = None,
) -> Scorecard:
    """All measures of one model on rows it has not seen: log_loss, brier, auc, cost per row at the threshold, ece.

    y: 0 or 1, p: probabilities in [0, 1], blocks: int, weights: how much a row counts (None: all alike), each of shape (n,). The draws
    depend on the blocks and the seed only, so models
    judged on the same rows are resampled alike. Without rows there is no measure, with one class no auc.
    """
    y, p = np.asarray(y, dtype=np.float64), np.asarray(p, dtype=np.float64)
    positives = int((y > 0.5).sum())
    if len(y) == 0:
        return Scorecard(model, rows_of, 0, 0, {})
    group, groups = pooled(blocks, seed)
    draws = drawn(groups, seed, resamples)
    least = min(0.0, cost.true_positive, cost.true_negative)
    per_row = {"log_loss": losses("log_loss", y, p), "brier": losses("brier", y, p), "cost": costs(cost, y, p >= threshold)}
    measures = {
        name: _mean(values, group, draws, least=least if name == "cost" else 0, weights=weights) for name, values in per_row.items()
    }
    measures["ece"] = _ece(y, p, group, draws, weights)
    if 0 < positives < len(y):
        measures["auc"] = _resampled_auc(y, p, group, draws, weights)
    return Scorecard(model, rows_of, len(y), positives, measures)


def scorecard_of_classes(
    model: str,
    rows_of: str,
    y: np.ndarray,
    p: np.ndarray,
    blocks: np.ndarray,
    seed: int,
    resamples: int,
    weights: np.ndarray | None = None,
    table: np.ndarray | None = None,
) -> Scorecard:
    """All measures of one model of several classes: log_loss, brier, accuracy, ece of the most probable class.

    y: places of the classes (n,), p: probabilities (n, classes), blocks: int (n,); see `scorecard`. `table`: costs of what came true
    and what was said, (classes, classes): then the cost per row, too, of saying what is expected to cost least.
    """
    if len(y) == 0:
        return Scorecard(model, rows_of, 0, 0, {})
    group, groups = pooled(blocks, seed)
    draws = drawn(groups, seed, resamples)
    right = (p.argmax(axis=1) == np.asarray(y, dtype=np.int64)).astype(np.float64)
    measures = {name: _mean(losses(name, y, p), group, draws, least=0, weights=weights) for name in ("log_loss", "brier")}
    measures["accuracy"] = _mean(right, group, draws, least=0, most=1, weights=weights)
    measures["ece"] = _ece(right, p.max(axis=1), group, draws, weights)
    if table is not None:
        paid = table[np.asarray(y, dtype=np.int64), cheapest(table, p)]
        measures["cost"] = _mean(paid, group, draws, least=float(table.min()), weights=weights)
    return Scorecard(model, rows_of, len(y), 0, measures)


def scorecard_of_numbers(
    model: str,
    rows_of: str,
    y: np.ndarray,
    p: np.ndarray,
    blocks: np.ndarray,
    seed: int,
    resamples: int,
    weights: np.ndarray | None = None,
    bounds: np.ndarray | None = None,
) -> Scorecard:
    """All measures of one model of a number: squared_error and absolute_error (means), rmse, and r2 (against the mean of these rows).

    y and p: numbers, blocks: int, each (n,); see `scorecard`. r2 is left out where all outcomes are alike. `bounds`: low and high (n, 2):
    then interval_coverage, the share of rows between them, and interval_width, their mean distance.
    """
    if len(y) == 0:
        return Scorecard(model, rows_of, 0, 0, {})
    group, groups = pooled(blocks, seed)
    draws = drawn(groups, seed, resamples)
    y = np.asarray(y, dtype=np.float64)
    squared = losses("squared_error", y, p)
    measures = {name: _mean(losses(name, y, p), group, draws, least=0, weights=weights) for name in ("squared_error", "absolute_error")}
    away = y - average(y, weights)
    error, variance = average(squared, weights), average(np.square(away), weights)
    counted = (None if w is None else w if weights is None else w * weights for w in (squared, away, np.square(away)))
    rows, errors, sums, squares = (np.bincount(group, weights=w) for w in (weights, *counted))
    drawn_rows = draws @ rows
    measures["rmse"] = _measure(float(np.sqrt(error)), np.sqrt((draws @ errors) / drawn_rows), groups, least=0)
    if variance > 0:
        spread = (draws @ squares) / drawn_rows - np.square((draws @ sums) / drawn_rows)  # of each resample, around its own mean
        with np.errstate(divide="ignore", invalid="ignore"):
            resampled = np.where(spread > 0, 1 - (draws @ errors) / drawn_rows / spread, np.nan)
        measures["r2"] = _measure(float(1 - error / variance), resampled, groups, most=1)
    if bounds is not None:
        inside = ((bounds[:, 0] <= y) & (y <= bounds[:, 1])).astype(np.float64)
        measures["interval_coverage"] = _mean(inside, group, draws, least=0, most=1, weights=weights)
        measures["interval_width"] = _mean(bounds[:, 1] - bounds[:, 0], group, draws, least=0, weights=weights)
    return Scorecard(model, rows_of, len(y), 0, measures)


def average(values: np.ndarray, weights: np.ndarray | None) -> float:
    """Mean of per-row values, shape (n,), each counted by its weight; without weights all alike."""
    return float(values.mean() if weights is None else (values * weights).sum() / weights.sum())


def middle(values: np.ndarray, weights: np.ndarray | None) -> float:
    """Median of per-row values, shape (n,): with weights the smallest value that half of the weight lies at or below."""
    if weights is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    counted = np.cumsum(weights[order])
    return float(values[order[np.searchsorted(counted, counted[-1] / 2)]])


def mean(values: np.ndarray, blocks: np.ndarray, seed: int, resamples: int, weights: np.ndarray | None = None) -> Measure:
    """Mean of per-row values, shape (n,), with its interval over blocks, n > 0.

    With weights the resampled mean is a ratio of sums over the drawn blocks (Cochran 1977, ch. 6): blocks that weigh more count more.
    """
    return Resampled.of(blocks, seed, resamples).mean(values, weights)


@dataclass(frozen=True)
class Resampled:
    """Rows drawn anew by blocks, once for all that is measured on them: group of each row (n,), draws (resamples, groups)."""

    group: np.ndarray
    draws: np.ndarray

    @classmethod
    def of(cls, blocks: np.ndarray, seed: int, resamples: int) -> Resampled:
        """Of rows with these blocks, n > 0."""
        group, groups = pooled(blocks, seed)
        return cls(group, drawn(groups, seed, resamples))

    def mean(self, values: np.ndarray, weights: np.ndarray | None = None) -> Measure:
        """As `metrics.mean`."""
        return _mean(np.asarray(values, dtype=np.float64), self.group, self.draws, weights=weights)


def pooled(blocks: np.ndarray, seed: int) -> tuple[np.ndarray, int]:
    """The group of each row, int64, shape (n,), counted from 0, and the number of groups: the blocks, at most `MOST_GROUPS`."""
    distinct, group = np.unique(blocks, return_inverse=True)
    if len(distinct) <= MOST_GROUPS:
        return group, len(distinct)
    shuffled = np.random.default_rng([seed, 1]).permutation(len(distinct)) % MOST_GROUPS
    return shuffled[group], MOST_GROUPS


def drawn(groups: int, seed: int, resamples: int) -> np.ndarray:
    """How often each resample holds each group, float64, shape (resamples, groups); rows sum to `groups` (Efron 1979, over groups)."""
    return np.random.default_rng([seed, 2]).multinomial(groups, np.full(groups, 1 / groups), size=resamples).astype(np.float64)


def _mean(
    values: np.ndarray,
    group: np.ndarray,
    draws: np.ndarray,
    least: float = -np.inf,
    most: float = np.inf,
    weights: np.ndarray | None = None,
) -> Measure:
    rows = np.bincount(group, weights=weights)
    sums = np.bincount(group, weights=values if weights is None else values * weights)
    return _measure(average(values, weights), (draws @ sums) / (draws @ rows), draws.shape[1], least, most)


def _ece(y: np.ndarray, p: np.ndarray, group: np.ndarray, draws: np.ndarray, weights: np.ndarray | None = None) -> Measure:
    """Expected calibration error in [0, 1]: mean distance of outcome rate and probability over `ECE_BINS` equal widths (Naeini 2015)."""
    place = group * ECE_BINS + np.minimum((p * ECE_BINS).astype(np.int64), ECE_BINS - 1)
    shape = (draws.shape[1], ECE_BINS)
    gaps = np.bincount(place, weights=y - p if weights is None else (y - p) * weights, minlength=shape[0] * shape[1]).reshape(shape)
    rows = np.bincount(group, weights=weights)
    return _measure(float(np.abs(gaps.sum(axis=0)).sum() / rows.sum()), np.abs(draws @ gaps).sum(axis=1) / (draws @ rows), shape[0], 0, 1)


def _resampled_auc(y: np.ndarray, p: np.ndarray, group: np.ndarray, draws: np.ndarray, weights: np.ndarray | None = None) -> Measure:
    edges = np.unique(np.quantile(p, np.linspace(0, 1, AUC_BINS + 1)[1:-1]))
    place = group * AUC_BINS + np.searchsorted(edges, p, side="right")
    shape = (draws.shape[1], AUC_BINS)
    w = 1.0 if weights is None else weights
    positives = np.bincount(place, weights=y * w, minlength=shape[0] * shape[1]).reshape(shape)
    negatives = np.bincount(place, weights=(1 - y) * w, minlength=shape[0] * shape[1]).reshape(shape)
    exact, binned = auc(y, p, weights), _auc(positives.sum(axis=0), negatives.sum(axis=0))
    resampled = [_auc(part @ positives, part @ negatives) for part in np.array_split(draws, max(1, len(draws) // 100))]
    return _measure(exact, np.concatenate(resampled) + exact - binned, shape[0], 0, 1)


def _auc(positives: np.ndarray, negatives: np.ndarray) -> np.ndarray:
    """From counts per score, ascending along the last axis: mean share of negatives below each positive."""
    below = np.cumsum(negatives, axis=-1) - negatives / 2
    pairs = positives.sum(axis=-1) * negatives.sum(axis=-1)
    return np.divide((positives * below).sum(axis=-1), pairs, out=np.full(np.shape(pairs), np.nan), where=pairs > 0)


def _measure(value: float, resampled: np.ndarray, groups: int, least: float = -np.inf, most: float = np.inf) -> Measure:
    """The value with its percentile interval, widened for few groups and held in [least, most]."""
    low, high = np.nanquantile(resampled, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    wide = _widening(groups)
    low, high = value - wide * max(0.0, value - float(low)), value + wide * max(0.0, float(high) - value)
    return Measure(value, max(low, least), min(high, most), LEVEL)


def _widening(groups: int) -> float:
    """How much too narrow a percentile interval over few groups is: t quantile over z, times sqrt(n / (n - 1)) (Hesterberg 2015, 5.3).

    1.44 for 6 days, 1.06 for a month. The t quantile is expanded as in Abramowitz and Stegun 26.7.5, good to 3 digits from 5 groups on.
    """
    if groups < 2:
        return 1.0
    nu, z = groups - 1, Z
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    t = z + sum(term / nu**power for power, term in enumerate(terms, start=1))
    return float(t / z * np.sqrt(groups / nu))
