from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.config import Project
from pillars.data.validation import validate
from pillars.errors import ConfigInvalid
from pillars.vocabulary import Check
from tests.pillars.data.batches import CANARY, SUITE, changed, outcomes, project, rows

GOOD = rows("2013-01")
STALE = changed(GOOD, "at", 0, GOOD["at"][0].as_py().replace(year=2012))
REPEATED = pa.concat_tables([GOOD, GOOD.slice(2, 1), GOOD.slice(2, 1)])


def held(table: pa.Table, given: Project | None = None, results: pa.Table | None = None) -> tuple[list[Check], dict[str, list[int]]]:
    """Checks that did not pass, and failing rows by reason."""
    checks, masks = validate(given or project(), "2013-01", table, results, "2013-01")
    found = {reason: np.flatnonzero(mask).tolist() for kind in masks.values() for reason, mask in kind.items() if mask.any()}
    return [c for c in checks if c.status != "passed"], found


def test_a_good_batch_passes_every_check() -> None:
    checks, masks = validate(project(), "2013-01", GOOD, outcomes(GOOD), "2013-01")
    assert {c.status for c in checks} == {"passed"}
    assert not any(m.any() for kind in masks.values() for m in kind.values())
    assert checks[0].expectation == "expect_table_row_count_to_be_between"


@pytest.mark.parametrize(
    ("table", "reason", "at"),
    [
        pytest.param(changed(GOOD, "weight_kg", [3, 5], 99.0), "expect_column_values_to_be_between(weight_kg)", [3, 5], id="range"),
        pytest.param(changed(GOOD, "carrier", 4, "Z"), "expect_column_values_to_be_in_set(carrier)", [4], id="set"),
        pytest.param(changed(GOOD, "carrier", 4, None), "expect_column_values_to_not_be_null(carrier)", [4], id="null"),
        pytest.param(changed(GOOD, "parcel", 4, None), "expect_column_values_to_not_be_null(parcel)", [4], id="null key"),
        pytest.param(STALE, "expect_column_values_to_be_between(at)", [0], id="another year"),
        pytest.param(REPEATED, "expect_compound_columns_to_be_unique(at, parcel)", [40, 41], id="repeated"),
    ],
)
def test_the_rows_that_fail_are_found(table: pa.Table, reason: str, at: list[int]) -> None:
    failed, found = held(table)
    assert found == {reason: at}
    assert [(c.status, c.quarantine, c.unexpected) for c in failed] == [("failed", True, len(at))]
    assert failed[0].unexpected_share == pytest.approx(len(at) / table.num_rows)


def test_a_row_can_fail_for_two_reasons() -> None:
    table = changed(changed(GOOD, "weight_kg", 3, -1.0), "carrier", 3, "Z")
    assert list(held(table)[1].values()) == [[3], [3]]


def test_two_checks_of_one_kind_on_a_column_share_a_reason() -> None:
    within = [
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "weight_kg", "min_value": 2}, "quarantine": True},
        {"type": "expect_column_values_to_be_between", "kwargs": {"column": "weight_kg", "max_value": 39}, "quarantine": True},
    ]
    table = changed(changed(GOOD, "weight_kg", 3, 1.0), "weight_kg", 4, 39.5)
    assert {3, 4} <= set(held(table, project(suite=within))[1]["expect_column_values_to_be_between(weight_kg)"])


def test_an_empty_batch_does_not_pass() -> None:
    failed, _ = held(GOOD.slice(0, 0))
    assert ("expect_table_row_count_to_be_between", "critical", "failed") in [(c.expectation, c.severity, c.status) for c in failed]


def test_a_missing_column_is_named_by_checks_that_fail_or_could_not_run() -> None:
    failed, _ = held(GOOD.drop_columns(["carrier"]))
    status = {(c.expectation, c.column): c for c in failed}
    assert status["expect_table_columns_to_match_set", ""].observed == "missing: carrier"
    assert status["expect_column_values_to_be_in_set", "carrier"].status == "could_not_run"
    assert "no column carrier" in status["expect_column_values_to_be_in_set", "carrier"].detail


def test_an_undeclared_column_fails() -> None:
    failed, _ = held(GOOD.append_column("extra", pa.array([1] * 40)))
    assert [(c.expectation, c.observed) for c in failed] == [("expect_table_columns_to_match_set", "unexpected: extra")]


@pytest.mark.parametrize(
    ("column", "values"),
    [
        pytest.param("stops", pa.array([1.5] * 40), id="fractions for int"),
        pytest.param("weight_kg", pa.array(["heavy"] * 40), id="text for float"),
        pytest.param("carrier", pa.array([1] * 40), id="numbers for text"),
        pytest.param("express", pa.array([1] * 40), id="numbers for flags"),
        pytest.param("at", pa.array(["2013-01-05"] * 40), id="text for time"),
    ],
)
def test_a_column_of_another_type_fails_its_type_check(column: str, values: pa.Array) -> None:
    failed, _ = held(GOOD.set_column(GOOD.schema.get_field_index(column), column, values), project(suite=[]))
    broken = [c for c in failed if c.expectation == "expect_column_values_to_be_in_type_list"]
    assert [(c.column, c.severity, c.status) for c in broken] == [(column, "critical", "failed")]


def test_a_check_on_pairs_works_where_integers_have_nulls() -> None:
    pair = {
        "type": "expect_column_pair_values_a_to_be_greater_than_b",
        "kwargs": {"column_A": "stops", "column_B": "parcel", "or_equal": True, "ignore_row_if": "either_value_is_missing"},
        "severity": "warning",
    }
    failed, _ = held(GOOD, project(suite=[pair]))
    assert [c.status for c in failed] == ["failed"]


def test_an_aggregate_that_fails_quarantines_nothing() -> None:
    mean = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "weight_kg", "max_value": 1}, "quarantine": True}
    failed, found = held(GOOD, project(suite=[mean]))
    assert not found
    assert not failed[0].quarantine, "it must be judged by its severity"
    assert float(failed[0].observed) > 1


def test_values_of_protected_columns_are_not_kept() -> None:
    length = {"type": "expect_column_value_lengths_to_equal", "kwargs": {"column": "person", "value": 3}, "quarantine": True}
    failed, found = held(GOOD, project(suite=[length]))
    assert len(found["expect_column_value_lengths_to_equal(person)"]) == 40
    assert failed[0].observed == ""
    assert CANARY not in str(failed)


def test_outcomes_are_checked_apart() -> None:
    results = changed(outcomes(GOOD), "parcel", 7, None)
    failed, found = held(GOOD, results=results)
    assert [c.column for c in failed] == ["outcomes: parcel"]
    assert found == {"expect_column_values_to_not_be_null(parcel)": [7]}


def test_outcomes_that_have_not_arrived_are_a_warning() -> None:
    failed, _ = held(GOOD, results=outcomes(GOOD).slice(0, 0))
    assert [(c.severity, c.status) for c in failed] == [("warning", "failed")]


@pytest.mark.parametrize(
    ("check", "said"),
    [
        pytest.param({"type": "expect_the_unexpected"}, "expect_the_unexpected not found", id="unknown"),
        pytest.param({"type": "expect_column_values_to_be_between", "kwargs": {"column": "stops", "least": 1}}, "least", id="arguments"),
    ],
)
def test_a_check_that_is_not_one_is_a_fault_of_the_yaml(check: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said) as caught:
        held(GOOD, project(suite=[*SUITE, check]))
    assert "parcels.yaml" in str(caught.value)


def test_it_needs_no_home_writes_nothing_and_says_nothing(tmp_path: Path) -> None:
    script = (
        "from tests.pillars.data.batches import project, rows; from pillars.data.validation import validate;"
        "print(len(validate(project(), '2013-01', rows('2013-01'), None)[0]))"
    )
    home = tmp_path / "home"
    home.mkdir()
    env = {k: v for k, v in os.environ.items() if k != "GX_ANALYTICS_ENABLED"} | {"HOME": str(home), "PYTHONPATH": os.getcwd()}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=env, cwd=tmp_path)
    assert (int(done.stdout) > 10, done.stderr) == (True, "")
    assert not [p for p in home.rglob("*") if p.is_file()]
