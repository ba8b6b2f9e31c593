import numpy as np
import pytest

from pillars.config import Comparator
from pillars.errors import ConfigInvalid
from pillars.stores import Stores
from pillars.training import baselines
from pillars.training.metrics import auc, losses
from pillars.training.rows import subset
from tests.factories import binary_project, classes_project, numbers_project
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


FAMILIES: list[Comparator] = ["histgb", "lightgbm"]


@pytest.mark.parametrize("family", FAMILIES)
def test_another_family_beats_the_base_rate_and_is_fitted_once(family: Comparator, monkeypatch: pytest.MonkeyPatch) -> None:
    stores = Stores()
    p = baselines.said(stores, PROJECT, family, JANUARY, FEBRUARY)
    assert ((p > 0) & (p < 1)).all()
    assert auc(FEBRUARY.y, p) > 0.65

    def never(*_: object) -> np.ndarray:
        raise AssertionError("fitted again")

    monkeypatch.setattr(baselines, "boosted", never)
    assert np.array_equal(baselines.said(stores, PROJECT, family, JANUARY, FEBRUARY), p)
    with pytest.raises(AssertionError, match="fitted again"):
        baselines.said(stores, PROJECT, family, FEBRUARY, JANUARY)  # other rows are other scores


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("threads", [1, 2])
def test_another_familys_scores_are_of_the_targets_shape(family: Comparator, threads: int) -> None:
    classes, numbers = classes_project(), numbers_project()
    rows = {project.task: [gathered(project, month) for month in ("2013-01", "2013-02")] for project in (classes, numbers)}
    p = baselines.boosted(classes, family, *rows["multiclass"], threads)
    assert p.shape == (len(rows["multiclass"][1].y), 3)
    assert np.allclose(p.sum(axis=1), 1)
    said = baselines.boosted(numbers, family, *rows["regression"], threads)
    assert said.shape == rows["regression"][1].y.shape
    assert np.corrcoef(said, rows["regression"][1].y)[0, 1] > 0.5


@pytest.mark.parametrize("family", FAMILIES)
def test_one_class_gives_the_base_rate_whatever_the_family(family: Comparator) -> None:
    on_time = subset(JANUARY, np.flatnonzero(JANUARY.y == 0))
    assert baselines.boosted(PROJECT, family, on_time, FEBRUARY, 1).tolist() == [0.0] * len(FEBRUARY.y)


def test_a_family_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(baselines, "find_spec", lambda name: None)
    with pytest.raises(ConfigInvalid, match="lightgbm is not installed; it comes with the extra"):
        baselines.said(Stores(), PROJECT, "lightgbm", JANUARY, FEBRUARY)
