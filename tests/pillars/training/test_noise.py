"""Claims about pairs that are equal in truth, gains that are planted, and the margin that follows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pillars.config import Gate
from pillars.errors import TooFewRows
from pillars.stores import Stores
from pillars.training import heldout, measuring, noise
from pillars.training.gate import judge_recipe, paired_gain
from pillars.training.noise import Field
from pillars.training.power import power
from pillars.vocabulary import GateNoise
from tests.factories import binary_project
from tests.pillars.training.worlds import MONTHS, RECIPE, gathered, readable

PROJECT = binary_project()
READ = readable(PROJECT)
GATE = Gate(min_rows=100, resamples=200, margin=0.0)


@pytest.fixture
def stores() -> Stores:
    return Stores()


def field(models: int = 20, rows: int = 3000, days: int = 30, spread: float = 0.3, seed: int = 0) -> Field:
    """Models that see the same truth, each with errors of its own from row to row and day to day, and some luckier than others."""
    random = np.random.default_rng(seed)
    logit, blocks = random.normal(-1, 1, rows), np.arange(rows) * days // rows
    y = (random.uniform(size=rows) < 1 / (1 + np.exp(-logit))).astype(np.float32)
    luck = spread * random.uniform(0.3, 1.2, models)
    errors = [random.normal(size=rows) * by + (random.normal(size=days) * by)[blocks] for by in luck]
    return Field("2013-05", y, blocks, tuple(1 / (1 + np.exp(-logit - error)) for error in errors))


def measured(stores: Stores, models: int = 6, **how: object) -> GateNoise:
    return measuring.measure(stores, PROJECT, READ, MONTHS, ["2013-03", "2013-04"], RECIPE, "v", models=models, **how)  # type: ignore[arg-type]


def test_rows_that_count_more_count_more_in_the_noise_and_in_the_power() -> None:
    one = field(models=5, spread=0.6)
    weighed = replace(one, weights=np.where(np.arange(len(one.y)) % 3 == 0, 5.0, 1.0))
    chosen = noise.pairs(5, 0, 0)
    found = noise.gains(GATE, [weighed], chosen, seed=3)
    for (i, j), (value, low, high) in zip(chosen.tolist(), found[:, 0], strict=True):
        asked = paired_gain(GATE, one.y, one.p[i], one.p[j], one.blocks, 3, weighed.weights)
        assert (asked.value, asked.low, asked.high) == (value, low, high)
    assert not np.array_equal(found, noise.gains(GATE, [one], chosen, seed=3))
    assert power(GATE, [weighed], [0.01], 0.0, 0) != power(GATE, [one], [0.01], 0.0, 0)


def test_the_noise_of_balanced_classes_is_of_another_kind() -> None:
    balanced = binary_project(fit={"imbalance": "balanced"}, calibration={"method": "sigmoid"})
    assert noise.settings(balanced, RECIPE) != noise.settings(PROJECT, RECIPE)
    assert noise.settings(binary_project(calibration={"method": "sigmoid"}), RECIPE) == noise.settings(PROJECT, RECIPE)


def test_asking_only_whether_the_loss_is_no_higher_promotes_half_of_all_equal_pairs() -> None:
    found = noise.gains(GATE, [field()], noise.pairs(20, 0, 0), seed=0)
    assert noise.plain(found).mean() == 0.5


def test_each_answer_is_the_gates_own() -> None:
    one = field(models=5, spread=0.6)
    chosen = noise.pairs(5, 0, 0)
    margin = 0.004
    found = noise.promoted(noise.gains(GATE, [one], chosen, seed=3), margin)
    gate = GATE.model_copy(update={"margin": margin})
    asked = [
        [bool(judge_recipe(gate, one.y, one.p[i], one.p[j], one.blocks, 3, "it")) for i, j in ((a, b), (b, a))] for a, b in chosen.tolist()
    ]
    assert found[:, 0].tolist() == [sum(both) / 2 for both in asked]
    assert 0 < found.mean() < 0.5


def test_the_smallest_margin_holds_the_rate_and_a_smaller_one_does_not() -> None:
    found = noise.gains(GATE, [field(spread=0.6)], noise.pairs(20, 0, 0), seed=0)
    margin = noise.smallest_margin(found, 0.05)
    assert margin > 0
    assert noise.promoted(found, margin).mean() <= 0.05 < noise.promoted(found, margin * 0.9).mean() + 0.02
    assert noise.smallest_margin(found, 0.49) == 0.0


def test_pairs_are_distinct_and_as_many_as_asked_for() -> None:
    chosen = noise.pairs(40, 200, 0)
    assert len({frozenset(pair) for pair in chosen.tolist()}) == 200
    assert all(i != j for i, j in chosen.tolist())
    assert len(noise.pairs(40, 0, 0)) == 780


def test_pairs_that_share_models_say_less_than_their_number() -> None:
    """One odd model of twelve makes eleven of 66 pairs: as independent pairs their rate would seem known twice as well."""
    chosen = noise.pairs(12, 0, 0)
    share = (chosen == 0).any(axis=1).astype(np.float64)
    found = noise.clustered(chosen, share, 12, seed=0)
    independent = 1.96 * np.sqrt(found.value * (1 - found.value) / len(share))
    assert found.low <= found.value <= found.high
    assert found.high - found.low > 2 * 1.5 * independent


def test_no_false_promotion_at_all_is_no_proof_of_none() -> None:
    never = noise.clustered(noise.pairs(40, 0, 0), np.zeros(780), 40, seed=0)
    assert (never.value, never.low) == (0.0, 0.0)
    assert never.high == pytest.approx(1 - 0.025 ** (1 / 20))


def test_models_differ_in_seed_and_in_the_blocks_they_were_fitted_on() -> None:
    rows = gathered(PROJECT, "2013-01", "2013-02")
    one, other = noise.resampled(rows, 1), noise.resampled(rows, 2)
    assert one.digest != other.digest
    assert noise.resampled(rows, 1).digest == one.digest
    days, times = np.unique(one.blocks, return_counts=True)
    whole = dict(zip(*np.unique(rows.blocks, return_counts=True), strict=True))
    assert len(days) < len(whole)
    assert all(count % whole[day] == 0 for day, count in zip(days, times, strict=True))


def test_a_gain_is_planted_as_large_as_it_is_said_and_larger_ones_are_found_more_often() -> None:
    one = field(models=12, spread=0.2)
    found = power(GATE, [one], [0.0, 0.01, 0.1], margin=0.002, seed=0)
    assert [made.gain for made in found] == pytest.approx([0.0, 0.01, 0.1], rel=0.02)
    assert sum(made.plants for made in found) >= 50
    none, some, much = (made.promoted.value for made in found)
    assert none < 0.2 < much
    assert none <= some <= much == 1.0


def test_a_gain_that_no_dose_reaches_is_left_out() -> None:
    assert len(power(GATE, [field(models=4)], [0.0, 5.0], 0.001, 0)) == 1


def test_a_calibration_repeats_no_fit_and_comes_out_the_same(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(stores)
    monkeypatch.setattr(heldout, "fit_scores", lambda *_: pytest.fail("fitted again"))
    assert measured(stores) == first
    assert first.pairs == 15
    assert set(first.by_period) == {"2013-03", "2013-04"}


def test_what_is_written_holds_the_figures_and_a_picture(stores: Stores) -> None:
    found = measuring.write(stores, measured(stores))
    assert (stores.var / found.picture).read_bytes().startswith(b"\x89PNG")
    assert measuring.write(stores, found) == found


def test_a_margin_is_no_setting_of_its_own_noise_and_other_features_are() -> None:
    base = noise.settings(PROJECT, RECIPE)
    assert noise.settings(binary_project(gate={"margin": 0.3}), RECIPE) == base
    assert noise.settings(binary_project(gate={"resamples": 300}), RECIPE) != base
    assert noise.settings(binary_project(features={"numeric": ["load"]}), RECIPE) != base
    assert noise.settings(binary_project(split={"gap_periods": 1}), RECIPE) != base


def test_the_first_period_has_nothing_before_it_to_fit_on(stores: Stores) -> None:
    with pytest.raises(TooFewRows, match="no period with outcomes lies before it"):
        measuring.measure(stores, PROJECT, READ, MONTHS, ["2013-01"], RECIPE, "v", models=4)


def test_a_period_on_which_the_gate_decides_nothing_calibrates_nothing(stores: Stores) -> None:
    with pytest.raises(TooFewRows, match="needed"):
        measuring.measure(stores, binary_project(gate={"min_rows": 5000}), READ, MONTHS, ["2013-04"], RECIPE, "v", models=4)
