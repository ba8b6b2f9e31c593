"""How well one column alone tells the outcome."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Task

TELLING: dict[Task, tuple[float, str]] = {  # of one column alone, in words: from there on it is likely known only with the outcome
    "binary": (0.98, "AUC {:.3f}"),
    "multiclass": (0.95, "spares {:.1%} of the errors"),
    "regression": (0.98, "{:.1%} of its variance"),
}
BINS = 200  # of a number with more values, of equal size
FOLDS = 5


def telling(values: pa.ChunkedArray, y: np.ndarray, task: Task) -> float:
    """How well one column alone tells the outcome, at most 1; see `TELLING` for how well is suspicious.

    `y`: (n,), as many as values. binary, 0 or 1: AUC of its values, its categories' means out of fold, or its gaps. multiclass, places: how
    many of the errors of guessing the most frequent class it spares (Goodman and Kruskal's lambda, 1954). regression: share of the variance
    (R squared). The last two by its values, or `BINS` of them, out of fold; or of a number by a straight line.
    """
    if len(np.unique(y)) < 2:
        return 0.0
    match task:
        case "multiclass":
            return _spared(values, y)
        case "regression":
            return max(_explained(values, y), _correlated(values, y))
        case _:
            return _area(values, y)


def _area(values: pa.ChunkedArray, y: np.ndarray) -> float:
    missing = values.is_null().to_numpy()
    scores = [missing.astype(float)] if missing.any() else []
    scores.append(_means(_codes(values), y) if pa.types.is_string(values.type) else np.nan_to_num(_floats(values), nan=-1e300))
    return max(max(a, 1 - a) for a in (_auc(y, s) for s in scores))


def _auc(y: np.ndarray, scores: np.ndarray) -> float:
    """Share of pairs in which the positive has the higher score, ties half; scikit-learn's takes five times as long."""
    place = np.unique(scores, return_inverse=True)[1]
    positives, rows = np.bincount(place, weights=y > 0.5), np.bincount(place)
    negatives = rows - positives
    return float((positives * (np.cumsum(negatives) - negatives / 2)).sum() / (positives.sum() * negatives.sum()))


def _explained(values: pa.ChunkedArray, y: np.ndarray) -> float:
    return 1 - float(np.square(y - _means(_codes(values), y)).mean()) / float(y.var())


def _correlated(values: pa.ChunkedArray, y: np.ndarray) -> float:
    """Square of the correlation with a number that has no gaps: it finds a straight line where bins are too coarse for long tails."""
    if pa.types.is_string(values.type) or values.null_count or not np.isfinite(numbers := _floats(values)).all() or not numbers.std():
        return 0.0
    return float(np.corrcoef(numbers, y)[0, 1] ** 2)


def _spared(values: pa.ChunkedArray, y: np.ndarray) -> float:
    codes, fold = _codes(values), np.arange(len(y)) % FOLDS
    counts, right = np.zeros((int(codes.max()) + 1, int(y.max()) + 1)), 0
    for k in range(FOLDS):
        rest = fold != k
        counts[:] = np.bincount(y[rest], minlength=counts.shape[1]) / len(y)  # a value nobody else has says what all say
        np.add.at(counts, (codes[rest], y[rest]), 1)
        right += int((counts[codes[~rest]].argmax(axis=1) == y[~rest]).sum())
    base = float(np.bincount(y).max() / len(y))
    return (right / len(y) - base) / (1 - base)


def _floats(values: pa.ChunkedArray) -> np.ndarray:
    """Numbers, truths and times as float64 (n,), NaN where there is none."""
    numbers = pc.cast(values, pa.int64(), safe=False) if pa.types.is_timestamp(values.type) else values
    return np.asarray(pc.fill_null(pc.cast(numbers, pa.float64(), safe=False), np.nan).to_numpy(), dtype=float)


def _codes(values: pa.ChunkedArray) -> np.ndarray:
    """Each row's value as a number from 0 (n,): its word, or its number's place, or its bin where there are more than `BINS`."""
    if pa.types.is_string(values.type):
        return np.asarray(pc.fill_null(values, "").combine_chunks().dictionary_encode().indices.to_numpy())
    numbers = np.nan_to_num(_floats(values), nan=-1e300)
    distinct, place = np.unique(numbers, return_inverse=True)
    return place if len(distinct) <= BINS else np.searchsorted(np.quantile(numbers, np.linspace(0, 1, BINS + 1)[1:-1]), numbers)


def _means(codes: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Each row's mean outcome among the other folds' rows of its code (n,): a category of one row tells nothing."""
    fold, size, overall = np.arange(len(y)) % FOLDS, int(codes.max()) + 1, float(y.mean())
    found = np.empty(len(y))
    for k in range(FOLDS):
        rest = fold != k
        sums, rows = np.bincount(codes[rest], y[rest], size), np.bincount(codes[rest], minlength=size)
        found[~rest] = ((sums + overall) / (rows + 1))[codes[~rest]]
    return found
