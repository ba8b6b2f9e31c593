"""Claims about what a challenger must hold beside its gate."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pillars.config import Gate, Limit
from pillars.training.conditions import conditions
from pillars.vocabulary import Candidate, Condition, Decision, Measure, Recipe, Scorecard
from tests.factories import binary_project

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
