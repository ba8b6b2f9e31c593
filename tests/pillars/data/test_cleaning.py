from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pillars.config import Project
from pillars.data.cleaning import judge, prepare
from pillars.data.versions import publish
from pillars.errors import DataCorrupt
from pillars.stores import Stores
from pillars.vocabulary import Check, Prepared
from tests.pillars.data.batches import CANARY, NOW, SUITE, changed, collected, outcomes, project, rows, table_at

GOOD = rows("2013-01")


def clean(stores: Stores, table: pa.Table, results: pa.Table | None = None, config: Project | None = None) -> Prepared:
    config = config or project()
    return prepare(stores, config, collected(stores, config, table, results))


def files(stores: Stores) -> dict[str, bytes]:
    return {p.relative_to(stores.var).as_posix(): p.read_bytes() for p in sorted(stores.var.rglob("*")) if p.is_file()}


def test_a_good_batch_is_kept_sorted_by_its_key(stores: Stores) -> None:
    shuffled = GOOD.take(pa.array(np.random.default_rng(0).permutation(40)))
    found = clean(stores, shuffled, outcomes(GOOD).take(pa.array(np.arange(40)[::-1])))
    assert found.validation.decision
    assert (found.rows, found.outcomes, found.quarantine_path, found.kept_at) == (40, 40, "", "")
    kept = table_at(stores, found.rows_path)
    assert kept.drop_columns(["person"]).equals(GOOD.drop_columns(["person"]))
    assert table_at(stores, found.outcomes_path).equals(outcomes(GOOD))


def test_the_same_bytes_twice_change_nothing(stores: Stores) -> None:
    bad = changed(GOOD, "weight_kg", 3, 99.0)
    first = clean(stores, bad)
    before = files(stores)
    assert clean(stores, bad) == first
    assert files(stores) == before


def test_failing_rows_go_to_quarantine_with_their_reasons(stores: Stores) -> None:
    found = clean(stores, changed(changed(GOOD, "weight_kg", [3, 4], -1.0), "carrier", 3, "Z"))
    aside = table_at(stores, found.quarantine_path)
    reasons = dict(zip(aside["parcel"].to_pylist(), aside["reasons"].to_pylist(), strict=True))
    assert found.validation.decision
    assert (found.rows, found.validation.quarantined) == (38, 2)
    assert aside.filter(pc.equal(aside["quarantined_from"], "rows"))["parcel"].to_pylist() == [3, 4]
    both = ["expect_column_values_to_be_between(weight_kg)", "expect_column_values_to_be_in_set(carrier)"]
    assert aside["reasons"].to_pylist()[:2] == [both, both[:1]]
    assert reasons[4] == ["its row is in quarantine"], "the outcome of a row in quarantine follows it"
    assert 3 not in table_at(stores, found.outcomes_path)["parcel"].to_pylist()


def test_of_repeated_keys_the_first_row_is_kept(stores: Stores) -> None:
    found = clean(stores, pa.concat_tables([GOOD, changed(GOOD, "weight_kg", 2, 7.25).slice(2, 1)]), outcomes(GOOD))
    assert found.rows == 40
    assert table_at(stores, found.rows_path)["weight_kg"][2] == GOOD["weight_kg"][2]
    assert table_at(stores, found.quarantine_path)["weight_kg"].to_pylist() == [7.25]


def test_outcomes_without_a_row_are_set_aside_and_counted(stores: Stores) -> None:
    results = outcomes(GOOD)
    stray = pa.concat_tables([results, changed(results, "parcel", 0, 777).slice(0, 1)])
    found = clean(stores, GOOD, stray)
    assert found.outcomes == 40
    aside = table_at(stores, found.quarantine_path)
    assert aside.select(["parcel", "quarantined_from", "reasons"]).to_pylist() == [
        {"parcel": 777, "quarantined_from": "outcomes", "reasons": ["no such row"]}
    ]
    shifted = results.set_column(1, "parcel", pa.array(np.arange(40) + 1000))
    refused = clean(stores, GOOD, shifted)
    assert "40 of 40 outcomes" in refused.validation.decision.reason


def test_outcomes_in_another_unit_still_find_their_rows(stores: Stores) -> None:
    finer = outcomes(GOOD).set_column(0, "at", GOOD["at"].cast(pa.timestamp("us")))
    assert clean(stores, GOOD, finer).outcomes == 40


def test_outcomes_that_lag_are_kept_whole(stores: Stores) -> None:
    from pillars.data.collection import collect
    from tests.pillars.data.batches import Memory

    lagging = project(lag=1)
    source = Memory({"2013-01": GOOD, "2013-02": rows("2013-02")})
    found = prepare(stores, lagging, collect(stores, lagging, source, "2013-02"))
    assert (found.outcomes_period, found.outcomes, found.rows) == ("2013-01", 40, 40)
    first = prepare(stores, lagging, collect(stores, lagging, source, "2013-01"))
    assert (first.outcomes_path, first.outcomes_period, first.rows) == (None, None, 40)


REFUSED = [
    pytest.param(GOOD.slice(0, 0), None, "expect_table_row_count_to_be_between failed (0)", id="empty"),
    pytest.param(GOOD.slice(0, 4), None, "expect_table_row_count_to_be_between failed (4)", id="below the floor"),
    pytest.param(GOOD.drop_columns(["carrier"]), None, "missing: carrier", id="column missing"),
    pytest.param(GOOD.drop_columns(["at"]), outcomes(GOOD), "missing: at", id="time missing"),
    pytest.param(GOOD.append_column("new", pa.array([1] * 40)), None, "unexpected: new", id="unknown column"),
    pytest.param(changed(GOOD, "weight_kg", list(range(9)), 99.0), None, "9 of 40 rows (22.50%) would go to quarantine", id="over budget"),
    pytest.param(GOOD, changed(outcomes(GOOD), "parcel", list(range(9)), None), "9 of 40 outcomes", id="outcomes over budget"),
    pytest.param(GOOD.set_column(2, "weight_kg", pa.array(["n/a"] * 40)), None, "in_type_list(weight_kg) failed", id="wrong type"),
]


@pytest.mark.parametrize(("table", "results", "reason"), REFUSED)
def test_a_bad_batch_is_refused_and_kept_whole(stores: Stores, table: pa.Table, results: pa.Table | None, reason: str) -> None:
    found = clean(stores, table, results if results is not None else outcomes(GOOD.slice(0, table.num_rows)))
    assert not found.validation.decision
    assert reason in found.validation.decision.reason
    assert (found.rows_path, found.rows, found.outcomes_path) == ("", 0, None)
    kept = table_at(stores, f"{found.kept_at}/rows.parquet")
    assert (kept.num_rows, kept.column_names) == (table.num_rows, table.column_names)
    assert not (stores.var / "staging").exists()


def test_a_check_that_only_warns_does_not_refuse(stores: Stores) -> None:
    mean = {"type": "expect_column_mean_to_be_between", "kwargs": {"column": "weight_kg", "max_value": 1}, "severity": "warning"}
    found = clean(stores, GOOD, config=project(suite=[mean]))
    assert found.validation.decision
    assert "1 warning;" in found.validation.decision.reason


@pytest.mark.parametrize(
    ("check", "accepted"),
    [
        pytest.param(Check("e", "c", "critical", True, "failed", 1, 0.1, ""), True, id="quarantine takes the rows"),
        pytest.param(Check("e", "c", "critical", False, "failed", 1, 0.1, ""), False, id="critical fails"),
        pytest.param(Check("e", "c", "critical", True, "could_not_run", 0, 0.0, ""), False, id="critical could not run"),
        pytest.param(Check("e", "c", "warning", False, "could_not_run", 0, 0.0, ""), True, id="warning could not run"),
        pytest.param(Check("e", "c", "info", False, "failed", 1, 0.1, ""), True, id="info fails"),
    ],
)
def test_severity_decides(check: Check, accepted: bool) -> None:
    assert bool(judge(project(), (check,), {"rows": {}, "outcomes": {}}, GOOD, None)) is accepted


def test_what_follows_from_a_missing_column_is_not_said_again(stores: Stores) -> None:
    reason = clean(stores, GOOD.drop_columns(["carrier"])).validation.decision.reason
    assert reason == "expect_table_columns_to_match_set failed (missing: carrier)"
    reason = clean(stores, GOOD.set_column(2, "weight_kg", pa.array(["n/a"] * 40))).validation.decision.reason
    assert reason == "expect_column_values_to_be_in_type_list(weight_kg) failed (string)"


@pytest.mark.parametrize(
    "root",
    [
        pytest.param(Check("expect_column_values_to_be_in_type_list", "c", "warning", False, "failed", 1, 1.0, ""), id="a type that warns"),
        pytest.param(
            Check("expect_table_columns_to_match_set", "", "warning", False, "failed", 1, 1.0, "missing: c"), id="a set that warns"
        ),
        pytest.param(Check("expect_column_values_to_be_in_type_list", "c", "critical", True, "failed", 1, 0.1, ""), id="to quarantine"),
    ],
)
def test_only_what_refuses_the_batch_itself_is_said_instead_of_what_follows(root: Check) -> None:
    lost = Check("expect_column_mean_to_be_between", "c", "critical", False, "could_not_run", 0, 0.0, "", "no numbers")
    masks: Any = {"rows": {}, "outcomes": {}}
    assert judge(project(), (root, lost), masks, GOOD, None).reason == "expect_column_mean_to_be_between(c) could not run (no numbers)"


def test_a_full_quarantine_says_why(stores: Stores) -> None:
    reason = clean(stores, changed(GOOD, "weight_kg", list(range(9)), 99.0)).validation.decision.reason
    assert reason.endswith("budget 20.00%: expect_column_values_to_be_between(weight_kg) 9")


def test_a_time_with_a_zone_is_refused_by_its_type(stores: Stores) -> None:
    for zone in ("UTC", "Mars/Phobos"):
        table = GOOD.set_column(0, "at", GOOD["at"].cast(pa.timestamp("ms", zone)))
        assert f"(at) failed (timestamp[ms, tz={zone}])" in clean(stores, table).validation.decision.reason


def test_a_reason_stays_readable_when_everything_fails() -> None:
    many = tuple(Check("e", f"c{i}", "critical", False, "failed", 1, 0.1, "") for i in range(60))
    assert judge(project(), many, {"rows": {}, "outcomes": {}}, GOOD, None).reason.endswith("; and 55 more")


def test_a_changed_raw_file_stops_the_batch(stores: Stores) -> None:
    found = collected(stores, project(), GOOD)
    (stores.var / found.rows_path).write_bytes(b"other bytes")
    with pytest.raises(DataCorrupt):
        prepare(stores, project(), found)


def test_other_rules_give_another_batch(stores: Stores) -> None:
    bad = changed(GOOD, "weight_kg", 3, 99.0)
    assert clean(stores, bad, config=project(suite=[])).rows_path != clean(stores, bad).rows_path


def test_protected_values_are_nowhere(stores: Stores) -> None:
    length = {"type": "expect_column_value_lengths_to_equal", "kwargs": {"column": "person", "value": 3}, "severity": "warning"}
    config = project(suite=[*SUITE, length])
    found = clean(stores, changed(GOOD, "weight_kg", 1, 99.0), config=config)
    publish(stores, config, found, NOW)
    clean(stores, GOOD.append_column("signed_by", pa.array([CANARY] * 40)))
    kept = files(stores)
    assert {Path(p).parts[0] for p in kept} >= {"raw", "staging", "quarantine", "rejected", "reports", "dvc"}
    assert not [p for p, content in kept.items() if CANARY.encode() in content]
    assert CANARY not in str(found)
    pseudonym = table_at(stores, found.rows_path)["person"][0].as_py()
    assert len(pseudonym) == 64, "the row is there under its pseudonym"


@functools.cache
def _faults() -> st.SearchStrategy[list[tuple[int, str, Any]]]:
    """Faults to put into a batch: row, column, value."""
    values: dict[str, list[Any]] = {
        "weight_kg": [-1.0, 99.0, None],
        "carrier": ["Z", None],
        "parcel": [None, 1, 2],
        "stops": [None],
        "at": [None],
    }
    one: st.SearchStrategy[tuple[str, Any]] = st.sampled_from([(c, v) for c, vs in values.items() for v in vs])
    return st.lists(st.tuples(st.integers(0, 39), one).map(lambda f: (f[0], f[1][0], f[1][1])), max_size=12)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(faults=[(0, "parcel", 1)], repeated=[], budget=0.1)  # an outcome is set aside, and no row
@given(faults=_faults(), repeated=st.lists(st.integers(0, 39), max_size=4), budget=st.sampled_from([0.0, 0.1, 1.0]))
def test_no_row_is_lost(stores: Stores, faults: list[tuple[int, str, Any]], repeated: list[int], budget: float) -> None:
    table = GOOD.append_column("nth", pa.array(np.arange(40)))
    for at, column, value in faults:
        table = changed(table, column, at, value)
    table = pa.concat_tables([table, table.take(pa.array(repeated, pa.int64()))])
    table = table.set_column(table.schema.get_field_index("nth"), "nth", pa.array(np.arange(table.num_rows)))
    config = project(columns={"nth": {"type": "int"}}, quarantine_budget=budget)
    found = clean(stores, table, outcomes(GOOD), config)
    if found.kept_at:
        assert table_at(stores, f"{found.kept_at}/rows.parquet")["nth"].to_pylist() == list(range(table.num_rows))
        assert table_at(stores, f"{found.kept_at}/outcomes.parquet").num_rows == 40
        return
    kept = table_at(stores, found.rows_path)
    nth, results = kept["nth"].to_pylist(), found.outcomes
    if found.quarantine_path:
        aside = table_at(stores, found.quarantine_path)
        if "nth" in aside.column_names:  # only outcomes may have been set aside
            nth += [n for n in aside["nth"].to_pylist() if n is not None]
        results += aside.filter(pc.equal(aside["quarantined_from"], "outcomes")).num_rows
        assert all(aside["reasons"].to_pylist()), "every row that is set aside has a reason"
    assert sorted(nth) == list(range(table.num_rows))
    assert results == 40
    assert kept.group_by(["at", "parcel"]).aggregate([([], "count_all")]).num_rows == kept.num_rows, "keys are unique"
