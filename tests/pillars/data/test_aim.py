"""What is asked of a target, read off its values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.config import Task
from pillars.data.aim import Aim, aim_at, look_at
from pillars.data.profiling import Profile, profile
from pillars.errors import ColumnUnfit


def of(values: list[Any] | pa.Array) -> Profile:
    return profile(pa.table({"y": values if isinstance(values, pa.Array) else pa.array(values, pa.string())}))


def aimed(values: list[Any] | pa.Array, wish: Task | None = None) -> Aim:
    return aim_at(of(values), "y", wish)


@pytest.mark.parametrize(
    ("values", "task", "classes"),
    [
        pytest.param(["yes", "no", "no"] * 9, "binary", (), id="words that are a truth"),
        pytest.param(["gone", "there", "there"] * 9, "binary", (), id="two words"),
        pytest.param(["0", "1"] * 9, "binary", (), id="0 and 1"),
        pytest.param(["a", "b", "b", "c"] * 9, "multiclass", ("b", "a", "c"), id="three words, the most frequent first"),
        pytest.param(["2", "0", "1", "1"] * 9, "multiclass", ("1", "0", "2"), id="few whole numbers"),
        pytest.param([str(i) for i in range(40)], "regression", (), id="many whole numbers"),
        pytest.param(["1.5", "2.25", "7.0"] * 9, "regression", (), id="numbers with decimals"),
        pytest.param(pa.array([0.0, 1.0, 2.0, None] * 9), "multiclass", ("0", "1", "2"), id="whole numbers with gaps, as pandas has them"),
    ],
)
def test_values_say_what_kind_of_target_they_are(values: Any, task: Task, classes: tuple[str, ...]) -> None:
    found = aimed(values)
    assert (found.task, found.classes) == (task, classes)
    assert len(found.y) == found.known.sum()


def test_the_person_decides_where_values_leave_a_choice() -> None:
    assert aimed(["2", "0", "1"] * 9, "regression").y.tolist() == [2.0, 0.0, 1.0] * 9
    assert aimed(["0", "1"] * 9, "regression").task == "regression"
    assert aimed([str(i) for i in range(20)], "multiclass").task == "multiclass"


@pytest.mark.parametrize(
    ("values", "wish", "said"),
    [
        pytest.param(["a"] * 9, None, "it has one value", id="one value"),
        pytest.param([None] * 9, None, "it has no value", id="none"),
        pytest.param(["a", "b", "c"] * 9, "binary", "it has 3 values .*; a binary target has two", id="three, and two are wished"),
        pytest.param(["a", "b"] * 9, "multiclass", "it has 2 values .*; a multiclass target has 3 to 30", id="two, and several are wished"),
        pytest.param([f"n{i % 90}" for i in range(900)], None, "it has 90 values .*; a multiclass target has 3 to 30", id="names"),
        pytest.param(["a", "b", "c"] * 9, "regression", "it is no number", id="words, and a number is wished"),
        pytest.param([f"2024-01-{d:02}" for d in range(1, 29)], None, "a multiclass target has 3 to 30", id="times"),
    ],
)
def test_what_is_no_target_is_refused_by_name(values: list[Any], wish: Task | None, said: str) -> None:
    with pytest.raises(ColumnUnfit, match=f"y.*{said}"):
        aimed(values, wish)


def test_places_are_those_of_the_classes() -> None:
    found = aimed(["a", None, "b", "b", "c"] * 9)
    assert [found.classes[place] for place in found.y] == ["a", "b", "b", "c"] * 9
    assert found.known.tolist() == [True, False, True, True, True] * 9


def test_margins_of_numbers_are_shares_of_their_variance() -> None:
    y = np.random.default_rng(0).normal(100, 20, 5000)
    found = aimed(pa.array(y))
    assert found.margins == (pytest.approx(0.0015 * 400, rel=0.1), pytest.approx(0.0075 * 400, rel=0.1))
    assert aimed(["a", "b", "c"] * 9).margins is None


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (["a", "b"] * 40 + ["c"], "y: only 1 rows of class c; no verdict about a model will be sure"),
        (["yes"] * 9 + ["no"] * 90, "y: only 9 rows of the rarer class; no verdict about a model will be sure"),
        (["0", "1", "2"] * 40, "y has 3 whole numbers as values, taken as classes; if they are amounts: --task regression"),
        (["0"] * 90 + [f"{i}.5" for i in range(60)], "y is 0 in 60% of the rows: is the question whether, not how much?"),
        (["a", "b", "c", None] * 40, "y is missing in 40 rows: they are scored, and nothing is learned from them"),
    ],
)
def test_what_somebody_should_know_is_said(values: list[Any], said: str) -> None:
    found = of(values)
    assert said in list(look_at(found, "y", aim_at(found, "y"), chosen=False))


def test_a_task_that_was_chosen_is_not_asked_about_again() -> None:
    found = of(["0", "1", "2"] * 40)
    assert list(look_at(found, "y", aim_at(found, "y", "multiclass"), chosen=True)) == []
