import numpy as np

from pillars.training import baselines
from pillars.training.metrics import auc, losses
from pillars.training.rows import subset
from tests.factories import binary_project
from tests.pillars.training.worlds import gathered

PROJECT = binary_project()
JANUARY, FEBRUARY = (gathered(PROJECT, month, rows=1500) for month in ("2013-01", "2013-02"))


def test_the_majority_says_the_base_rate_for_everybody() -> None:
    assert baselines.constant(PROJECT, JANUARY, 3).tolist() == [JANUARY.y.mean()] * 3


def test_the_logistic_regression_beats_the_base_rate() -> None:
    p = baselines.linear(PROJECT, JANUARY, FEBRUARY)
    assert ((p > 0) & (p < 1)).all()
    assert auc(FEBRUARY.y, p) > 0.7
    majority = baselines.constant(PROJECT, JANUARY, len(FEBRUARY.y))
    assert losses("log_loss", FEBRUARY.y, p).mean() < losses("log_loss", FEBRUARY.y, majority).mean()


def test_the_logistic_regression_bears_columns_without_values_and_huge_ones() -> None:
    empty = {**JANUARY.columns, "wind": np.full(len(JANUARY.y), np.nan), "load": np.full(len(JANUARY.y), 7.0)}
    huge = {**FEBRUARY.columns, "load": np.full(len(FEBRUARY.y), 1e300)}
    learned = subset(JANUARY, np.arange(len(JANUARY.y)))
    p = baselines.linear(
        PROJECT,
        type(learned)(learned.keys, empty, learned.y, learned.blocks, ""),
        type(learned)(FEBRUARY.keys, huge, FEBRUARY.y, FEBRUARY.blocks, ""),
    )
    assert np.isfinite(p).all()


def test_one_class_gives_the_base_rate() -> None:
    on_time = subset(JANUARY, np.flatnonzero(JANUARY.y == 0))
    assert baselines.linear(PROJECT, on_time, FEBRUARY).tolist() == [0.0] * len(FEBRUARY.y)


def test_the_same_rows_give_the_same_scores() -> None:
    assert np.array_equal(baselines.linear(PROJECT, JANUARY, FEBRUARY), baselines.linear(PROJECT, JANUARY, FEBRUARY))
