"""The two YAML files that people read first: they load, and they say what the source gives."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pillars import project_file
from pillars.config import Project
from tests.projects.years import whole_year

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
ARROW = {"float": pa.float64(), "int": pa.int64(), "category": pa.string(), "timestamp": pa.timestamp("s"), "bool": pa.bool_()}


@pytest.fixture(scope="module")
def project() -> Project:
    return project_file.load(CONFIGS / "flights.yaml")


def test_the_declared_columns_are_those_of_the_source_in_its_order(project: Project):
    year = whole_year()
    assert tuple(year.rows.column_names) == project.row_columns
    assert tuple(year.outcomes.column_names) == project.outcome_columns


def test_the_declared_types_are_those_of_the_source(project: Project):
    for field in (*whole_year().rows.schema, *whole_year().outcomes.schema):
        assert field.type == ARROW[project.columns[field.name].type], field.name


def test_what_is_declared_not_nullable_has_no_null(project: Project):
    for table in (whole_year().rows, whole_year().outcomes):
        for name in table.column_names:
            assert project.columns[name].nullable or table[name].null_count == 0, name


def test_every_feature_column_is_used_and_described(project: Project):
    assert {*project.features.numeric, *project.features.categorical} == set(project.of("feature"))
    assert 45 <= len(project.of("feature")) <= 70
    assert all(column.description for column in project.columns.values())


def test_drift_watches_at_most_twenty_columns(project: Project):
    watched = [*project.monitoring.drift.structural, *project.monitoring.drift.seasonal]
    assert len(watched) == len(set(watched)) <= 20


def test_no_check_lists_january_s_destinations(project: Project):
    assert not [e for e in project.expectations.suite if e.kwargs.get("column") == "dest" and "value_set" in e.kwargs]


def test_the_volume_limits_hold_every_month(project: Project):
    for first, end in whole_year().starts.values():
        assert project.expectations.min_rows * 1.5 < end - first < project.expectations.max_rows / 1.5


def test_the_prior_lies_in_the_search_space(project: Project):
    for name, value in project.search.prior.items():
        assert project.search.space[name].low <= float(value) <= project.search.space[name].high, name


def test_the_template_is_a_project_once_it_is_copied(tmp_path: Path):
    copied = tmp_path / "my_project.yaml"
    copied.write_text((CONFIGS / "_template.yaml").read_text())
    assert project_file.load(copied).project == "my_project"


def test_the_template_has_every_pillar_of_the_full_example():
    sections = [
        {line.split(":")[0] for line in (CONFIGS / name).read_text().splitlines() if line[:1].isalpha()}
        for name in ("_template.yaml", "flights.yaml")
    ]
    assert sections[0] <= sections[1]
    assert sections[1] - sections[0] <= {"registry"}


@pytest.mark.slow
def test_twelve_real_months_raise_no_alarm_but_the_one_fault_in_the_data(project: Project):
    from pillars.data.validation import validate

    year, failed, bad = whole_year(), [], 0
    for period, (first, end) in year.starts.items():
        part = slice(first, end)
        rows, outcomes = (t.slice(part.start, part.stop - part.start) for t in (year.rows, year.outcomes))
        checks, masks = validate(project, period, rows, outcomes, period)
        failed += [(period, c.expectation, c.column) for c in checks if c.status != "passed"]
        bad += sum(int(mask.sum()) for table in masks.values() for mask in table.values())
    assert failed == [("2013-02", "expect_column_values_to_be_between", "wind_speed")]  # 1,048 mph at Newark
    assert bad == 2
