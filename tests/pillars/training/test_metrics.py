import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.config import Cost
from pillars.training import metrics
from pillars.vocabulary import Scorecard

COST = Cost(false_positive=1.0, false_negative=3.0)


def rows(count: int = 2000, days: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Outcomes, calibrated probabilities and days; each day has a luck of its own."""
    random = np.random.default_rng(seed)
    blocks = np.sort(random.integers(0, days, count))
    logit = random.normal(size=count) - 1 + random.normal(scale=0.8, size=days)[blocks]
    p = 1 / (1 + np.exp(-logit))
    return (random.random(count) < p).astype(np.float32), p, blocks


def card(y: np.ndarray, p: np.ndarray, blocks: np.ndarray, seed: int = 0, threshold: float = 0.25) -> Scorecard:
    return metrics.scorecard("challenger", "2013-04", y, p, blocks, threshold, COST, seed, 300)


def test_values_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import brier_score_loss, log_loss, roc_auc_score

    y, p, blocks = rows()
    p = np.round(p, 2)  # ties
    found = card(y, p, blocks).measures
    assert found["log_loss"].value == pytest.approx(log_loss(y, p))
    assert found["brier"].value == pytest.approx(brier_score_loss(y, p))
    assert found["auc"].value == pytest.approx(roc_auc_score(y, p))


def test_cost_counts_needless_actions_and_missed_rows() -> None:
    y, p = np.array([1, 1, 0, 0, 0]), np.array([0.9, 0.1, 0.8, 0.2, 0.25])
    assert card(y, p, np.arange(5)).measures["cost"].value == pytest.approx((3.0 + 1.0 + 1.0) / 5)


def test_calibration_error_is_zero_where_rates_meet_scores_and_the_gap_elsewhere() -> None:
    y = np.array([0, 1] * 50)
    assert card(y, np.full(100, 0.5), np.arange(100)).measures["ece"].value == 0
    assert card(y, np.full(100, 0.9), np.arange(100)).measures["ece"].value == pytest.approx(0.4)


@given(seed=st.integers(0, 10_000), days=st.integers(1, 40))
@settings(max_examples=30, deadline=None)
def test_every_value_lies_in_its_interval(seed: int, days: int) -> None:
    for measure in card(*rows(300, days, seed)).measures.values():
        assert 0 <= measure.low <= measure.value <= measure.high


def test_rows_that_share_their_day_make_intervals_wider() -> None:
    y, p, blocks = rows(6000, 30)
    by_day, by_row = card(y, p, blocks).measures["log_loss"], card(y, p, np.arange(len(y))).measures["log_loss"]
    assert by_day.high - by_day.low > 1.5 * (by_row.high - by_row.low)


def test_an_interval_holds_the_truth_about_as_often_as_it_says() -> None:
    """200 samples of 40 days: the mean of their luck is 0."""
    held = 0
    for seed in range(200):
        luck = np.random.default_rng(seed).normal(size=40)
        found = metrics.mean(np.repeat(luck, 10), np.repeat(np.arange(40), 10), seed=1, resamples=300)
        held += found.low <= 0 <= found.high
    assert 0.88 <= held / 200 <= 0.99


def test_an_interval_over_six_days_still_holds_the_truth() -> None:
    """A plain percentile interval holds it in 82 % of the samples."""
    held = 0
    for seed in range(300):
        luck = np.random.default_rng(seed).normal(size=6)
        found = metrics.mean(np.repeat(luck, 10), np.repeat(np.arange(6), 10), seed=1, resamples=300)
        held += found.low <= 0 <= found.high
    assert 0.91 <= held / 300 <= 0.99


@pytest.mark.parametrize(("groups", "factor"), [(6, 2.5706 / 1.96 * np.sqrt(6 / 5)), (30, 2.0452 / 1.96 * np.sqrt(30 / 29)), (512, 1.003)])
def test_few_groups_widen_the_interval_as_student_says(groups: int, factor: float) -> None:
    assert metrics._widening(groups) == pytest.approx(factor, rel=2e-3)


def test_the_binned_interval_of_the_auc_is_that_of_exact_resamples() -> None:
    y, p, blocks = rows(1500, 15)
    draws = metrics.drawn(15, 0, 300)
    exact = [metrics.auc(*(np.repeat(part, draw[blocks].astype(int)) for part in (y, p))) for draw in draws]
    found, value, wide = card(y, p, blocks).measures["auc"], metrics.auc(y, p), metrics._widening(15)
    low, high = np.quantile(exact, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx((value - wide * (value - low), value + wide * (high - value)), abs=1e-3)


def test_more_blocks_than_can_be_drawn_are_pooled_without_changing_the_width() -> None:
    values = np.random.default_rng(3).normal(size=20_000)
    found = metrics.mean(values, np.arange(20_000), seed=0, resamples=500)
    assert found.high - found.low == pytest.approx(2 * 1.96 / np.sqrt(20_000), rel=0.15)


def test_equal_input_gives_equal_cards_and_another_seed_other_intervals() -> None:
    assert card(*rows()) == card(*rows())
    assert card(*rows()).measures["brier"] != card(*rows(), seed=1).measures["brier"]


def test_one_class_has_no_auc_and_no_rows_no_measures() -> None:
    one_class = card(np.zeros(10), np.full(10, 0.1), np.arange(10))
    assert "auc" not in one_class.measures
    assert one_class.measures["log_loss"].value == pytest.approx(-np.log(0.9))
    assert card(np.zeros(0), np.zeros(0), np.zeros(0, int)).measures == {}


def test_resamples_of_one_class_do_not_spoil_the_auc() -> None:
    y = np.array([1] + [0] * 99)
    found = card(y, np.linspace(1, 0, 100), np.arange(100)).measures["auc"]
    assert (found.value, found.low, found.high) == (1.0, 1.0, 1.0)


def test_certain_probabilities_keep_the_log_loss_finite() -> None:
    assert np.isfinite(card(np.array([0, 1, 1]), np.array([1.0, 0.0, 1.0]), np.arange(3)).measures["log_loss"].value)


def test_a_card_survives_json() -> None:
    text = json.dumps(asdict(card(*rows())), allow_nan=False)
    assert json.loads(text)["measures"].keys() == {
        "log_loss",
        "brier",
        "auc",
        "pr_auc",
        "cost",
        "ece",
        "accuracy",
        "precision",
        "recall",
        "f1",
    }


def classified(count: int = 2000, days: int = 20, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes of three, probabilities (n, 3), and days."""
    random = np.random.default_rng(seed)
    p = random.dirichlet([1.0, 2.0, 0.5], count)
    y = (random.random(count)[:, None] > np.cumsum(p, axis=1)[:, :2]).sum(axis=1)
    return y.astype(np.float32), p, np.sort(random.integers(0, days, count))


def test_values_of_several_classes_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, log_loss

    y, p, blocks = classified()
    found = metrics.scorecard_of_classes("challenger", "2013-04", y, p, blocks, 0, 300).measures
    assert list(found) == ["log_loss", "brier", "accuracy", "ece", "macro_auc", "macro_f1"]
    assert found["log_loss"].value == pytest.approx(log_loss(y, p))
    assert found["brier"].value == pytest.approx(np.square(p - np.eye(3)[y.astype(int)]).sum(axis=1).mean())
    assert found["accuracy"].value == pytest.approx(accuracy_score(y, p.argmax(axis=1)))
    assert all(m.low <= m.value <= m.high for m in found.values())


def test_several_classes_of_one_row_or_none_are_judged() -> None:
    y, p, blocks = classified(1)
    assert metrics.scorecard_of_classes("challenger", "2013-04", y, p, blocks, 0, 300).measures["log_loss"].value > 0
    assert metrics.scorecard_of_classes("challenger", "2013-04", y[:0], p[:0], blocks[:0], 0, 300).measures == {}


def test_a_class_that_had_no_chance_costs_much_and_not_infinitely() -> None:
    assert metrics.losses("log_loss", np.array([1.0]), np.array([[1.0, 0.0, 0.0]])) == pytest.approx(-np.log(1e-15))


def test_values_of_numbers_are_those_of_scikit_learn() -> None:
    from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

    random = np.random.default_rng(0)
    y = random.gamma(2.0, 100.0, 2000)
    p, blocks = y + random.normal(scale=80, size=2000), np.sort(random.integers(0, 20, 2000))
    found = metrics.scorecard_of_numbers("challenger", "2013-04", y, p, blocks, 0, 300).measures
    assert found["squared_error"].value == pytest.approx(mean_squared_error(y, p))
    assert found["absolute_error"].value == pytest.approx(mean_absolute_error(y, p))
    assert found["rmse"].value == pytest.approx(mean_squared_error(y, p) ** 0.5)
    assert found["r2"].value == pytest.approx(r2_score(y, p))
    assert all(m.low < m.value < m.high for m in found.values())
    assert found["rmse"].low == pytest.approx(found["squared_error"].low ** 0.5, rel=0.01)


def test_numbers_that_are_all_alike_have_no_explained_share() -> None:
    found = metrics.scorecard_of_numbers("challenger", "2013-04", np.full(9, 2.0), np.full(9, 3.0), np.arange(9), 0, 300).measures
    assert "r2" not in found
    assert found["rmse"].value == 1.0
    assert metrics.scorecard_of_numbers("challenger", "2013-04", np.array([]), np.array([]), np.array([]), 0, 300).measures == {}
