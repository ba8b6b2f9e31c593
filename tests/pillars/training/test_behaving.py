"""Claims about what every candidate's scores must do."""

from __future__ import annotations

from typing import Any

import pytest

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.stores import Stores
from pillars.training import behaving
from pillars.vocabulary import Decision
from tests.factories import CLASSES, binary_project, classes_project, numbers_project
from tests.pillars.training.worlds import gathered, readable, released

LATE = {"load": 9.0, "wind": 2.0, "hour": 8, "line": "C", "stop": "stop 1"}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    project = binary_project()
    return released(Stores(var=tmp_path_factory.mktemp("var")), project, readable(project), "2013-04")


def said(bundle: Bundle, project: Project) -> Decision:
    (condition,) = behaving.behaved(project, bundle, gathered(project, "2013-04"))
    return condition.decision


def asked(**behaviour: Any) -> Project:
    return binary_project(behaviour=[{"name": "it"} | behaviour])


@pytest.mark.parametrize(
    ("behaviour", "outcome"),
    [
        pytest.param({"kind": "direction", "column": "load", "add": 1.0, "share": 1.0}, "accept", id="all rows may fail"),
        pytest.param({"kind": "direction", "column": "load", "add": 3.0, "most": 0.05, "share": 0.1}, "accept", id="the right way"),
        pytest.param({"kind": "direction", "column": "load", "add": 3.0, "score": "down", "share": 0.1}, "refuse", id="the wrong way"),
        pytest.param({"kind": "invariance", "column": "load", "add": 3.0, "most": 1.0}, "accept", id="anything goes"),
        pytest.param({"kind": "invariance", "column": "load", "add": 3.0, "most": 1e-5}, "refuse", id="nothing may move"),
        pytest.param({"kind": "invariance", "column": "line", "to": ["A", "B", "C", "D"], "most": 1e-5}, "refuse", id="over the values"),
        pytest.param({"kind": "invariance", "column": "hour", "to": [8, 9.5], "most": 1.0}, "accept", id="numbers as values"),
        pytest.param({"kind": "minimum", "rows": [LATE], "above": 0.3}, "accept", id="a full tram is late"),
        pytest.param({"kind": "minimum", "rows": [LATE], "below": 0.3}, "refuse", id="it is not on time"),
        pytest.param({"kind": "minimum", "rows": [LATE, {}], "above": 0.3, "share": 0.5}, "accept", id="one of two may fail"),
        pytest.param(
            {"kind": "minimum", "rows": [{"line": "never seen", "load": None}], "above": 0, "below": 1}, "accept", id="new and missing"
        ),
    ],
)
def test_a_behaviour_holds_or_does_not(bundle: Bundle, behaviour: dict[str, Any], outcome: str) -> None:
    assert said(bundle, asked(**behaviour)).outcome == outcome


def test_a_failure_names_the_row_that_moved_furthest(bundle: Bundle) -> None:
    reason = said(bundle, asked(kind="invariance", column="load", add=3.0, most=1e-5)).reason
    assert "rows fail" in reason
    assert "one: load = " in reason
    before, after = (float(part.split("; ")[0].split(" ")[-1].rstrip(",")) for part in reason.split("score ")[-1].split(", then "))
    rows = gathered(binary_project(), "2013-04").columns
    moved = abs(bundle.scores({**rows, "load": rows["load"] + 3.0}) - bundle.scores(rows))
    assert abs(after - before) == pytest.approx(moved.max(), abs=2e-4)


def test_a_failure_does_not_show_what_is_sensitive(bundle: Bundle) -> None:
    project = asked(kind="invariance", column="load", add=3.0, most=1e-5)
    columns = {n: c.model_dump(by_alias=True) for n, c in project.columns.items()}
    for name in ("load", "line"):
        columns[name]["class"] = "sensitive"
    columns["line"]["role"] = ["feature"]
    columns["number"]["role"] = ["key"]
    hidden = binary_project(columns=columns, behaviour=[one.model_dump(exclude_defaults=True) for one in project.behaviour])
    reason = said(bundle, hidden).reason
    assert "one: wind = " in reason
    assert "load = " not in reason
    assert "line = " not in reason


def test_a_monotone_model_goes_one_way_without_exception() -> None:
    project = binary_project(
        features={"monotone": {"load": "increasing"}}, behaviour=[{"name": "load", "kind": "direction", "column": "load", "add": 0.5}]
    )
    bundle = released(Stores(), project, readable(project), "2013-04")
    assert "0 of" in said(bundle, project).reason
    assert said(bundle, project)


def test_of_several_classes_one_is_asked_and_a_number_is_itself() -> None:
    several = classes_project(
        behaviour=[{"name": "load", "kind": "direction", "column": "load", "add": 3.0, "of": CLASSES[2], "most": 0.1, "share": 0.1}]
    )
    assert said(released(Stores(), several, readable(several), "2013-04", threshold=0.5), several)
    number = numbers_project(behaviour=[{"name": "full", "kind": "minimum", "rows": [LATE], "above": 4.0}])
    assert said(released(Stores(), number, readable(number), "2013-04", threshold=0.5), number)
