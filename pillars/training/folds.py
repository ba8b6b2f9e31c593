"""Folds of rows: which are fitted on and which are held out, by time, by group or by outcome. Values in, places out; nothing is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pillars.config import Task

BANDS = 10  # of a number's quantiles, held alike among folds


@dataclass(frozen=True)
class Fold:
    """Places of rows, int64, ascending: `fit` and `held` share none."""

    fit: np.ndarray
    held: np.ndarray


def rolling(times: np.ndarray, count: int, gap: int = 0) -> tuple[Fold, ...]:
    """Each of the last `count` distinct times held out once, oldest first, and what lies before it fitted on.

    `times`: (n,), of any type that sorts, such as the names of periods. The `gap` times before a held one are in neither part. A time that
    nothing lies before is no fold: there may be fewer.
    """
    distinct, place = np.unique(times, return_inverse=True)
    folds = []
    for held in range(max(0, len(distinct) - count), len(distinct)):
        last = held - gap  # the first time that is not fitted on
        if last > 0:
            folds.append(Fold(np.flatnonzero(place < last), np.flatnonzero(place == held)))
    return tuple(folds)


def grouped(groups: np.ndarray, count: int, seed: int) -> tuple[Fold, ...]:
    """Every row held out once, and all rows of a group together. `groups`: (n,), of any type that sorts.

    Groups are dealt out largest first, each to the fold with the fewest rows (Graham 1969); equal ones by `seed`. Fewer groups than `count`
    give fewer folds. The row order changes nothing but places.
    """
    distinct, place, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    count = min(count, len(distinct))
    drawn, filled, of = (
        np.random.default_rng(seed).permutation(len(distinct)),
        np.zeros(count, dtype=np.int64),
        np.empty(len(distinct), int),
    )
    for group in np.lexsort((drawn, -sizes)):
        of[group] = int(filled.argmin())
        filled[of[group]] += sizes[group]
    return _of(of[place], count)


def stratified(y: np.ndarray, count: int, seed: int, task: Task = "binary") -> tuple[Fold, ...]:
    """Every row held out once, and of each outcome as many in one fold as in another, within one row; of numbers, of each tenth.

    `y`: (n,). More folds than rows give fewer.
    """
    strata, n = _strata(y, task), len(y)
    drawn = np.random.default_rng(seed).permutation(n)
    of = np.empty(n, dtype=np.int64)
    of[np.lexsort((drawn, strata))] = np.arange(n) % max(1, min(count, n))  # dealt out in turn, one outcome after the other
    return _of(of, min(count, n))


def repeated(y: np.ndarray, count: int, seeds: Sequence[int], task: Task = "binary") -> tuple[Fold, ...]:
    """Stratified folds of each seed, one after the other."""
    return tuple(fold for seed in seeds for fold in stratified(y, count, seed, task))


def _strata(y: np.ndarray, task: Task) -> np.ndarray:
    if task != "regression" or not len(y):
        return np.asarray(y)
    return np.searchsorted(np.quantile(y, np.linspace(0, 1, BANDS + 1)[1:-1]), y)


def _of(fold: np.ndarray, count: int) -> tuple[Fold, ...]:
    return tuple(Fold(np.flatnonzero(fold != one), np.flatnonzero(fold == one)) for one in range(count) if (fold != one).any())
