"""Claims about what is measured of a challenger beyond the mean: slices, groups, behaviour, contributions."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pillars.config import Project
from pillars.errors import ConfigInvalid
from pillars.stores import Stores
from pillars.training import behaving, explaining, fairness, metrics, own, slices
from pillars.training.rows import Rows
from tests.factories import binary_project
from tests.pillars.training.worlds import gathered, readable, released

GROUPED = binary_project(
    fairness={"groups": ["line", "stop"], "min_rows": 20, "min_outcomes": 1}, slices={"columns": ["line"], "min_rows": 60}
)


@pytest.fixture(scope="module")
def judged() -> Rows:
    return gathered(GROUPED, "2013-04")


def scores(rows: Rows, seed: int = 0) -> np.ndarray:
    return np.clip(0.3 + 0.3 * rows.y + np.random.default_rng(seed).normal(0, 0.2, len(rows.y)), 0.01, 0.99)


def test_columns_aside_change_no_digest_and_no_feature(judged: Rows) -> None:
    plain = gathered(binary_project(), "2013-04")
    assert plain.digest == judged.digest
    assert set(judged.aside) == {"line", "stop"}
    assert plain.columns.keys() == judged.columns.keys()


def test_differences_are_fairlearns(judged: Rows) -> None:
    fairlearn = pytest.importorskip("fairlearn.metrics")
    p = scores(judged)
    for found in fairness.compared(GROUPED, judged, p, 0.5)[:2]:
        given = {"y_true": judged.y > 0.5, "y_pred": p >= 0.5, "sensitive_features": judged.aside[found.by]}
        for name, other in (
            ("demographic_parity_difference", fairlearn.demographic_parity_difference),
            ("equalised_odds_difference", fairlearn.equalized_odds_difference),
            ("equal_opportunity_difference", fairlearn.equal_opportunity_difference),
        ):
            measure = found.differences[name]
            assert measure.value == pytest.approx(other(**given))
            assert measure.low <= measure.value <= measure.high


@pytest.mark.parametrize(("until", "outcome"), [("2013-04", "accept"), ("2013-03", "refuse")])
def test_a_waiver_ends_with_its_period(judged: Rows, until: str, outcome: str) -> None:
    waiver = {
        "group": "line",
        "metric": "demographic_parity_difference",
        "until": until,
        "reason": "a reason of some length",
        "by": "A. M.",
    }
    said = {"groups": ["line"], "limits": {"demographic_parity_difference": 0.01}, "min_rows": 20, "waivers": [waiver]}
    project = binary_project(fairness=said)
    unfair = np.where(judged.aside["line"] == "A", 0.9, 0.1)
    (condition,) = fairness.held(project, fairness.compared(project, judged, unfair, 0.5), "2013-04")
    assert condition.decision.outcome == outcome
    assert until in condition.decision.reason


def test_groups_of_a_sensitive_column_are_numbered(judged: Rows) -> None:
    columns = {n: c.model_dump(by_alias=True) for n, c in GROUPED.columns.items()}
    project = binary_project(
        columns=columns | {"stop": columns["stop"] | {"class": "sensitive"}}, fairness={"groups": ["stop"], "min_rows": 5}
    )
    (found,) = fairness.compared(project, judged, scores(judged), 0.5)
    assert found.groups
    assert not any("stop 1" in group.name for group in found.groups)


def worst_of(project: Project, rows: Rows, challenger: np.ndarray, champion: np.ndarray) -> str:
    found, many = slices.sliced(project, rows, {"challenger": challenger, "champion": champion})
    (condition,) = slices.worst(project, found, many)
    return condition.decision.outcome


def test_harm_in_one_slice_is_refused_and_luck_is_not(judged: Rows) -> None:
    project = GROUPED.model_copy(update={"gate": GROUPED.gate.model_copy(update={"worst_slice": 0.05})})
    p = scores(judged)
    harmed = np.where(judged.aside["line"] == "C", 1 - p, p)
    assert worst_of(project, judged, harmed, p) == "refuse"
    assert worst_of(project, judged, p, p) == "accept"
    assert all(worst_of(project, judged, scores(judged, seed), scores(judged, seed + 100)) == "accept" for seed in range(20))


def test_the_sum_of_the_contributions_is_the_margin_and_behaviour_is_seen(judged: Rows) -> None:
    behaviour = [
        {"name": "load", "kind": "direction", "column": "load", "add": 1.0, "share": 1.0},
        {"name": "nothing moves", "kind": "invariance", "column": "load", "add": 3.0, "most": 1e-5},
        {"name": "certain", "kind": "minimum", "rows": [{"load": 1.0}], "above": 0.99},
    ]
    project = binary_project(behaviour=behaviour)
    bundle = released(Stores(), project, readable(project), "2013-04")
    margin = bundle.contributions(judged.columns).sum(axis=1)
    assert 1 / (1 + np.exp(-margin)) == pytest.approx(bundle.raw(judged.columns), abs=1e-5)
    held = behaving.behaved(project, bundle, judged)
    assert [one.decision.outcome for one in held] == ["accept", "refuse", "refuse"]
    assert "load = " in held[1].decision.reason
    found = explaining.explain(project, bundle, judged)
    assert found.reliance[0].column == "load"
    assert found.reliance[0].permutation > 0
    assert {"load"} <= found.along.keys()


def test_own_functions_are_named_with_what_they_did() -> None:
    rows = gathered(GROUPED, "2013-04")
    good = GROUPED.model_copy(update={"metrics": {"gap": "numpy.subtract"}})
    card = metrics.card(good, "challenger", "2013-04", rows.y, scores(rows), rows.blocks, 0.5)
    assert card.measures["gap"].value == pytest.approx(float((rows.y - scores(rows)).mean()))
    for function, said in (("numpy.subtrac", "nearest: subtract"), ("nowhere.at_all", "no module nowhere"), ("operator.neg", "failed")):
        with pytest.raises(ConfigInvalid, match=said):
            own.measured(good.model_copy(update={"metrics": {"gap": function}}), "gap", rows.y, rows.y)
    assert replace(card).rows == len(rows.y)
