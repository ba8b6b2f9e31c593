"""Claims about what a model leans on: contributions that are Shapley values, and columns that matter."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import combinations
from math import factorial
from typing import Any

import numpy as np
import pytest

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.stores import Stores
from pillars.training import explaining, plots
from pillars.training.rows import subset
from pillars.vocabulary import Member, Recipe
from tests.factories import binary_project, classes_project, numbers_project
from tests.pillars.training.worlds import RECIPE, gathered, readable, released

PROJECTS = [pytest.param(binary_project(), id="one of two"), pytest.param(numbers_project(), id="a number")]


def expected(node: dict[str, Any], row: np.ndarray, known: frozenset[int], places: dict[str, int]) -> float:
    """A tree's mean where only `known` columns are known: at other splits both ways, by their share of the rows that were fitted on."""
    if "leaf" in node:
        return float(node["leaf"])
    ways = {child["nodeid"]: child for child in node["children"]}
    place = places[node["split"]]
    if place in known:
        value = row[place]
        way = node["missing"] if np.isnan(value) else node["yes"] if value < np.float32(node["split_condition"]) else node["no"]
        return expected(ways[way], row, known, places)
    return sum(float(c["cover"]) * expected(c, row, known, places) for c in ways.values()) / sum(float(c["cover"]) for c in ways.values())


def shapley(bundle: Bundle, row: np.ndarray) -> np.ndarray:
    """Each column's Shapley value in the first booster's margin, by its definition over all subsets of the other columns."""
    booster, count = bundle.boosters[0], len(row)
    places = {name: place for place, name in enumerate(booster.feature_names or [f"f{n}" for n in range(count)])}
    trees = [json.loads(tree) for tree in booster.get_dump(dump_format="json", with_stats=True)]

    def worth(known: tuple[int, ...]) -> float:
        return sum(expected(tree, row, frozenset(known), places) for tree in trees)

    found = np.zeros(count)
    for one in range(count):
        others = [n for n in range(count) if n != one]
        for size in range(count):
            weight = factorial(size) * factorial(count - size - 1) / factorial(count)
            found[one] += weight * sum(worth((*known, one)) - worth(known) for known in combinations(others, size))
    return found


@pytest.mark.parametrize("project", PROJECTS)
def test_contributions_are_shapley_values_by_their_definition(project: Project) -> None:
    """The shap package asks the booster, too: of a booster it gives these very bits."""
    bundle = released(Stores(), project, readable(project), "2013-04", threshold=0.5)
    rows = {name: column[:8] for name, column in gathered(project, "2013-04").columns.items()}
    found = bundle.contributions(rows)
    encoded = bundle.encoder.encode(rows)
    for place in range(8):
        assert found[place, :-1] == pytest.approx(shapley(bundle, encoded[place]), abs=2e-5)


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(RECIPE, id="codes"),
        pytest.param(replace(RECIPE, bags=3), id="bags"),
        pytest.param(replace(RECIPE, encoding="native"), id="native"),
        pytest.param(replace(RECIPE, encoding="onehot"), id="onehot"),
        pytest.param(replace(RECIPE, columns=("load", "line")), id="a set of columns"),
        pytest.param(replace(RECIPE, members=(Member(dict(RECIPE.params), 5, 3, "native"),)), id="an average"),
    ],
)
def test_the_sum_of_the_contributions_is_the_margin(recipe: Recipe) -> None:
    project = numbers_project()
    bundle = released(Stores(), project, readable(project), "2013-04", recipe, threshold=0.5)
    rows = gathered(project, "2013-04").columns
    assert bundle.contributions(rows).sum(axis=1) == pytest.approx(bundle.raw(rows), abs=1e-4)


def test_of_several_classes_each_has_contributions_to_its_own_margin() -> None:
    project = classes_project()
    bundle = released(Stores(), project, readable(project), "2013-04", threshold=0.5)
    rows = gathered(project, "2013-04").columns
    margins = bundle.contributions(rows).sum(axis=2)
    e = np.exp(margins - margins.max(axis=1, keepdims=True))
    assert e / e.sum(axis=1, keepdims=True) == pytest.approx(bundle.raw(rows), abs=1e-5)


def test_the_column_that_made_the_outcomes_is_leaned_on_most_and_its_loss_shows_when_shuffled() -> None:
    project = binary_project()
    bundle = released(Stores(), project, readable(project), "2013-04")
    found = explaining.explain(project, bundle, gathered(project, "2013-04"))
    first = found.reliance[0]
    assert first.column == "load"
    assert first.permutation > 0.01
    assert [one.contribution for one in found.reliance] == sorted((one.contribution for one in found.reliance), reverse=True)
    points, means = found.along["load"]
    assert means[-1] > means[0] + 0.1
    again = explaining.explain(project, bundle, gathered(project, "2013-04"))
    assert (again.reliance, again.along["load"][1].tolist()) == (found.reliance, means.tolist())
    assert {name: drawn[:8] for name, drawn in plots.explained(found).items()} == {
        "reliance": b"\x89PNG\r\n\x1a\n",
        "dependence": b"\x89PNG\r\n\x1a\n",
    }
    assert len(points) == len(means)


def test_a_sensitive_column_is_not_drawn_along() -> None:
    columns = {n: c.model_dump(by_alias=True) for n, c in binary_project().columns.items()}
    project = binary_project(columns=columns | {"load": columns["load"] | {"class": "sensitive"}})
    bundle = released(Stores(), project, readable(binary_project()), "2013-04")
    assert "load" not in explaining.explain(project, bundle, gathered(binary_project(), "2013-04")).along


def test_one_row_and_columns_that_are_empty_are_explained() -> None:
    project = binary_project()
    bundle = released(Stores(), project, readable(project), "2013-04")
    one = subset(gathered(project, "2013-04"), np.arange(1))
    assert explaining.explain(project, bundle, one).reliance
    empty = {name: np.full(1, np.nan) if column.dtype.kind != "O" else column for name, column in one.columns.items()}
    found = explaining.explain(project, bundle, replace(one, columns=empty))
    assert plots.explained(found)
