"""A project's own expectation: found by its name, run on real flights, and a module that is wrong says so."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import projects
from pillars.data.validation import validate
from pillars.errors import ConfigInvalid
from tests.pillars.data.batches import CANARY, changed, project, rows

OWN = '''"""Parcels."""
def expectations():
    from great_expectations.execution_engine import PandasExecutionEngine
    from great_expectations.expectations.expectation import MulticolumnMapExpectation
    from great_expectations.expectations.metrics.map_metric_provider import MulticolumnMapMetricProvider, multicolumn_condition_partial

    class ClockFits(MulticolumnMapMetricProvider):
        condition_metric_name = "multicolumn_values.clock_fits"
        condition_domain_keys = ("batch_id", "table", "column_list", "row_condition", "condition_parser", "ignore_row_if")
        condition_value_keys = ()

        @multicolumn_condition_partial(engine=PandasExecutionEngine)
        def _pandas(cls, columns, **kwargs):
            clock, hour, minute = (columns[name] for name in columns.columns)
            return clock == hour * 100 + minute

    class ExpectClockToFit(MulticolumnMapExpectation):
        """The clock is hour * 100 + minute."""
        map_metric = "multicolumn_values.clock_fits"

    return [ExpectClockToFit]
'''
OWN_OF_PERSONS = '''"""Parcels."""
def expectations():
    from great_expectations.expectations.core import ExpectColumnValuesToBeInSet

    class ExpectKnownPersons(ExpectColumnValuesToBeInSet):
        """Everybody is known."""
        column: str = "person"
        value_set: list = ["nobody"]

    return [ExpectKnownPersons]
'''
LIMIT = "expect_column_values_to_be_between"
LIMITED = {"column": "weight_kg", "max_value": 50}
CLOCK: dict[str, Any] = {"type": "expect_clock_to_fit", "kwargs": {"column_list": ["clock", "hour", "minute"]}, "quarantine": True}


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write `projects/parcels.py` of a folder of its own."""
    monkeypatch.setattr(projects, "__path__", [*projects.__path__, str(tmp_path)])
    monkeypatch.delitem(sys.modules, "projects.parcels", raising=False)

    def write(text: str) -> None:
        (tmp_path / "parcels.py").write_text(text)

    yield write
    sys.modules.pop("projects.parcels", None)


def test_it_sets_aside_the_rows_that_fail_it_on_a_day_of_flights(bring: Any) -> None:
    from projects import flights

    bring(OWN)
    month = flights.source().rows("2013-01").slice(0, 500)
    clock = pc.add(pc.multiply(month["hour"], 100), month["minute"]).to_pylist()
    clock[7] += 1
    table = rows("2013-01", n=500).append_column("clock", pa.array(clock))
    table = table.append_column("hour", month["hour"]).append_column("minute", month["minute"])
    columns = {name: {"type": "int"} for name in ("clock", "hour", "minute")}
    checks, masks = validate(project(columns=columns, suite=[CLOCK]), "2013-01", table, None)
    (check,) = [c for c in checks if c.expectation == "expect_clock_to_fit"]
    assert (check.status, check.unexpected) == ("failed", 1)
    assert masks["rows"]["expect_clock_to_fit(clock, hour, minute)"].nonzero()[0].tolist() == [7]


def test_one_that_fails_inside_could_not_run_and_says_nothing_of_protected_values(bring: Any) -> None:
    bring(OWN)
    suite = [{"type": "expect_clock_to_fit", "kwargs": {"column_list": ["parcel", "person", "stops"]}}]
    checks, _ = validate(project(suite=suite), "2013-01", rows("2013-01"), None)
    (check,) = [c for c in checks if c.expectation == "expect_clock_to_fit"]
    assert check.status == "could_not_run"
    assert CANARY not in json.dumps([asdict(c) for c in checks])


def test_columns_that_no_argument_names_may_be_protected(bring: Any) -> None:
    bring(OWN_OF_PERSONS)
    suite = [{"type": "expect_known_persons", "quarantine": True}]
    checks, masks = validate(project(suite=suite), "2013-01", rows("2013-01"), None)
    (check,) = [c for c in checks if c.expectation == "expect_known_persons"]
    assert (check.status, check.observed) == ("failed", "")
    assert masks["rows"]["expect_known_persons()"].all()
    assert CANARY not in json.dumps([asdict(c) for c in checks])


@pytest.mark.parametrize(
    ("text", "why"),
    [
        pytest.param("", "not found", id="no function"),
        pytest.param("import nowhere_at_all", "projects.parcels, which failed .ModuleNotFoundError", id="import fails"),
        pytest.param("def expectations():\n    return 1 / 0", "ZeroDivisionError", id="raises"),
        pytest.param("def expectations():\n    return [3]", "no expectation's class", id="no class"),
        pytest.param("def expectations():\n    return 3", "a list of classes", id="no list"),
        pytest.param("expectations = 3", "must be a function", id="no call"),
        pytest.param(OWN.replace("ClockToFit", "ClockToFitt"), "nearest: expect_clock_to_fitt", id="another name"),
    ],
)
def test_a_module_that_is_wrong_is_named(bring: Any, text: str, why: str) -> None:
    bring(text)
    with pytest.raises(ConfigInvalid, match=why):
        validate(project(suite=[CLOCK]), "2013-01", rows("2013-01"), None)


def test_without_a_module_an_unknown_expectation_is_unknown() -> None:
    with pytest.raises(ConfigInvalid, match="expect_clock_to_fit"):
        validate(project(suite=[CLOCK]), "2013-01", rows("2013-01"), None)


def test_conditions_and_mostly_are_passed_on() -> None:
    heavy = changed(rows("2013-01"), "weight_kg", [0, 1], 99.0)
    carrier = heavy["carrier"][0].as_py()
    suite: list[dict[str, Any]] = [
        {"type": LIMIT, "kwargs": {"column": "weight_kg", "max_value": 50, "mostly": 0.9}},
        {"type": LIMIT, "kwargs": {"column": "weight_kg", "max_value": 50, "mostly": 0.99}},
        {"type": LIMIT, "kwargs": LIMITED | {"row_condition": f'carrier=="{carrier}"', "condition_parser": "pandas"}},
        {"type": LIMIT, "kwargs": LIMITED | {"row_condition": "parcel>1", "condition_parser": "pandas"}},
    ]
    checks, _ = validate(project(suite=suite), "2013-01", heavy, None)
    assert [c.status for c in checks if c.expectation == LIMIT and "weight" in c.column] == ["passed", "failed", "failed", "passed"]


def test_a_class_named_like_one_of_great_expectations_is_refused_and_takes_nobodys_place(bring: Any) -> None:
    named = OWN.replace("[ExpectClockToFit]", "[ExpectClockToFit, ExpectColumnValuesToBeBetween]").replace(
        "    return [",
        "    class ExpectColumnValuesToBeBetween(MulticolumnMapExpectation):\n"
        '        """Another."""\n'
        '        map_metric = "multicolumn_values.clock_fits"\n\n    return [',
    )
    bring(named)
    with pytest.raises(ConfigInvalid, match=r"projects.parcels has a class ExpectColumnValuesToBeBetween, and so has Great Expectations"):
        validate(project(suite=[CLOCK]), "2013-01", rows("2013-01"), None)
    checks, _ = validate(project(suite=[{"type": LIMIT, "kwargs": LIMITED}]), "2013-01", rows("2013-01"), None)
    assert {c.status for c in checks if c.expectation == LIMIT} == {"passed"}
