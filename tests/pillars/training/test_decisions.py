"""Weights, balance, directions, calibrations by name, costs of every answer, intervals: from the YAML to the bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.bundle.answers import bounds, cheapest
from pillars.bundle.bundle import Bundle
from pillars.bundle.calibration import apply
from pillars.config import Cost, Project
from pillars.errors import ConfigInvalid
from pillars.stores import Stores
from pillars.training import intervals, metrics
from pillars.training.calibrating import asked, theoretical, threshold
from pillars.training.fitting import Ground, fit, fit_scores
from pillars.training.gate import paired_gain
from pillars.training.refitting import refit
from pillars.training.rows import Read, Rows, subset
from pillars.training.splits import folds
from pillars.vocabulary import Judged
from tests.factories import CLASSES, COLUMNS, binary_project, classes_project, numbers_project
from tests.pillars.training.worlds import MONTHS, RECIPE, found, gathered, judged_at, readable

WEIGHTED = binary_project(
    columns={
        **COLUMNS,
        "number": {"type": "int", "role": ["key"], "nullable": False},
        "size": {"type": "float", "role": ["weight"], "nullable": False},
    }
)
MATRIX = {"on time": {"late": 1, "very late": 2}, "late": {"on time": 2, "very late": 1}, "very late": {"on time": 20, "late": 5}}
PLAIN = binary_project()


@pytest.fixture
def stores() -> Stores:
    return Stores()


def released(stores: Stores, project: Project, read: Read, until: str = "2013-03") -> tuple[Judged, Bundle, str]:
    judged = judged_at(stores, project, read, until, found(RECIPE, until))
    path, _, _, passed = refit(stores, project, read, MONTHS[: MONTHS.index(until) + 1], until, judged, {})
    return judged, Bundle.load(stores.var / path), passed.outcome


def weighted(rows: Rows, weights: np.ndarray) -> Rows:
    return replace(rows, weights=weights)


# ------------------------------------------------------------------------------------------------------------------------------ weights
def test_a_row_of_weight_two_counts_as_two_rows() -> None:
    rows = gathered(PLAIN, "2013-01")
    random = np.random.default_rng(1)
    counts = random.integers(1, 4, len(rows.y))
    p = np.clip(random.random(len(rows.y)), 0.01, 0.99)
    many = np.repeat(np.arange(len(rows.y)), counts)
    one = metrics.card(PLAIN, "m", "x", rows.y, p, rows.blocks, 0.3, counts.astype(np.float64))
    other = metrics.card(PLAIN, "m", "x", rows.y[many], p[many], rows.blocks[many], 0.3)
    for name, measure in one.measures.items():
        assert measure.value == pytest.approx(other.measures[name].value, abs=1e-12), name
        if name != "auc":  # its bins are quantiles of other rows
            assert (measure.low, measure.high) == pytest.approx((other.measures[name].low, other.measures[name].high), abs=1e-9), name
    gains = [
        paired_gain(PLAIN.gate, rows.y, np.full(len(p), 0.2), p, rows.blocks, 0, counts.astype(np.float64)),
        paired_gain(PLAIN.gate, rows.y[many], np.full(len(many), 0.2), p[many], rows.blocks[many], 0),
    ]
    assert (gains[0].value, gains[0].low) == pytest.approx((gains[1].value, gains[1].low), abs=1e-9)
    assert threshold(PLAIN.cost, 10, rows.y, p, counts.astype(float)) == threshold(PLAIN.cost, 10, rows.y[many], p[many])
    learned = [asked("sigmoid", rows.y, p, counts.astype(float)), asked("sigmoid", rows.y[many], p[many])]
    assert (learned[0]["a"], learned[0]["b"]) == pytest.approx((learned[1]["a"], learned[1]["b"]), abs=1e-6)


@pytest.mark.parametrize("project", [numbers_project(), classes_project(cost={"matrix": MATRIX})], ids=["numbers", "classes"])
def test_equal_weights_change_no_measure(project: Project) -> None:
    rows = gathered(project, "2013-01")
    p = rows.y + 0.5 if project.task == "regression" else np.random.default_rng(0).dirichlet([1, 1, 1], len(rows.y))
    laid = np.column_stack([p - 1, p + 1]) if project.task == "regression" else None
    plain = metrics.card(project, "m", "x", rows.y, p, rows.blocks, 0.5, None, laid)
    alike = metrics.card(project, "m", "x", rows.y, p, rows.blocks, 0.5, np.full(len(rows.y), 3.0), laid)
    for name, measure in plain.measures.items():
        same = alike.measures[name]
        assert (same.value, same.low, same.high) == pytest.approx((measure.value, measure.low, measure.high), rel=1e-9), name


def test_the_fit_follows_the_weights_and_threads_change_no_byte() -> None:
    rows = gathered(PLAIN, "2013-01")
    heavy = weighted(rows, np.where(rows.y > 0.5, 5.0, 1.0))
    plain, turned = (Ground(PLAIN, one) for one in (rows, heavy))
    assert fit(turned, RECIPE, 1) == fit(turned, RECIPE, 2) != fit(plain, RECIPE, 1)
    assert Ground(PLAIN, subset(heavy, np.arange(10))).rows.weights is not None


def test_weights_are_part_of_what_rows_are() -> None:
    from pillars.development import features
    from tests.factories import reading, rows_and_outcomes

    rows, outcomes = rows_and_outcomes(MONTHS[:2])
    sized = rows.append_column("size", [np.linspace(1, 2, rows.num_rows)])
    read = features.reader(WEIGHTED, "w", reading(sized, outcomes))
    one, both = read(["2013-01"]), read(MONTHS[:2])
    assert one.weights is not None
    assert both.weights is not None
    assert len(both.weights) == len(both.y) > len(one.weights)
    plain = features.reader(PLAIN, "w", reading(rows, outcomes))(["2013-01"])
    assert (plain.weights, plain.digest == one.digest) == (None, False)
    bad = rows.append_column("size", [np.where(np.arange(rows.num_rows) == 3, 0.0, 1.0)])
    with pytest.raises(ConfigInvalid, match="size is a weight, and in 1 of"):
        features.reader(WEIGHTED, "bad", reading(bad, outcomes))(["2013-01"])


# --------------------------------------------------------------------------------------------------------------------------- balance
@pytest.mark.parametrize("make", [binary_project, classes_project], ids=["binary", "multiclass"])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_balanced_classes_weigh_alike_and_come_back_as_shares(stores: Stores, make: Any, method: str) -> None:
    project = make(fit={"imbalance": "balanced"}, calibration={"method": method})
    ground = Ground(project, gathered(project, "2013-01"))
    weights = ground.weights_of(ground.rows)
    assert weights is not None
    totals = np.bincount(ground.rows.y.astype(int), weights=weights)
    assert totals == pytest.approx(np.full(len(totals), totals.mean()))
    judged, bundle, outcome = released(stores, project, readable(project))
    assert judged.recipe_decision, judged.recipe_decision.reason
    assert outcome == "accept", "its mean probabilities are those of the outcomes"
    rows = gathered(project, "2013-04")
    raw, said = bundle.raw(rows.columns), bundle.scores(rows.columns)
    assert metrics.losses("log_loss", rows.y, said).mean() < metrics.losses("log_loss", rows.y, raw).mean()
    bundle.check_golden()


@given(p=st.lists(st.floats(0.001, 0.999), min_size=1, max_size=20), heavy=st.floats(0.1, 50))
@settings(deadline=None, max_examples=50)
def test_what_weights_do_to_a_probability_is_undone(p: list[float], heavy: float) -> None:
    project = binary_project(fit={"imbalance": "balanced"}, calibration={"method": "sigmoid"})
    ground = Ground(project, gathered(project, "2013-01"))
    object.__setattr__(ground, "shares", np.array([1.0, heavy]))
    true = np.array(p)
    bent = heavy * true / (heavy * true + 1 - true)
    assert ground.fair(bent) == pytest.approx(true, abs=1e-9)


# ------------------------------------------------------------------------------------------------------------------------- directions
@pytest.mark.parametrize("make", [binary_project, numbers_project], ids=["binary", "regression"])
@pytest.mark.parametrize(("said", "sign"), [("increasing", 1), ("decreasing", -1)])
def test_scores_follow_the_declared_direction(make: Any, said: str, sign: int) -> None:
    from pillars.bundle import booster

    def steps(project: Project) -> np.ndarray:
        rows = gathered(project, "2013-01")
        ground = Ground(project, rows)
        fitted = booster.load(fit_scores(ground, replace(RECIPE, rounds=40)))
        some = {name: np.repeat(column[:40], 60) for name, column in rows.columns.items()}
        some["wind"] = np.tile(np.linspace(-4, 4, 60), 40)
        return np.diff(booster.scores(fitted, ground.encoder.encode(some)).reshape(40, 60), axis=1)

    held = steps(make(features={"monotone": {"wind": said}}))
    assert (sign * held >= 0).all()
    free = steps(make())
    assert (free > 0).any()
    assert (free < 0).any(), "without it the fit goes both ways"


# ----------------------------------------------------------------------------------------------------------------- named calibrations
def test_none_and_auto_give_the_same_bytes_where_auto_finds_nothing(stores: Stores) -> None:
    read = readable(PLAIN)
    auto, none = (judged_at(stores, binary_project(calibration={"method": m}), read, "2013-03", found(RECIPE)) for m in ("auto", "none"))
    assert auto.calibration == none.calibration == {"kind": "none"}
    assert auto.threshold == none.threshold
    assert binary_project(calibration={"method": "auto"}).digest() == PLAIN.digest()


@pytest.mark.parametrize("until", ["2013-01", "2013-02", "2013-03"])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_a_named_calibration_is_learned_however_few_periods_there_are(stores: Stores, until: str, method: str) -> None:
    project = binary_project(calibration={"method": method})
    judged = judged_at(stores, project, readable(project), until, found(RECIPE, until))
    assert judged.calibration["kind"] == method


@given(size=st.integers(1, 60), count=st.integers(1, 8))
def test_folds_hold_whole_blocks_in_a_row(size: int, count: int) -> None:
    blocks = np.sort(np.random.default_rng(size).integers(0, 20, size))
    fold = folds(blocks, count)
    assert (np.diff(fold) >= 0).all()
    assert all(len(set(fold[blocks == block])) == 1 for block in blocks)
    assert set(fold) == set(range(min(count, len(set(blocks)))))


@pytest.mark.parametrize("method", ["sigmoid", "isotonic"])
def test_classes_are_calibrated_one_against_the_rest(method: str) -> None:
    random = np.random.default_rng(3)
    true = random.dirichlet([1, 1, 1], 8000)
    y = (true.cumsum(axis=1) < random.random((8000, 1))).sum(axis=1).astype(np.float32)
    bent = true**2 / (true**2).sum(axis=1, keepdims=True)
    learned = json.loads(json.dumps(asked(method, y[:4000], bent[:4000])))
    said = apply(learned, bent[4000:])
    assert said.sum(axis=1) == pytest.approx(np.ones(4000))
    assert metrics.losses("log_loss", y[4000:], said).mean() < metrics.losses("log_loss", y[4000:], bent[4000:]).mean() - 0.02
    assert np.array_equal(said, np.concatenate([apply(learned, bent[i : i + 1]) for i in range(4000, 8000)]))


# ------------------------------------------------------------------------------------------------------------------------------- costs
@given(costs=st.tuples(st.floats(0, 10), st.floats(0, 10), st.floats(-10, 0), st.floats(-10, 0)), p=st.lists(st.floats(0, 1), min_size=1))
@settings(deadline=None)
def test_the_theoretical_threshold_is_where_both_answers_cost_alike(costs: tuple[float, ...], p: list[float]) -> None:
    cost = Cost(false_positive=costs[0], false_negative=costs[1], true_positive=costs[2], true_negative=costs[3])
    at, share = theoretical(cost), np.array(p)
    act = share * cost.true_positive + (1 - share) * cost.false_positive
    leave = share * cost.false_negative + (1 - share) * cost.true_negative
    chosen = np.where(share >= at, act, leave)
    assert chosen == pytest.approx(np.minimum(act, leave), abs=1e-6)


def test_gains_move_the_threshold_and_may_make_the_cost_negative() -> None:
    random = np.random.default_rng(0)
    p = random.random(20_000)
    y = (random.random(20_000) < p).astype(float)
    cost = Cost(false_positive=1, false_negative=0, true_positive=-9)
    assert threshold(cost, 10, y, p) == pytest.approx(0.1, abs=0.04)
    card = metrics.scorecard("m", "x", y, p, np.arange(20_000) // 100, 0.1, cost, 0, 200)
    assert card.measures["cost"].high < 0


@given(p=st.lists(st.tuples(*[st.floats(0.01, 1)] * 3), min_size=1, max_size=30))
@settings(deadline=None)
def test_the_cheapest_class_is_the_one_by_hand(p: list[tuple[float, ...]]) -> None:
    each = np.array(p) / np.array(p).sum(axis=1, keepdims=True)
    costs = np.array(classes_project(cost={"matrix": MATRIX}).cost.table(tuple(CLASSES)))
    by_hand = (each @ costs)[np.arange(len(each)), cheapest(costs, each)]
    assert by_hand == pytest.approx((each @ costs).min(axis=1), abs=1e-12)
    assert cheapest(costs, each).tolist() == [int(cheapest(costs, each[i : i + 1])[0]) for i in range(len(each))]


def test_a_bundle_says_what_is_expected_to_cost_least(stores: Stores) -> None:
    project = classes_project(cost={"matrix": MATRIX})
    judged, bundle, _ = released(stores, project, readable(project))
    rows = gathered(project, "2013-04")
    said = bundle.predict(rows.columns)
    assert said.probabilities is not None
    assert said.decision is not None
    table = np.array(project.cost.table(tuple(CLASSES)))
    y = rows.y.astype(int)
    mine = np.array([CLASSES.index(one) for one in said.decision])
    assert table[y, mine].mean() < table[y, said.probabilities.argmax(axis=1)].mean() - 0.1
    assert np.array_equal(said.score, said.probabilities[np.arange(len(mine)), mine])
    assert "cost" in judged.scorecards[0].measures
    assert judged.scorecards[0].measures["cost"].value < judged.scorecards[-1].measures["cost"].value


# --------------------------------------------------------------------------------------------------------------------------- intervals
@pytest.mark.parametrize("said", [{"method": "conformal"}, {"method": "cqr"}, {"method": "conformal", "by": "line"}], ids=str)
def test_numbers_get_intervals_that_hold_about_as_often_as_asked(stores: Stores, said: dict[str, str]) -> None:
    project = numbers_project(intervals={**said, "coverage": 0.8})
    judged, bundle, outcome = released(stores, project, readable(project))
    assert outcome == "accept"
    measured = judged.scorecards[0].measures
    assert 0.6 < measured["interval_coverage"].value < 0.95
    assert measured["interval_width"].low > 0
    rows = gathered(project, "2013-04")
    answer = bundle.predict(rows.columns)
    assert answer.bounds is not None
    low, high = answer.bounds.T
    assert ((low <= answer.score) & (answer.score <= high)).all()
    assert 0.6 < ((low <= rows.y) & (rows.y <= high)).mean() < 0.95
    assert list(bundle.outputs) == ["score", "low", "high"] == list(answer.columns(()))
    assert [one["name"] for one in bundle.schema["outputs"]] == ["score", "low", "high"]
    first = bundle.predict({name: column[:1] for name, column in rows.columns.items()})
    assert first.bounds is not None
    assert np.array_equal(first.bounds[0], answer.bounds[0])
    assert len(bundle.boosters) == 1, "a booster of quantiles has no say in the score"
    bundle.check_golden()


@given(n=st.integers(1, 300), coverage=st.sampled_from([0.5, 0.8, 0.9, 0.95]), seed=st.integers(0, 100))
@settings(deadline=None, max_examples=60)
def test_the_width_is_the_conformal_quantile(n: int, coverage: float, seed: int) -> None:
    away = np.random.default_rng(seed).exponential(size=n)
    place = int(np.ceil(round((n + 1) * coverage, 9)))
    width = intervals._quantile(away, None, coverage)
    assert width == (None if place > n else np.sort(away)[place - 1])
    assert width == intervals._quantile(away, np.full(n, 2.5), coverage)


def test_rows_of_one_world_are_covered_as_promised() -> None:
    random, held = np.random.default_rng(5), []
    for _ in range(300):
        away = np.abs(random.normal(size=101))
        width = intervals._quantile(away[:100], None, 0.9)
        assert width is not None
        held.append(away[100] <= width)
    assert 0.85 < np.mean(held) < 0.96


def test_a_group_has_its_own_width_and_strangers_that_of_all() -> None:
    interval = {"width": 1.0, "groups": ["A"], "widths": [3.0], "by": "line"}
    laid = bounds(interval, np.zeros(3), None, np.array(["A", "B", None], dtype=object))
    assert laid.tolist() == [[-3, 3], [-1, 1], [-1, 1]]


# -------------------------------------------------------------------------------------------------------------------- what is refused
@pytest.mark.parametrize(
    ("make", "sections", "problem"),
    [
        (
            binary_project,
            {"features": {"monotone": {"winde": "increasing"}}},
            "features.monotone: winde is not under features.numeric; nearest: wind",
        ),
        (binary_project, {"features": {"monotone": {"line": "increasing"}}}, "features.monotone: line is a category"),
        (classes_project, {"features": {"monotone": {"wind": "increasing"}}}, "cannot all follow one direction"),
        (
            numbers_project,
            {"features": {"monotone": {"wind": "increasing"}}, "gate": {"loss": "absolute_error"}},
            "boosters that minimize absolute errors do not keep to it",
        ),
        (binary_project, {"fit": {"imbalance": "balanced"}}, "say calibration.method: sigmoid or isotonic, not auto"),
        (numbers_project, {"fit": {"imbalance": "balanced"}}, "a number has no classes to balance"),
        (numbers_project, {"calibration": {"method": "sigmoid"}}, "and a number is none"),
        (binary_project, {"intervals": {"method": "cqr"}}, "intervals are of numbers"),
        (numbers_project, {"intervals": {"method": "cqr", "by": "wind"}}, "intervals.by: wind is not under features.categorical"),
        (binary_project, {"cost": {"true_positive": 9}}, "false_negative \\(3\\) costs less than true_positive \\(9\\)"),
        (binary_project, {"cost": {"matrix": MATRIX}}, "a binary target has no classes to confuse"),
        (classes_project, {"cost": {"matrix": {**MATRIX, "lat": {}}}}, "cost.matrix: lat is no class; nearest: late"),
        (classes_project, {"cost": {"matrix": {"late": MATRIX["late"]}}}, "nothing says what late costs where on time came true"),
        (binary_project, {"columns": {**COLUMNS, "w": {"type": "float", "role": ["weight"]}}}, "say nullable: false"),
        (
            binary_project,
            {"columns": {**COLUMNS, "w": {"type": "text", "role": ["weight"], "nullable": False}}},
            "a weight is a float or int",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(make: Any, sections: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        make(**sections)


def test_defaults_change_no_digest() -> None:
    said = binary_project(
        fit={"imbalance": "none"}, calibration={"method": "auto"}, intervals={"method": "none"}, features={"monotone": {}}
    )
    assert said.digest() == PLAIN.digest()
    assert said.choices == ()
