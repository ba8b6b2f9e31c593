"""Values cross tasks, runs and processes as JSON: Prefect stores every result so (prefect.toml), and a repeated run reads it back."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import pickle
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillars import vocabulary

VALUES = [cls for _, cls in inspect.getmembers(vocabulary, dataclasses.is_dataclass)]
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
INTS = st.integers(-(2**53), 2**53)
TEXTS = st.text(max_size=8)
st.register_type_strategy(float, FLOATS)
st.register_type_strategy(int, INTS)
st.register_type_strategy(str, TEXTS)


@pytest.mark.parametrize("cls", VALUES, ids=lambda cls: cls.__name__)
def test_a_value_survives_prefects_json(cls: type[Any]) -> None:
    from prefect.serializers import JSONSerializer

    serializer = JSONSerializer()

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.builds(cls))
    def survives(value: Any) -> None:
        again = serializer.loads(serializer.dumps(value))
        assert again == value
        assert type(again) is cls
        assert pickle.loads(pickle.dumps(value)) == value  # noqa: S301  (our own bytes)

    survives()


@pytest.mark.parametrize("cls", VALUES, ids=lambda cls: cls.__name__)
def test_a_value_cannot_be_changed(cls: type[Any]) -> None:
    assert cls.__dataclass_params__.frozen


def test_nested_tuples_come_back_as_tuples() -> None:
    from prefect.serializers import JSONSerializer

    tried = vocabulary.Tried(vocabulary.Recipe("stock", {"eta": 0.1, "max_depth": 6, "tree_method": "hist"}, 10, 0), 0.5, True, 1.0)
    tuned = vocabulary.Tuned("flights", "2013-02", (tried, tried), "tuning won", "x.json")
    again = JSONSerializer().loads(JSONSerializer().dumps(tuned))
    assert isinstance(again.leaderboard, tuple)
    assert isinstance(again.leaderboard[1].recipe, vocabulary.Recipe)
    assert [type(value) for value in again.recipe.params.values()] == [float, int, str]


def test_a_measure_reads_as_a_figure_with_its_interval() -> None:
    assert str(vocabulary.Measure(0.5, 0.25, math.pi)) == "0.5000 [0.2500, 3.1416]"


@pytest.mark.parametrize(("outcome", "true"), [("accept", True), ("refuse", False), ("inconclusive", False)])
def test_only_an_accepted_decision_is_true(outcome: Any, true: bool) -> None:
    assert bool(vocabulary.Decision(outcome, "why")) is true


OLD = {"name": "prior", "params": {"eta": 0.1}, "rounds": 9, "seed": 0, "bags": 1}


def test_a_recipe_of_an_earlier_release_is_read_and_written_as_it_was() -> None:
    recipe = vocabulary.Recipe.from_json(OLD)
    assert recipe == vocabulary.Recipe("prior", {"eta": 0.1}, 9, 0)
    assert recipe.to_json() == OLD  # so its digests stay, and earlier code reads it


def test_a_recipe_comes_back_from_json_whatever_it_says() -> None:
    member = vocabulary.Member({"eta": 0.2}, 5, 1, "onehot", ("load",))
    recipe = vocabulary.Recipe("average", {"eta": 0.1}, 9, 0, 2, "native", ("load", "wind"), (member,))
    assert vocabulary.Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe


@pytest.mark.parametrize("content", [None, [], "prior", {}, {**OLD, "rows": 3}, {**OLD, "members": [{}]}])
def test_what_is_no_recipe_is_refused(content: Any) -> None:
    with pytest.raises((TypeError, KeyError)):
        vocabulary.Recipe.from_json(content)
