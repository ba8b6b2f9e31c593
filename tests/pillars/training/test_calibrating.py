import json
from collections.abc import Iterator

import numpy as np
import pytest

from pillars.bundle.calibration import apply, logit
from pillars.config import Cost, Gate
from pillars.training.calibrating import Outlook, chosen, learn, theoretical, threshold
from pillars.training.metrics import losses

GATE = Gate(min_rows=500, resamples=200)
COST = Cost(false_positive=1.0, false_negative=3.0)


def outlook(seed: int, slope: float = 1.0, offset: float = 0.0, rows: int = 4000) -> Outlook:
    """Predictions whose true probability is a sigmoid of `slope` logit(p) + `offset`."""
    random = np.random.default_rng(seed)
    p = random.uniform(0.02, 0.9, rows)
    truth = 1 / (1 + np.exp(-(slope * logit(p) + offset)))
    return Outlook((random.random(rows) < truth).astype(np.float32), p, np.arange(rows) // 100)


def newest_first(*offsets: float, slope: float = 1.0, rows: int = 4000) -> Iterator[Outlook]:
    return (outlook(seed, slope, offset, rows) for seed, offset in enumerate(offsets))


def test_a_good_model_is_left_alone() -> None:
    assert chosen(GATE, newest_first(0, 0, 0, 0), seed=0) == {"kind": "none"}


def test_a_bias_that_lasts_is_mended() -> None:
    found = chosen(GATE, newest_first(-0.7, -0.7, -0.7, -0.7, slope=0.5), seed=0)
    held = outlook(9, slope=0.5, offset=-0.7)
    assert found["kind"] != "none"
    assert losses("log_loss", held.y, apply(found, held.p)).mean() < losses("log_loss", held.y, held.p).mean() - 0.01


@pytest.mark.parametrize(
    "offsets",
    [
        pytest.param((-0.8, -0.8, 0.0, 0.0), id="new"),
        pytest.param((0.0, -0.8, -0.8, -0.8), id="gone"),
        pytest.param((-0.8, 0.0, -0.8, -0.8), id="interrupted"),
        pytest.param((-0.8, -0.8, -0.8), id="on record too shortly"),
        pytest.param((-0.8,), id="one period"),
        pytest.param((), id="no whole period"),
    ],
)
def test_a_bias_of_some_periods_is_not_mended(offsets: tuple[float, ...]) -> None:
    """A month's base rate is off, the next model has learned it: the calibration would do harm."""
    assert chosen(GATE, newest_first(*offsets), seed=0) == {"kind": "none"}


def test_earlier_periods_are_not_asked_for_when_nothing_wins_any_more() -> None:
    taken: list[int] = []

    def watched() -> Iterator[Outlook]:
        for place, one in enumerate(newest_first(0, 0, 0, 0)):
            taken.append(place)
            yield one

    chosen(GATE, watched(), seed=0)
    assert taken == [0, 1]


@pytest.mark.parametrize("rows", [1, 100])
def test_few_rows_calibrate_nothing(rows: int) -> None:
    assert chosen(GATE, newest_first(-2, -2, -2, -2, rows=rows), seed=0) == {"kind": "none"}


def test_one_class_calibrates_nothing() -> None:
    quiet = Outlook(np.zeros(1000, np.float32), np.full(1000, 0.3), np.arange(1000))
    assert chosen(GATE, iter([quiet] * 4), seed=0) == {"kind": "none"}


@pytest.mark.parametrize("kind", ["sigmoid", "isotonic"])
def test_what_is_learned_survives_json_keeps_the_order_and_meets_the_rate(kind: str) -> None:
    data = outlook(4, slope=0.6, offset=0.5)
    learned = json.loads(json.dumps(learn(kind, data.y, data.p)))
    calibrated = apply(learned, np.sort(data.p))
    assert (np.diff(calibrated) >= 0).all()
    assert calibrated.mean() == pytest.approx(data.y.mean(), abs=0.005)


def test_a_sigmoid_finds_slope_and_offset() -> None:
    data = outlook(5, slope=0.6, offset=0.5, rows=50_000)
    learned = learn("sigmoid", data.y, data.p)
    assert (learned["a"], learned["b"]) == pytest.approx((0.6, 0.5), abs=0.05)


def test_a_sigmoid_never_turns_the_order_around() -> None:
    data = outlook(6, slope=-1.0)
    assert learn("sigmoid", data.y, data.p) == {"kind": "sigmoid", "a": 1.0, "b": 0.0}


def test_perfectly_parted_classes_do_not_break_the_sigmoid() -> None:
    learned = learn("sigmoid", np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 0.9]))
    assert np.isfinite(list(apply(learned, np.array([0.1, 0.9])))).all()


def test_the_threshold_of_calibrated_scores_is_near_the_theoretical_one() -> None:
    data = outlook(7, rows=60_000)
    assert theoretical(COST) == 0.25
    assert threshold(COST, 500, data.y, data.p) == pytest.approx(0.25, abs=0.04)


def test_the_threshold_is_the_cheapest_of_the_grid() -> None:
    y, p = np.array([0] * 600 + [1] * 600), np.array([0.62] * 600 + [0.7] * 600)
    assert threshold(COST, 500, y, p) == 0.63  # of 0.63 to 0.70, all without a mistake, the nearest to theory


def test_the_threshold_of_a_biased_model_follows_its_scores() -> None:
    data = outlook(8, offset=-1.5, rows=60_000)  # scores far above the truth
    assert threshold(COST, 500, data.y, data.p) > 0.4


@pytest.mark.parametrize("y", [pytest.param(np.array([0, 1] * 10), id="few rows"), pytest.param(np.zeros(1000), id="one class")])
def test_without_enough_rows_theory_decides(y: np.ndarray) -> None:
    assert threshold(COST, 500, y, np.full(len(y), 0.9)) == 0.25


def test_errors_that_cost_nothing_put_the_threshold_in_the_middle() -> None:
    assert theoretical(Cost(false_positive=0, false_negative=0)) == 0.5
