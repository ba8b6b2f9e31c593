"""What folds promise, for any rows."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pillars.training.folds import BANDS, Fold, grouped, repeated, rolling, stratified

LABELS = st.lists(st.integers(0, 4), min_size=4, max_size=120)
SEEDS = st.integers(0, 2**31)


def told(folds: tuple[Fold, ...]) -> list[tuple[list[int], list[int]]]:
    return [(fold.fit.tolist(), fold.held.tolist()) for fold in folds]


def held_once(folds: tuple[Fold, ...], rows: int) -> None:
    assert sorted(place for fold in folds for place in fold.held) == list(range(rows)), "every row is held out once"
    for fold in folds:
        assert sorted([*fold.fit, *fold.held]) == list(range(rows)), "and fitted on in all other folds"


@given(times=LABELS, count=st.integers(1, 6), gap=st.integers(0, 3))
def test_nothing_is_held_out_before_what_is_fitted_and_the_gap_is_kept(times: list[int], count: int, gap: int) -> None:
    at, known = np.array(times), sorted(set(times))
    folds = rolling(at, count, gap)
    assert len(folds) == min(count, max(0, len(known) - 1 - gap)), "a time that nothing lies before is no fold"
    for fold, last in zip(folds, known[len(known) - len(folds) :], strict=True):
        fitted, place = sorted(set(at[fold.fit].tolist())), known.index(last)
        assert set(at[fold.held].tolist()) == {last}
        assert len(fold.held) == times.count(last)
        assert fitted == known[: place - gap]
        assert len(fold.fit) == sum(times.count(one) for one in fitted), "all rows of a time or none"


@given(groups=LABELS, count=st.integers(2, 6), seed=SEEDS)
def test_no_group_is_on_both_sides(groups: list[int], count: int, seed: int) -> None:
    of = np.array(groups)
    folds = grouped(of, count, seed)
    if len(set(groups)) < 2:
        assert folds == ()
        return
    held_once(folds, len(of))
    assert len(folds) == min(count, len(set(groups)))
    for fold in folds:
        assert not set(of[fold.fit]) & set(of[fold.held])
    assert told(grouped(of, count, seed)) == told(folds)


@given(groups=LABELS, seed=SEEDS)
def test_a_groups_fold_does_not_hang_on_the_order_of_rows(groups: list[int], seed: int) -> None:
    of = np.array(groups)
    order = np.random.default_rng(seed).permutation(len(of))
    for fold, other in zip(grouped(of, 3, seed), grouped(of[order], 3, seed), strict=True):
        assert sorted(order[other.held].tolist()) == fold.held.tolist()


@given(y=LABELS, count=st.integers(2, 6), seed=SEEDS)
def test_each_fold_has_of_each_class_as_many_within_one_row(y: list[int], count: int, seed: int) -> None:
    of = np.array(y)
    folds = stratified(of, count, seed, "multiclass")
    held_once(folds, len(of))
    for one in set(y):
        counts = [int((of[fold.held] == one).sum()) for fold in folds]
        assert max(counts) - min(counts) <= 1
    assert told(stratified(of, count, seed, "multiclass")) == told(folds)


@given(y=st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=120), count=st.integers(2, 5), seed=SEEDS)
def test_of_numbers_each_fold_has_of_each_tenth_as_many(y: list[float], count: int, seed: int) -> None:
    of = np.array(y)
    band = np.searchsorted(np.quantile(of, np.linspace(0, 1, BANDS + 1)[1:-1]), of)
    folds = stratified(of, count, seed, "regression")
    held_once(folds, len(of))
    for one in set(band.tolist()):
        counts = [int((band[fold.held] == one).sum()) for fold in folds]
        assert max(counts) - min(counts) <= 1


def test_repeats_are_other_draws_of_the_same_rows() -> None:
    y = np.arange(60) % 2
    folds = repeated(y, 3, [0, 1])
    assert len(folds) == 6
    held_once(folds[:3], 60)
    held_once(folds[3:], 60)
    assert told(folds[:3]) != told(folds[3:])
