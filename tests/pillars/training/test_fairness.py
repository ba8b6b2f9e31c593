"""Claims about rates by group: fairlearn's figures, cells that are too small, limits, and waivers that end."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.config import Project
from pillars.training import fairness
from pillars.training.rows import Rows
from pillars.vocabulary import Condition, Fairness
from tests.clone import CHECKOUT
from tests.factories import binary_project
from tests.pillars.training.worlds import gathered

GROUPED = binary_project(fairness={"groups": ["line", "stop"], "min_rows": 20, "min_outcomes": 1})
WAIVER = {"group": "line", "metric": "demographic_parity_difference", "reason": "a reason of some length", "by": "A. M."}


@pytest.fixture(scope="module")
def judged() -> Rows:
    return gathered(GROUPED, "2013-04")


def scores(rows: Rows, seed: int = 0) -> np.ndarray:
    return np.clip(0.3 + 0.3 * rows.y + np.random.default_rng(seed).normal(0, 0.2, len(rows.y)), 0.01, 0.99)


def unfair(rows: Rows) -> np.ndarray:
    return np.where(rows.aside["line"] == "A", 0.9, 0.1)


def people() -> tuple[Project, Rows]:
    """The people of `projects/adult`, each a block of its own."""
    table = pq.read_table(CHECKOUT / "projects" / "adult" / "people.parquet").slice(0, 10_000)
    aside = {"line": table["sex"].to_numpy(), "stop": table["race"].to_numpy()}
    y = table["over_50k"].to_numpy().astype(np.float64)
    return GROUPED, Rows(
        table.select(["person"]), {}, y, np.arange(len(y)), "", table["stands_for"].to_numpy().astype(np.float64), aside=aside
    )


def trams(weighted: bool) -> tuple[Project, Rows]:
    rows = gathered(GROUPED, "2013-04")
    return GROUPED, replace(rows, weights=np.random.default_rng(5).gamma(1.0, 2.0, len(rows.y)) + 0.01) if weighted else rows


@pytest.mark.parametrize(
    "world",
    [pytest.param(lambda: trams(False), id="trams"), pytest.param(lambda: trams(True), id="weighted"), pytest.param(people, id="adult")],
)
def test_rates_and_differences_are_fairlearns(world: Any) -> None:
    from fairlearn import metrics as fairlearn

    project, rows = world()
    p = scores(rows)
    for found in fairness.compared(project, rows, p, 0.5)[:2]:
        given: dict[str, Any] = {"y_true": rows.y > 0.5, "y_pred": p >= 0.5, "sensitive_features": rows.aside[found.by]}
        weights = {} if rows.weights is None else {"sample_weight": rows.weights}
        assert found.small == 0
        for name, whole in (
            ("demographic_parity_difference", fairlearn.demographic_parity_difference),
            ("equalised_odds_difference", fairlearn.equalized_odds_difference),
            ("equal_opportunity_difference", fairlearn.equal_opportunity_difference),
        ):
            measure = found.differences[name]
            assert measure.value == pytest.approx(whole(**given, **weights), abs=1e-12)
            assert measure.low <= measure.value <= measure.high
        for name, rate in (
            ("selection_rate", fairlearn.selection_rate),
            ("tpr", fairlearn.true_positive_rate),
            ("fpr", fairlearn.false_positive_rate),
        ):
            frame = fairlearn.MetricFrame(metrics=rate, sample_params=weights, **given)
            for group in found.groups:
                assert group.rates[name].value == pytest.approx(frame.by_group[group.name.removeprefix(f"{found.by} = ")], abs=1e-12)


def test_an_interval_holds_the_true_difference_as_often_as_it_says() -> None:
    """Two groups that are acted on in 30 % and 50 % of their rows: 100 samples, 95 asked for."""
    project, held, random = binary_project(fairness={"groups": ["line"]}), 0, np.random.default_rng(1)
    for _ in range(100):
        line = random.integers(0, 2, 1000)
        p = (random.random(1000) < np.where(line == 1, 0.5, 0.3)).astype(float)
        rows = Rows(pa.table({}), {}, random.integers(0, 2, 1000).astype(float), np.arange(1000), "", aside={"line": line.astype(str)})
        measure = fairness.compared(project, rows, p, 0.5)[0].differences["demographic_parity_difference"]
        held += measure.low <= 0.2 <= measure.high
    assert 88 <= held <= 100


def test_a_cell_that_is_too_small_is_counted_and_not_compared(judged: Rows) -> None:
    aside = {**judged.aside, "line": np.where(np.arange(len(judged.y)) < 19, "new", judged.aside["line"])}
    p = np.where(aside["line"] == "new", 1.0, scores(judged))
    (found, _, crossed) = fairness.compared(GROUPED, replace(judged, aside=aside), p, 0.5)
    assert (found.small, crossed.by) == (1, "line x stop")
    assert "line = new" not in [group.name for group in found.groups]
    assert found.differences["demographic_parity_difference"].value < 0.5


def test_a_group_without_outcomes_enough_has_no_rate_of_them(judged: Rows) -> None:
    project = binary_project(fairness={"groups": ["line"], "min_rows": 20, "min_outcomes": 10})
    y = np.where(judged.aside["line"] == "A", 0.0, judged.y)
    (found,) = fairness.compared(project, replace(judged, y=y), scores(judged), 0.5)
    rates = {group.name: set(group.rates) for group in found.groups}
    assert rates["line = A"] == {"selection_rate", "fpr"}
    assert rates["line = B"] == {"selection_rate", "fpr", "tpr"}


def test_rows_without_a_group_are_a_group(judged: Rows) -> None:
    aside = {**judged.aside, "line": np.where(judged.aside["line"] == "A", None, judged.aside["line"])}
    found, *_ = fairness.compared(GROUPED, replace(judged, aside=aside), scores(judged), 0.5)
    assert "line = null" in [group.name for group in found.groups]


def held(judged: Rows, p: np.ndarray, **said: Any) -> Condition:
    project = binary_project(
        fairness={"groups": ["line"], "limits": {"demographic_parity_difference": 0.3}, "min_rows": 20, "min_outcomes": 1} | said
    )
    (condition,) = fairness.held(project, fairness.compared(project, judged, p, 0.5), "2013-04")
    return condition


def test_a_limit_asks_for_the_whole_interval(judged: Rows) -> None:
    apart = held(judged, unfair(judged))
    assert (apart.name, apart.decision.outcome) == ("demographic_parity_difference of line", "refuse")
    alike = np.full(len(judged.y), 0.9)
    assert held(judged, alike).decision.outcome == "accept"
    near = fairness.compared(GROUPED, judged, scores(judged), 0.5)[0].differences["demographic_parity_difference"].value
    assert held(judged, scores(judged), limits={"demographic_parity_difference": near}).decision.outcome == "inconclusive"


def test_one_group_alone_is_inconclusive_and_not_fair(judged: Rows) -> None:
    one = replace(judged, aside={"line": np.full(len(judged.y), "A", dtype=object)})
    said = held(one, scores(one)).decision
    assert (said.outcome, "fewer than two groups" in said.reason) == ("inconclusive", True)


@pytest.mark.parametrize(
    ("until", "outcome", "said"),
    [
        pytest.param("2013-05", "accept", "refuse, waived until 2013-05 by A. M.: a reason of some length", id="holds"),
        pytest.param("2013-04", "accept", "waived until 2013-04", id="its last period"),
        pytest.param("2013-03", "refuse", "the waiver by A. M. ended with 2013-03", id="ended"),
        pytest.param("2012-12", "refuse", "ended with 2012-12", id="ended last year"),
        pytest.param("2013-9", "refuse", "ends with 2013-9, no period such as 2013-04", id="written otherwise: later as text"),
        pytest.param("never", "refuse", "ends with never, no period such as 2013-04", id="no period"),
    ],
)
def test_a_waiver_ends_with_its_period(judged: Rows, until: str, outcome: str, said: str) -> None:
    decision = held(judged, unfair(judged), waivers=[{**WAIVER, "until": until}]).decision
    assert decision.outcome == outcome
    assert said in decision.reason


def test_of_several_waivers_the_last_one_counts(judged: Rows) -> None:
    both = [{**WAIVER, "until": "2013-06", "by": "B. N."}, {**WAIVER, "until": "2013-02"}]
    assert "until 2013-06 by B. N." in held(judged, unfair(judged), waivers=both).decision.reason


def test_a_waiver_waives_its_own_group_and_difference_alone(judged: Rows) -> None:
    project = binary_project(
        fairness={
            "groups": ["line", "stop"],
            "limits": {"demographic_parity_difference": 0.01, "fpr_difference": 0.01},
            "min_rows": 20,
            "min_outcomes": 1,
            "waivers": [{**WAIVER, "until": "2013-04"}],
        }
    )
    conditions = fairness.held(project, fairness.compared(project, judged, unfair(judged), 0.5), "2013-04")
    assert [one.name for one in conditions if one.decision] == ["demographic_parity_difference of line"]


def test_a_limit_that_holds_needs_no_waiver_and_says_nothing_of_it(judged: Rows) -> None:
    said = held(judged, np.full(len(judged.y), 0.9), waivers=[{**WAIVER, "until": "2013-01"}]).decision
    assert said
    assert "waive" not in said.reason


@pytest.mark.parametrize("kind", ["sensitive", "personal"])
def test_groups_of_a_confidential_column_are_numbered(judged: Rows, kind: str) -> None:
    columns = {n: c.model_dump(by_alias=True) for n, c in GROUPED.columns.items()}
    features = {"categorical": ["line"]}
    project = binary_project(
        columns=columns | {"stop": columns["stop"] | {"class": kind, "role": ["info"]}},
        features=features,
        fairness={"groups": ["stop"], "min_rows": 5},
    )
    (found,) = fairness.compared(project, judged, scores(judged), 0.5)
    assert [group.name for group in found.groups][:2] == ["stop #1", "stop #2"]
    assert "stop 1" not in repr(found)


def test_no_row_and_one_row_are_no_groups() -> None:
    project = binary_project(fairness={"groups": ["line"]})
    one = Rows(pa.table({}), {}, np.ones(1), np.zeros(1, dtype=np.int64), "", aside={"line": np.array(["A"], dtype=object)})
    assert fairness.compared(project, one, np.ones(1), 0.5) == (Fairness("line", (), {}, 1),)
