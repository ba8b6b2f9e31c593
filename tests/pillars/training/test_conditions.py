"""Claims about what a challenger must hold beside its gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from pillars.bundle.bundle import Bundle
from pillars.config import MEASURES, Gate, Limit, Project
from pillars.stores import Stores
from pillars.training.conditions import _quick, conditions, of_bundle
from pillars.vocabulary import Candidate, Condition, Decision, Measure, Recipe, Scorecard
from tests.factories import CLASSES, binary_project, classes_project, numbers_project
from tests.pillars.training.worlds import RECIPE, found, judged_at, readable, released

PROJECT = binary_project()
CARD = Scorecard("challenger", "2013-05", 5000, 900, {"auc": Measure(0.74, 0.72, 0.76), "log_loss": Measure(0.45, 0.43, 0.47)})


@pytest.mark.parametrize(
    ("measure", "limit", "outcome"),
    [
        pytest.param("auc", Limit(least=0.7), "accept", id="surely above"),
        pytest.param("auc", Limit(least=0.75), "inconclusive", id="the limit lies in the interval"),
        pytest.param("auc", Limit(least=0.8), "refuse", id="surely below"),
        pytest.param("log_loss", Limit(most=0.5), "accept", id="surely under the most"),
        pytest.param("log_loss", Limit(most=0.4), "refuse", id="surely over the most"),
        pytest.param("ece", Limit(most=0.1), "inconclusive", id="no such measure"),
    ],
)
def test_a_limit_asks_for_the_whole_interval(measure: str, limit: Limit, outcome: str) -> None:
    (said,) = conditions(PROJECT.model_copy(update={"gate": Gate(limits={measure: limit})}), CARD)
    assert (said.name, said.decision.outcome) == (measure, outcome)


def test_one_condition_that_does_not_hold_keeps_a_candidate_from_release() -> None:
    recipe = Recipe("prior", {}, 10, 0)
    held, lost = Condition("auc", Decision.accept("high")), Condition("ece", Decision.inconclusive("wide"))
    made = Candidate("p", "t", "run", "v", recipe, "path", "sha", "t", Decision.accept("a"), Decision.accept("b"), conditions=(held,))
    assert made.releasable == Decision.accept("b")
    assert replace(made, conditions=(held, lost)).releasable == Decision.inconclusive("ece: wide")
    assert not replace(made, refresh_decision=Decision.refuse("worse")).releasable


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def bundle(stores: Stores) -> Bundle:
    return released(stores, PROJECT, readable(PROJECT), "2013-02")


def of(bundle: Bundle, **asked: object) -> dict[str, str]:
    return {said.name: said.decision.outcome for said in of_bundle(binary_project(gate=asked), bundle)}


def test_a_bundle_may_be_held_to_its_size_and_its_speed(bundle: Bundle) -> None:
    fast = {"one_row": 10_000.0, "thousand_rows": 10_000.0}
    names = ("size_mb", "latency_ms of 1", "latency_ms of 1000")
    assert of(bundle, size_mb=100, latency_ms=fast) == dict.fromkeys(names, "accept")
    assert of(bundle, size_mb=1e-6, latency_ms=dict.fromkeys(fast, 1e-6)) == dict.fromkeys(names, "refuse")
    assert of(bundle) == {}


@pytest.mark.parametrize(
    ("taken", "outcome"),
    [
        pytest.param((0.9, 0.8), "accept", id="the best median holds it"),
        pytest.param((1.2, 0.8), "inconclusive", id="a busy machine may be the cause"),
        pytest.param((1.4, 1.1), "refuse", id="not one call was fast enough"),
    ],
)
def test_one_slow_moment_refuses_nobody(taken: tuple[float, float], outcome: str) -> None:
    assert _quick(1.0, taken).outcome == outcome


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        pytest.param({"acu": {"least": 0.7}}, "gate.limits: acu is no measure of this scorecard; nearest: auc", id="no such measure"),
        pytest.param({"rmse": {"most": 3}}, "gate.limits: rmse is no measure of this scorecard", id="of another task"),
        pytest.param({"auc": {"least": 0.9, "most": 0.1}}, "nothing is at least 0.9 and at most 0.1", id="nothing holds it"),
        pytest.param({"auc": {}}, "say least or most", id="nothing breaks it"),
    ],
)
def test_a_limit_that_would_keep_every_candidate_or_none_is_refused(limits: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        binary_project(gate={"limits": limits})


@pytest.mark.parametrize(
    "project",
    [
        pytest.param(binary_project(), id="one of two"),
        pytest.param(classes_project(cost={"matrix": {a: {b: 1 for b in CLASSES if b != a} for a in CLASSES}}), id="one of several"),
        pytest.param(numbers_project(intervals={"method": "conformal"}), id="a number"),
    ],
)
def test_every_measure_that_may_be_limited_is_on_the_scorecard(project: Project) -> None:
    read = readable(project)
    judged = judged_at(Stores(), project, read, "2013-03", found(RECIPE))
    assert set(judged.scorecards[0].measures) == set(MEASURES[project.task])
