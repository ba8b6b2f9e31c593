from __future__ import annotations

from datetime import datetime

import pytest

from pillars.data.suite import expectations, span
from pillars.errors import ConfigInvalid
from tests.pillars.data.batches import project


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        ("2013", (datetime(2013, 1, 1), datetime(2014, 1, 1))),
        ("2013-02", (datetime(2013, 2, 1), datetime(2013, 3, 1))),
        ("2013-12", (datetime(2013, 12, 1), datetime(2014, 1, 1))),
        ("2012-02-29", (datetime(2012, 2, 29), datetime(2012, 3, 1))),
        ("2013-12-31T23", (datetime(2013, 12, 31, 23), datetime(2014, 1, 1))),
        ("2013-13", None),
        ("2013-02-30", None),
        ("week 7", None),
    ],
)
def test_a_period_spans_its_time(period: str, expected: tuple[datetime, datetime] | None) -> None:
    assert span(period) == expected


def test_the_row_floor_comes_first_and_is_critical() -> None:
    first = expectations(project(min_rows=7, max_rows=9), "rows", "2013-01")[0]
    assert (first.type, first.severity) == ("expect_table_row_count_to_be_between", "critical")
    assert first.kwargs == {"min_value": 7, "max_value": 9}


def test_each_declared_column_has_its_type_checked() -> None:
    for kind, names in (("rows", project().row_columns), ("outcomes", project().outcome_columns)):
        typed = [e.kwargs["column"] for e in expectations(project(), kind, "2013-01") if e.type.endswith("in_type_list")]  # type: ignore[arg-type]
        assert typed == list(names)


def test_keys_may_never_be_null() -> None:
    nullable = project(columns={"parcel": {"type": "int", "role": ["key"], "nullable": True}})
    never = [e.kwargs["column"] for e in expectations(nullable, "rows", None) if e.type.endswith("not_be_null")]
    assert "parcel" in never


def test_a_single_key_is_checked_as_one_column() -> None:
    single = project(columns={"at": {"type": "timestamp", "role": ["time"]}})
    assert [e.kwargs for e in expectations(single, "rows", None) if "unique" in e.type] == [{"column": "parcel"}]


def test_freshness_needs_a_period_that_is_a_time() -> None:
    with pytest.raises(ConfigInvalid, match="week 7"):
        expectations(project(), "rows", "week 7")
    assert expectations(project(freshness=False), "rows", "week 7")


def test_checks_of_the_yaml_reach_their_table_only() -> None:
    own = {"type": "expect_column_max_to_be_between", "kwargs": {"column": "delay_min", "max_value": 60}, "table": "outcomes"}
    assert [e.type for e in expectations(project(suite=[own]), "outcomes", None)][-1] == own["type"]
    assert own["type"] not in [e.type for e in expectations(project(suite=[own]), "rows", None)]
