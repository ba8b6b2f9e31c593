"""Claims about a project's own Python in judging: what it may give, and what is said of what it may not."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pillars.config import Project
from pillars.errors import ConfigInvalid
from pillars.stores import Stores
from pillars.training import metrics, own
from pillars.training.conditions import conditions, policy
from pillars.vocabulary import Measure, Scorecard
from tests.factories import binary_project, classes_project
from tests.pillars.training.worlds import RECIPE, found, gathered, judged_at, readable

CODE = '''"""Own Python."""
import numpy as np
from pillars.vocabulary import Decision, Recipe

def per_row(y, p): return p - y
def figure(y, p): return float(np.median(p))
def spoils(y, p):
    y[:] = 0
    p[:] = 0
    return y
def fails(y, p): raise KeyError("postgresql://reader:geheim@shop/db")
def exits(y, p): raise SystemExit(3)
def short(y, p): return p[:-1]
def words(y, p): return "good"
def nothing(y, p): return None
def endless(y, p): return float("inf")
def some_nan(y, p): return np.where(np.arange(len(y)) == 0, np.nan, p)
def refuses(cards): return Decision.refuse(f"{cards[0].model} of {len(cards)}")
def yes(cards): return True
def best(project): return Recipe("x", {"eta": 0.3}, 5, project.search.seed)
def none_at_all(project): return Recipe("x", {"eta": 0.3}, 0, 0)
def no_recipe(project): return {"eta": 0.3}
NUMBER = 4
'''


@pytest.fixture(autouse=True)
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_code.py").write_text(CODE)
    (tmp_path / "own_broken.py").write_text("import not_there_at_all\n")
    (tmp_path / "own_torn.py").write_text("def x(:\n")
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_code", "own_broken", "own_torn"):
        monkeypatch.delitem(sys.modules, name, raising=False)


def measuring(function: str, **sections: Any) -> Project:
    return binary_project(metrics={"mine": function}, **sections)


def mine(function: str) -> Measure:
    project = measuring(function)
    rows = gathered(project, "2013-04")
    p = np.clip(0.3 + 0.3 * rows.y, 0, 1)
    return metrics.card(project, "challenger", "2013-04", rows.y, p, rows.blocks, 0.5).measures["mine"]


def test_values_per_row_are_a_mean_and_one_figure_is_itself_both_with_intervals() -> None:
    rows = gathered(binary_project(), "2013-04")
    per_row, figure = mine("own_code.per_row"), mine("own_code.figure")
    assert per_row.value == pytest.approx(float((0.3 - 0.7 * rows.y).mean()))
    assert per_row.low < per_row.value < per_row.high
    assert figure.value == pytest.approx(0.3)
    assert figure.low <= figure.value <= figure.high


def test_an_own_measure_may_be_limited_and_others_keep_theirs() -> None:
    project = measuring("own_code.per_row", gate={"limits": {"mine": {"least": -0.9, "most": 0.9}}})
    made = judged_at(Stores(), project, readable(project), "2013-03", found(RECIPE))
    assert [(one.name, one.decision.outcome) for one in made.conditions] == [("mine", "accept")]
    assert all("mine" in card.measures for card in made.scorecards)
    assert "log_loss" in made.scorecards[0].measures
    assert conditions(project, made.scorecards[0])


def test_what_it_changes_changes_nothing_here() -> None:
    project, rows = measuring("own_code.spoils"), gathered(binary_project(), "2013-04")
    y, p = rows.y.copy(), np.full(len(rows.y), 0.5)
    own.measured(project, "mine", y, p)
    assert (y.tolist(), set(p)) == (rows.y.tolist(), {0.5})


@pytest.mark.parametrize(
    ("function", "said"),
    [
        pytest.param("own_code.per_rows", "own_code has no function per_rows; nearest: per_row", id="a slip"),
        pytest.param("own_code.NUMBER", "own_code has no function NUMBER", id="no function"),
        pytest.param("nowhere.at_all", "there is no module nowhere, where nowhere.at_all was looked for", id="no module"),
        pytest.param("own_broken.x", "own_broken needs the module not_there_at_all, which is not installed", id="needs another"),
        pytest.param("own_torn.x", "own_torn cannot be imported (SyntaxError", id="no Python"),
        pytest.param("own_code.fails", "own_code.fails failed (KeyError", id="fails"),
        pytest.param("own_code.exits", "own_code.exits failed (SystemExit", id="ends the process"),
        pytest.param("own_code.short", "finite values, one for each row, or one finite figure, not ndarray of shape", id="a row less"),
        pytest.param("own_code.words", "one finite figure, not str", id="words"),
        pytest.param("own_code.nothing", "one finite figure, not NoneType", id="nothing"),
        pytest.param("own_code.endless", "one finite figure, not float", id="infinite"),
        pytest.param("own_code.some_nan", "finite values", id="a NaN"),
        pytest.param("own_code.best", "own_code.best failed (TypeError", id="other arguments"),
    ],
)
def test_what_is_no_measure_is_said_in_one_line(function: str, said: str) -> None:
    with pytest.raises(ConfigInvalid) as caught:
        mine(function)
    (problem,) = caught.value.problems
    assert problem.startswith("metrics.mine: ")
    assert said in problem
    assert "\n" not in problem
    assert "geheim" not in problem


def test_an_exception_is_not_quoted_where_columns_are_sensitive() -> None:
    columns = {n: c.model_dump(by_alias=True) for n, c in binary_project().columns.items()}
    project = measuring("own_code.fails", columns=columns | {"load": columns["load"] | {"class": "sensitive"}})
    with pytest.raises(ConfigInvalid) as caught:
        own.measured(project, "mine", np.ones(3), np.ones(3))
    assert caught.value.problems == ["metrics.mine: own_code.fails failed (KeyError)"]
    assert caught.value.__cause__ is None


def test_a_policy_is_a_condition() -> None:
    card = Scorecard("challenger", "2013-05", 5000, 900, {})
    project = binary_project(gate={"policy": "own_code.refuses"})
    (condition,) = policy(project, (card, card))
    assert (condition.name, condition.decision.outcome, condition.decision.reason) == ("policy", "refuse", "challenger of 2")
    assert policy(binary_project(), (card,)) == ()
    with pytest.raises(ConfigInvalid, match=r"gate\.policy: own_code\.yes must give a Decision, not bool"):
        policy(binary_project(gate={"policy": "own_code.yes"}), (card,))


def test_a_recipe_has_its_functions_name_and_the_studys_bins() -> None:
    made = own.recipe(binary_project(search={"recipe": "own_code.best"}))
    assert (made.name, dict(made.params), made.rounds) == ("best", {"max_bin": 32, "eta": 0.3}, 5)


@pytest.mark.parametrize(
    ("function", "said"),
    [("own_code.none_at_all", "0 rounds and 1 bags; 1 is the least"), ("own_code.no_recipe", "must give a Recipe, not dict")],
)
def test_what_is_no_recipe_is_said(function: str, said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        own.recipe(binary_project(search={"recipe": function}))


def test_an_own_measure_of_several_classes_gets_all_their_probabilities() -> None:
    project = classes_project(metrics={"mine": "own_code.figure"})
    made = judged_at(Stores(), project, readable(project), "2013-03", found(RECIPE))
    assert 0 < made.scorecards[0].measures["mine"].value < 1
