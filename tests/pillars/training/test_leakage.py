"""A column computed from the outcome is caught by its name; honest columns are not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn import datasets

from pillars.config import Project
from pillars.targets import truth
from pillars.training.leakage import leaks, look
from pillars.vocabulary import Leakage
from tests.factories import binary_project, classes_project, numbers_project, reading, rows_and_outcomes

MONTHS = ["2013-01", "2013-02", "2013-03"]
TASKS = [
    pytest.param(binary_project, id="binary"),
    pytest.param(classes_project, id="multiclass"),
    pytest.param(numbers_project, id="regression"),
]
Make = Callable[..., Project]
Plant = Callable[[np.ndarray, np.random.Generator], pa.Array]


def with_planted(make: Make, kind: str, **sections: Any) -> Project:
    """The project with one more feature, `planted`."""
    plain = make()
    role = "categorical" if kind == "category" else "numeric"
    columns = {name: column.model_dump() for name, column in plain.columns.items()} | {"planted": {"type": kind, "role": ["feature"]}}
    features = {"numeric": list(plain.features.numeric), "categorical": list(plain.features.categorical)}
    features[role] = [*features[role], "planted"]
    return make(**{"columns": columns, "features": features, **sections})


def looked(project: Project, plant: Plant | None = None, rows: int = 600, seed: int = 0) -> Leakage:
    told, outcomes = rows_and_outcomes(MONTHS, rows, seed)
    if plant:
        y = truth(project, outcomes.column(project.target).fill_null(outcomes.column(project.target).drop_null()[0]))
        told = told.append_column("planted", plant(y.astype(float), np.random.default_rng(seed)))
    return look(project, reading(told, outcomes), MONTHS, MONTHS[-1])


@pytest.mark.parametrize("make", TASKS)
@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        pytest.param("float", lambda y, draw: pa.array(y * -3.0 + 1.0), id="exactly"),
        pytest.param("float", lambda y, draw: pa.array(y + draw.normal(scale=0.04 * y.std(), size=len(y))), id="with noise"),
        pytest.param("category", lambda y, draw: pa.array([f"c{round(v * 4)}" for v in y]), id="as a category"),
        pytest.param("float", lambda y, draw: pa.array(np.exp(y / y.std())), id="bent"),
    ],
)
def test_a_column_computed_from_the_outcome_is_caught_by_name(make: Make, kind: str, plant: Plant) -> None:
    if make is numbers_project and kind == "category":
        pytest.skip("see the next test")
    found = looked(with_planted(make, kind), plant, rows=2000)
    assert found.decision.outcome == "refuse"
    assert [leak.column for leak in found.leaks] == ["planted"]
    assert "planted: alone it tells" in found.decision.reason


def test_a_number_told_in_rough_categories_is_caught_only_under_a_lower_limit() -> None:
    """Categories lose part of a number, and rare ones are drawn to the mean: R squared is .95 here, not .99."""

    def rough(y: np.ndarray, draw: np.random.Generator) -> pa.Array:
        return pa.array([f"c{round(v * 2)}" for v in y])

    assert looked(with_planted(numbers_project, "category"), rough, rows=2000).decision
    found = looked(with_planted(numbers_project, "category", leakage={"limit": 0.9}), rough, rows=2000)
    assert [leak.column for leak in found.leaks] == ["planted"]


@pytest.mark.parametrize("make", TASKS[:2])
@pytest.mark.parametrize("gone", [True, False], ids=["missing", "there"])
def test_gaps_that_betray_an_outcome_are_caught(make: Make, gone: bool) -> None:
    """As the flights' tail numbers: missing in few rows, and all of those are cancelled."""

    def plant(y: np.ndarray, draw: np.random.Generator) -> pa.Array:
        betrayed = (y == 1) & (draw.random(len(y)) < 0.2)
        return pa.array(draw.normal(size=len(y)), mask=betrayed if gone else ~betrayed)

    found = looked(with_planted(make, "float"), plant)
    assert [leak.column for leak in found.leaks] == ["planted"]
    assert f"where it is {'missing' if gone else 'there'} (" in found.decision.reason


def test_gaps_that_betray_a_number_are_caught() -> None:
    def nothing_is_missing_but_where_nothing_happened(y: np.ndarray, draw: np.random.Generator) -> pa.Array:
        return pa.array(draw.normal(size=len(y)), mask=y == 0)

    told, outcomes = rows_and_outcomes(MONTHS, 600)
    never = np.random.default_rng(1).random(outcomes.num_rows) < 0.1
    minutes = np.where(never, 0.0, outcomes.column("minutes").fill_null(1.0).to_numpy())
    outcomes = outcomes.set_column(outcomes.column_names.index("minutes"), "minutes", pa.array(minutes))
    told = told.append_column("planted", nothing_is_missing_but_where_nothing_happened(minutes, np.random.default_rng(0)))
    found = look(with_planted(numbers_project, "float"), reading(told, outcomes), MONTHS, MONTHS[-1])
    assert [leak.column for leak in found.leaks] == ["planted"]


@pytest.mark.parametrize("make", TASKS)
def test_a_copy_of_what_is_known_later_is_caught_though_it_does_not_tell_the_outcome(make: Make) -> None:
    told, outcomes = rows_and_outcomes(MONTHS, 600)
    noise = pa.array(np.random.default_rng(3).normal(size=told.num_rows))
    outcomes = outcomes.set_column(outcomes.column_names.index("delay_min"), "delay_min", noise)
    found = look(with_planted(make, "float"), reading(told.append_column("planted", noise), outcomes), MONTHS, MONTHS[-1])
    assert [(leak.column, leak.said) for leak in found.leaks] == [("planted", "equal to delay_min, which is known only later")]


@pytest.mark.parametrize("make", TASKS)
@pytest.mark.parametrize("seed", range(5))
def test_honest_columns_raise_no_alarm(make: Make, seed: int) -> None:
    chance = looked(
        with_planted(make, "float"), lambda y, draw: pa.array(draw.normal(size=len(y)), mask=draw.random(len(y)) < 0.1), seed=seed
    )
    assert chance.decision, chance.decision.reason
    rare = looked(with_planted(make, "category"), lambda y, draw: pa.array([f"row {i}" for i in range(len(y))]), seed=seed)
    assert rare.decision, rare.decision.reason


@pytest.mark.parametrize(("load", "target"), [("load_wine", "multiclass"), ("load_iris", "multiclass"), ("load_breast_cancer", "binary")])
def test_real_columns_that_tell_much_raise_no_alarm(load: str, target: str) -> None:
    given = getattr(datasets, load)()
    names = [f"f{i}" for i in range(given.data.shape[1])]
    columns: dict[str, Any] = {
        "id": {"type": "int", "role": ["key"]},
        "at": {"type": "timestamp", "role": ["time"]},
        **{name: {"type": "float", "role": ["feature"]} for name in names},
        "y": {"type": "bool" if target == "binary" else "category", "role": ["outcome"]},
    }
    classes = [] if target == "binary" else ["0", "1", "2"]
    project = binary_project(
        task=target, target="y", columns=columns, classes=classes, features={"numeric": names, "categorical": []}, gate={"min_rows": 10}
    )
    y = pa.array(given.target == 1) if target == "binary" else pa.array(given.target.astype(str))
    told = pa.table({**dict(zip(names, given.data.T, strict=True)), "y": y})
    order = np.random.default_rng(0).permutation(told.num_rows)  # these come sorted by class
    assert leaks(project, told.take(order)) == ()


def test_a_feature_that_somebody_has_looked_at_passes() -> None:
    project = with_planted(binary_project, "float", leakage={"allow": ["planted"]})
    assert looked(project, lambda y, draw: pa.array(y)).decision


def test_the_limit_is_the_yamls() -> None:
    def noisy(y: np.ndarray, draw: np.random.Generator) -> pa.Array:
        return pa.array(y + draw.normal(scale=0.6, size=len(y)))

    assert looked(with_planted(binary_project, "float"), noisy).decision
    assert not looked(with_planted(binary_project, "float", leakage={"limit": 0.8}), noisy).decision


def test_on_too_few_rows_nobody_is_accused() -> None:
    found = looked(with_planted(binary_project, "float"), lambda y, draw: pa.array(y), rows=20)
    assert found.decision
    assert "too few" in found.decision.reason


def test_a_waiver_of_something_that_is_no_feature_is_refused() -> None:
    with pytest.raises(ValueError, match=r"leakage\.allow: lode is no feature; nearest: load"):
        binary_project(leakage={"allow": ["lode"]})


def test_left_at_its_default_it_changes_no_digest() -> None:
    project = binary_project()
    assert "leakage" not in project.model_dump(exclude_defaults=True)


def test_the_order_of_the_rows_does_not_matter() -> None:
    told, outcomes = rows_and_outcomes(MONTHS, 600)
    told = told.append_column("planted", pa.array(outcomes.column("late").fill_null(False).to_numpy(zero_copy_only=False).astype(float)))
    project = with_planted(binary_project, "float")
    other = np.random.default_rng(0).permutation(told.num_rows)
    one, turned = (look(project, reading(rows, outcomes), MONTHS, MONTHS[-1]) for rows in (told, told.take(pa.array(other))))
    assert one == turned
