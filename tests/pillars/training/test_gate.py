import numpy as np
import pytest

from pillars.config import Gate
from pillars.training.gate import judge_recipe, judge_refresh, judge_release, paired_gain
from pillars.vocabulary import Decision

GATE = Gate(min_rows=1000, margin=0.001, refresh_margin=0.005, resamples=300)


def scores(rows: int, better_by: float, days: int = 30, spread: float = 0.02, seed: int = 0) -> tuple[np.ndarray, ...]:
    """y (all 0), the champion's scores, the challenger's with a log loss lower by `better_by`, differing from day to day; days."""
    random = np.random.default_rng(seed)
    blocks = np.arange(rows) * days // max(rows, 1)
    champion = random.uniform(0.1, 0.4, rows)
    luck = random.normal(size=days)
    gain = better_by + spread * (luck - luck.mean())[blocks] * 0.1
    return np.zeros(rows), champion, 1 - np.exp(np.log1p(-champion) + gain), blocks


def recipe(rows: int, better_by: float, **how: float) -> Decision:
    return judge_recipe(GATE, *scores(rows, better_by, **how), seed=0, against="the champion's recipe")  # type: ignore[arg-type]


def refresh(rows: int, worse_by: float, **how: float) -> Decision:
    y, live, twin, blocks = scores(rows, -worse_by, **how)  # type: ignore[arg-type]
    return judge_refresh(GATE, y, live, twin, blocks, seed=0)


def test_a_clear_gain_is_accepted() -> None:
    decision = recipe(5000, 0.01)
    assert decision
    assert "5000 rows" in decision.reason


@pytest.mark.parametrize(
    ("gain", "spread"),
    [
        pytest.param(0.0, 0.02, id="none"),
        pytest.param(0.0005, 0.002, id="surely below the margin"),
        pytest.param(-0.01, 0.02, id="loss"),
    ],
)
def test_a_gain_that_is_surely_within_the_margin_is_refused(gain: float, spread: float) -> None:
    assert recipe(5000, gain, spread=spread).outcome == "refuse"


def test_nobody_can_say_where_the_interval_of_the_gain_straddles_the_margin() -> None:
    assert recipe(5000, 0.0005, spread=0.02).outcome == "inconclusive"
    assert recipe(5000, 0.004, spread=0.2).outcome == "inconclusive"
    assert recipe(5000, 0.004, spread=0.002)


def test_too_few_rows_never_promote() -> None:
    assert recipe(999, 0.3).outcome == refresh(999, -0.3).outcome == "inconclusive"
    assert "999 judged rows, 1000 needed" in recipe(999, 0.3).reason
    assert recipe(1000, 0.01)


def test_no_rows_at_all_are_too_few() -> None:
    assert recipe(0, 0.3).outcome == "inconclusive"


def test_too_few_days_never_promote() -> None:
    assert recipe(5000, 0.3, days=4).outcome == "inconclusive"
    assert "4 blocks" in recipe(5000, 0.3, days=4).reason


def test_equal_scores_are_never_a_gain() -> None:
    y, champion, _, blocks = scores(5000, 0)
    assert judge_recipe(GATE, y, champion, champion, blocks, 0, "itself").outcome == "refuse"


@pytest.mark.parametrize(
    ("worse_by", "spread", "outcome"),
    [
        pytest.param(-0.01, 0.02, "accept", id="better"),
        pytest.param(0.002, 0.02, "accept", id="a little worse, surely within the margin"),
        pytest.param(0.005, 0.2, "inconclusive", id="nobody can say"),
        pytest.param(0.02, 0.02, "refuse", id="surely worse"),
    ],
)
def test_a_refresh_may_be_a_little_worse_and_not_more(worse_by: float, spread: float, outcome: str) -> None:
    assert refresh(5000, worse_by, spread=spread).outcome == outcome


def test_the_live_champion_itself_is_accepted_as_its_own_twin() -> None:
    y, live, _, blocks = scores(5000, 0)
    decision = judge_refresh(GATE, y, live, live.copy(), blocks, 0)
    assert decision
    assert "equal scores" in decision.reason


def test_the_gain_of_one_over_the_other_is_the_loss_of_the_other_over_the_one() -> None:
    y, one, other, blocks = scores(3000, 0.01)
    there, back = paired_gain(GATE, y, one, other, blocks, 0), paired_gain(GATE, y, other, one, blocks, 0)
    assert (there.value, there.low, there.high) == pytest.approx((-back.value, -back.high, -back.low))


def test_the_loss_is_the_configured_one() -> None:
    y, one, other = np.array([1.0, 0.0]), np.array([0.5, 0.5]), np.array([1.0, 0.5])
    brier = paired_gain(Gate(loss="brier"), y, one, other, np.arange(2), 0)
    assert brier.value == pytest.approx(0.125)
    assert paired_gain(GATE, y, one, other, np.arange(2), 0).value == pytest.approx(np.log(2) / 2)


def test_twenty_pairs_of_equal_recipes_are_never_promoted() -> None:
    """Equal in truth, different from row to row and day to day: an A/A test of the gate."""
    assert not any(recipe(5000, 0.0, spread=0.1, seed=seed) for seed in range(20))


@pytest.mark.parametrize(
    ("rows", "worse_by", "spread", "outcome"),
    [
        pytest.param(5000, 0.02, 0.02, "refuse", id="surely worse by more than the margin"),
        pytest.param(5000, 0.004, 0.002, "accept", id="surely worse, by less"),
        pytest.param(5000, 0.0, 0.02, "accept", id="alike"),
        pytest.param(5000, -0.02, 0.02, "accept", id="better"),
        pytest.param(5000, 0.005, 0.2, "inconclusive", id="nobody can say"),
        pytest.param(999, 0.3, 0.02, "inconclusive", id="too few rows"),
    ],
)
def test_a_release_is_refused_only_when_it_is_surely_worse_than_the_one_it_replaced(
    rows: int, worse_by: float, spread: float, outcome: str
) -> None:
    y, replaced, released, blocks = scores(rows, -worse_by, spread=spread)
    decision, increase = judge_release(GATE, 0.005, y, replaced, released, blocks, 0, "v1")
    assert decision.outcome == outcome
    assert (increase is None) == (rows < 1000)
    if increase:
        assert increase.value == pytest.approx(worse_by, abs=1e-4)
        assert str(increase) in decision.reason


def test_a_release_whose_scores_are_no_numbers_is_refused_and_nobody_is_held_against_such_a_one() -> None:
    y, replaced, released, blocks = scores(5000, 0.0)
    broken = np.where(np.arange(5000) < 3, np.nan, released)
    found, _ = judge_release(GATE, 0.005, y, replaced, broken, blocks, 0, "v1")
    assert (found.outcome, found.reason) == ("refuse", "3 of its 5000 scores are no numbers")
    found, _ = judge_release(GATE, 0.005, y, broken, released, blocks, 0, "v1")
    assert (found.outcome, found.reason) == ("inconclusive", "3 of v1: its 5000 scores are no numbers")
