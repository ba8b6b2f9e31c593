"""Claims about slices: which are judged, what is found, and when the worst one refuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pillars.config import Project
from pillars.stores import Stores
from pillars.training import slices
from pillars.training.rows import Rows
from pillars.vocabulary import Slice
from tests.factories import binary_project, classes_project, numbers_project
from tests.pillars.training.worlds import RECIPE, found, gathered, judged_at, readable

DECLARED = binary_project(slices={"columns": ["line"], "min_rows": 60, "discover": False}, gate={"worst_slice": 0.05})


@pytest.fixture(scope="module")
def judged() -> Rows:
    return gathered(DECLARED, "2013-04")


@pytest.fixture(scope="module")
def many() -> Rows:
    return gathered(DECLARED, "2013-04", rows=6000)


def scores(rows: Rows, seed: int = 0) -> np.ndarray:
    return np.clip(0.3 + 0.3 * rows.y + np.random.default_rng(seed).normal(0, 0.2, len(rows.y)), 0.01, 0.99)


def sliced(project: Project, rows: Rows, challenger: np.ndarray, champion: np.ndarray) -> tuple[Slice, ...]:
    return slices.sliced(project, rows, {"challenger": challenger, "champion": champion})[0]


def outcome(project: Project, rows: Rows, challenger: np.ndarray, champion: np.ndarray) -> str:
    (condition,) = slices.worst(project, *slices.sliced(project, rows, {"challenger": challenger, "champion": champion}))
    return condition.decision.outcome


def test_a_declared_slice_says_what_its_rows_say(judged: Rows) -> None:
    p, q = scores(judged), scores(judged, 1)
    named = {one.name: one for one in sliced(DECLARED, judged, p, q)}
    assert set(named) == {"line = A", "line = B", "line = C", "line = D"}
    one, rows = named["line = B"], judged.aside["line"] == "B"
    loss = -np.log(np.where(judged.y > 0.5, p, 1 - p))[rows].mean()
    other = -np.log(np.where(judged.y > 0.5, q, 1 - q))[rows].mean()
    assert (one.rows, one.blocks) == (rows.sum(), len(np.unique(judged.blocks[rows])))
    assert (one.loss.value, one.other.value) == (pytest.approx(loss), pytest.approx(other))
    assert one.increase.value == pytest.approx(loss - other)
    assert one.surely < one.increase.low < one.increase.value < one.increase.high


def test_weights_count_in_a_slice_and_not_in_its_support(judged: Rows) -> None:
    weights = np.where(judged.aside["line"] == "B", 3.0, 1e-6) * np.random.default_rng(0).gamma(2.0, 1.0, len(judged.y))
    p, q = scores(judged), scores(judged, 1)
    before = {one.name: one for one in sliced(DECLARED, judged, p, q)}
    after = {one.name: one for one in sliced(DECLARED, replace(judged, weights=weights), p, q)}
    rows = judged.aside["line"] == "B"
    loss = -np.log(np.where(judged.y > 0.5, p, 1 - p))
    assert after["line = B"].loss.value == pytest.approx(np.average(loss[rows], weights=weights[rows]))
    assert {n: one.rows for n, one in after.items()} == {n: one.rows for n, one in before.items()}


def test_support_is_asked_for_in_rows_and_in_blocks(judged: Rows) -> None:
    p = scores(judged)
    few = DECLARED.model_copy(update={"slices": DECLARED.slices.model_copy(update={"min_rows": 10_000})})
    assert sliced(few, judged, p, p) == ()
    blocks = DECLARED.model_copy(update={"slices": DECLARED.slices.model_copy(update={"min_blocks": 29})})
    assert sliced(blocks, judged, p, p) == ()
    assert outcome(few, judged, p, p) == "inconclusive"


def test_rows_without_a_value_are_a_slice_and_one_that_holds_all_rows_is_none(judged: Rows) -> None:
    missing = replace(judged, aside={"line": np.where(judged.aside["line"] == "A", None, "x")})
    assert {one.name for one in sliced(DECLARED, missing, scores(judged), scores(judged, 1))} == {"line = null", "line = x"}
    whole = replace(judged, aside={"line": np.full(len(judged.y), "x", dtype=object)})
    assert sliced(DECLARED, whole, scores(judged), scores(judged, 1)) == ()


def test_a_value_of_several_lines_makes_a_name_of_one_line(judged: Rows) -> None:
    odd = replace(judged, aside={"line": np.where(judged.aside["line"] == "A", "a\n| b |\x00 `c`" + "x" * 500, "\ud800")})
    names = [one.name for one in sliced(DECLARED, odd, scores(judged), scores(judged, 1))]
    assert [name for name in names if name.startswith("line = a | b | `c`xx")]
    assert "line = blank" in names
    assert max(map(len, names)) < 100
    assert "".join(names).isprintable()


def test_a_column_that_earlier_periods_did_not_have_is_null_there() -> None:
    columns = {n: c.model_dump(by_alias=True) for n, c in DECLARED.columns.items()}
    project = binary_project(columns=columns | {"depot": {"type": "category", "role": ["info"]}}, slices={"columns": ["depot"]})
    assert set(gathered(project, "2013-04").aside["depot"]) == {None}


def test_pairs_are_crossed(judged: Rows) -> None:
    project = binary_project(slices={"columns": ["line", "hour"], "pairs": [["line", "hour"]], "min_rows": 8, "discover": False})
    rows = gathered(project, "2013-04")
    names = [one.name for one in sliced(project, rows, scores(rows), scores(rows, 1))]
    assert [name for name in names if name.startswith("line = ") and ", hour = " in name]


def test_harm_in_one_slice_is_refused_though_the_mean_gained(judged: Rows) -> None:
    p = scores(judged)
    worse = np.where(judged.aside["line"] == "C", 1 - p, np.where(judged.y > 0.5, 0.99, 0.01))
    assert outcome(DECLARED, judged, worse, p) == "refuse"
    assert outcome(DECLARED, judged, p, p) == "accept"


def test_luck_is_not_refused(judged: Rows) -> None:
    """Two models of equal quality, forty times: with a margin of 0, one in twenty may be refused."""
    project = DECLARED.model_copy(update={"gate": DECLARED.gate.model_copy(update={"worst_slice": 0.0})})
    outcomes = [outcome(project, judged, scores(judged, seed), scores(judged, seed + 100)) for seed in range(40)]
    assert outcomes.count("refuse") <= 4


def test_a_slice_that_nobody_declared_is_discovered_and_judged_on_other_blocks(many: Rows) -> None:
    project = binary_project(slices={"min_rows": 150}, gate={"worst_slice": 0.05})
    p = scores(many)
    harmed = many.columns["load"] > 4
    worse = np.where(harmed, 1 - p, p)
    top = sliced(project, many, worse, p)[0]
    assert top.found == "discovered"
    assert "load > " in top.name
    assert top.rows < 0.6 * harmed.sum() + 150, "every other block"
    assert outcome(project, many, worse, p) == "refuse"


def test_discovery_does_not_find_what_is_not_there(many: Rows) -> None:
    project = binary_project(slices={"min_rows": 150}, gate={"worst_slice": 0.0})
    assert [outcome(project, many, scores(many, s), scores(many, s + 100)) for s in range(10)].count("refuse") <= 1


def test_discovery_asks_nothing_of_confidential_columns(many: Rows) -> None:
    columns = {n: c.model_dump(by_alias=True) for n, c in DECLARED.columns.items()}
    project = binary_project(columns=columns | {"load": columns["load"] | {"class": "sensitive"}}, slices={"min_rows": 150})
    p = scores(many)
    names = [one.name for one in sliced(project, many, np.where(many.columns["load"] > 4, 1 - p, p), p)]
    assert names
    assert not [name for name in names if "load" in name]


def test_columns_aside_change_no_digest_and_no_feature(judged: Rows) -> None:
    plain = gathered(binary_project(), "2013-04")
    assert plain.digest == judged.digest
    assert set(judged.aside) == {"line"}
    assert (plain.columns.keys(), plain.aside) == (judged.columns.keys(), {})


@pytest.mark.parametrize(
    "project",
    [
        pytest.param(binary_project(), id="one of two"),
        pytest.param(classes_project(), id="several"),
        pytest.param(numbers_project(), id="number"),
    ],
)
@pytest.mark.parametrize("comparators", [("linear", "constant"), ("constant",), ()])
def test_without_a_champion_the_first_comparator_is_what_a_slice_is_held_against(project: Project, comparators: tuple[str, ...]) -> None:
    project = project.model_copy(update={"gate": project.gate.model_copy(update={"comparators": comparators})})
    made = judged_at(Stores(), project, readable(project, rows=1500), "2013-03", found(RECIPE))
    first = [card.model for card in made.scorecards][1:2]
    assert {one.against for one in made.slices} == set(first)
