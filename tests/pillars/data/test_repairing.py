"""Declared repairs: each does what it says and is counted, nothing else is touched, and no row is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from pillars.config import Project
from pillars.config_data import Duplicates
from pillars.data.cleaning import prepare
from pillars.data.repairing import losers, repair
from pillars.stores import Stores
from pillars.vocabulary import Prepared
from tests.pillars.data.batches import COLUMNS, changed, collected, outcomes, project, rows, table_at

GOOD = rows("2013-01")
TEXT, NUMBER = {"type": "category"}, {"type": "float"}


def repaired(column: dict[str, Any], rule: dict[str, Any], values: list[Any]) -> tuple[list[Any], int]:
    """A column's values after one rule, and how many rows it says it changed."""
    config = project(columns={"weight_kg": column | {"role": ["feature"], "repair": rule}})
    kind = pa.float64() if column["type"] == "float" else pa.int64() if column["type"] == "int" else pa.string()
    made = repair(config, "rows", pa.table({"weight_kg": pa.chunked_array([pa.array(values[:1], kind), pa.array(values[1:], kind)])}))
    (done,) = made.treatments
    assert done.rows == made.changed.sum()
    return made.table.column("weight_kg").to_pylist(), done.rows


@pytest.mark.parametrize(
    ("column", "rule", "before", "after"),
    [
        (NUMBER, {"null_as": [-999, 0]}, [1.0, -999.0, 0.0, None], [1.0, None, None, None]),
        (TEXT, {"null_as": ["?", "n/a"]}, ["a", "?", None, "n/a"], ["a", None, None, None]),
        (TEXT, {"trim": True}, [" a", "b  c\t", "d e", None], ["a", "b c", "d e", None]),
        (TEXT, {"case": "lower"}, ["A", "straße", "É", None], ["a", "straße", "é", None]),
        (TEXT, {"case": "title"}, ["NEW YORK", "Paris", None], ["New York", "Paris", None]),
        (TEXT, {"values": {"NYC": "New York", "LA": "Los Angeles"}}, ["LA", "x", "NYC", None], ["Los Angeles", "x", "New York", None]),
        (NUMBER, {"clip": [0, 10]}, [-1.0, 0.0, 11.0, None, float("inf")], [0.0, 0.0, 10.0, None, 10.0]),
        (NUMBER, {"clip": [None, 10]}, [-1.0, 11.0], [-1.0, 10.0]),
        ({"type": "int"}, {"clip": [2, None]}, [1, 2, None], [2, 2, None]),
        (NUMBER, {"fill": 0}, [1.0, None, float("nan")], [1.0, 0.0, 0.0]),
        (TEXT, {"fill": ""}, ["a", None], ["a", ""]),
    ],
)
def test_each_rule_does_what_it_says_and_counts_what_it_changed(column: Any, rule: Any, before: list[Any], after: list[Any]) -> None:
    said, count = repaired(column, rule, before)
    assert said == after
    assert count == sum(a != b for a, b in zip(before, after, strict=True))


def test_a_nan_is_not_clipped_to_an_end() -> None:
    said, count = repaired(NUMBER, {"clip": [0, 10]}, [1.0, float("nan")])
    assert np.isnan(said[1])
    assert count == 0


def test_rules_follow_each_other_in_the_order_of_the_documentation() -> None:
    rule = {"fill": "none", "values": {"nyc": "New York"}, "case": "lower", "trim": True}
    config = project(columns={"carrier": COLUMNS["carrier"] | {"repair": rule}})
    made = repair(config, "rows", pa.table({"carrier": [" NYC ", None, "x"]}))
    assert made.table.column("carrier").to_pylist() == ["New York", "none", "x"]
    assert [t.rule for t in made.treatments] == ["trim", "case", "values", "fill"]
    assert made.changed.tolist() == [True, True, False]


def with_units(units: list[str | None], values: list[float | None], to: dict[str, Any]) -> tuple[list[Any], list[bool]]:
    config = project(
        columns={
            "unit": {"type": "category", "repair": {"trim": True, "case": "lower"}},
            "weight_kg": {"type": "float", "role": ["feature"], "repair": {"convert": {"by": "unit", "to": to}}},
        }
    )
    made = repair(config, "rows", pa.table({"weight_kg": pa.array(values, pa.float64()), "unit": pa.array(units, pa.string())}))
    lost = np.logical_or.reduce([np.zeros(len(values), bool), *(u.rows for u in made.unread)])
    assert {u.reason for u in made.unread} <= {"weight_kg has no declared unit", "weight_kg is no float"}
    return made.table.column("weight_kg").to_pylist(), lost.tolist()


def test_units_are_looked_up_after_their_spelling_was_repaired() -> None:
    said, lost = with_units([" LB", "kg", "c"], [10.0, 3.0, 20.0], {"lb": 0.5, "kg": 1, "c": [1.8, 32]})
    assert said == [5.0, 3.0, 68.0]
    assert not any(lost)


def test_a_unit_nobody_declared_is_no_value_and_is_said() -> None:
    said, lost = with_units(["st", None, "st", "kg"], [1.0, 2.0, None, 1e308], {"kg": 1e10})
    assert said[:3] == [None, None, None]
    assert lost == [True, True, False, True], "no value needs no unit; more than a float holds is none"


@pytest.mark.parametrize(
    ("keep", "of", "kept"),
    [
        ("first", None, [0, 2, 4]),
        ("last", None, [3, 4, 5]),
        ("greatest", "at", [1, 4, 5]),
        ("least", "at", [0, 4, 5]),
    ],
)
def test_the_declared_winner_of_a_key_is_kept(keep: Any, of: str | None, kept: list[int]) -> None:
    table = pa.table({"id": ["a", "a", "b", "a", "c", "b", None, None], "at": [1, 3, None, 3, None, 5, 1, 2]})
    lost = losers(Duplicates(keep=keep, of=of), ("id",), table)
    assert np.flatnonzero(~lost).tolist() == [*kept, 6, 7], "rows without a key are nobody's double"


def test_a_table_without_the_deciding_column_has_no_losers() -> None:
    assert not losers(Duplicates(keep="greatest", of="at"), ("id",), pa.table({"id": ["a", "a"]})).any()
    assert losers(Duplicates(), ("id",), pa.table({"id": pa.array([], pa.string())})).tolist() == []


def clean(stores: Stores, table: pa.Table, config: Project) -> Prepared:
    return prepare(stores, config, collected(stores, config, table, outcomes(GOOD)))


def test_repairs_come_before_the_checks_and_are_counted_with_the_batch(stores: Stores) -> None:
    table = changed(changed(GOOD, "weight_kg", [1, 2, 3], 99.0), "carrier", [3, 4], " a")
    config = project(
        columns={
            "weight_kg": COLUMNS["weight_kg"] | {"repair": {"clip": [0, 50]}},
            "carrier": COLUMNS["carrier"] | {"repair": {"trim": True, "case": "upper"}},
        }
    )
    found = clean(stores, table, config)
    assert (found.rows, found.quarantine_path, found.validation.repaired) == (40, "", 4)
    assert [(t.column, t.rule, t.rows) for t in found.validation.treatments] == [
        ("carrier", "trim", 2),
        ("carrier", "case", 2),
        ("weight_kg", "clip", 3),
    ]
    kept = table_at(stores, found.rows_path)
    assert kept["weight_kg"].to_pylist().count(50.0) == 3
    assert found.validation.decision.reason.endswith("; 4 rows repaired")
    assert "clipped" in (stores.var / found.validation.page).read_text()


def test_what_a_repair_did_not_save_is_set_aside_as_it_came(stores: Stores) -> None:
    table = changed(changed(GOOD, "weight_kg", 1, 99.0), "carrier", 1, " a")
    config = project(columns={"carrier": COLUMNS["carrier"] | {"repair": {"trim": True, "case": "upper"}}})
    found = clean(stores, table, config)
    aside = table_at(stores, found.quarantine_path)
    assert aside["carrier"].to_pylist()[0] == " a"
    assert found.validation.repaired == 0, "rows that are kept are counted"


def test_losers_are_set_aside_and_no_fault_of_the_batch(stores: Stores) -> None:
    newer = changed(GOOD.slice(0, 20), "weight_kg", list(range(20)), 7.0)
    older = GOOD.append_column("version", pa.array([1] * 40))
    table = pa.concat_tables([older, newer.append_column("version", pa.array([2] * 20))])
    declared = {"version": {"type": "int"}}
    config = project(columns=declared, duplicates={"keep": "greatest", "of": "version"}, quarantine_budget=0.0)
    found = clean(stores, table, config)
    assert found.rows == 40
    assert table_at(stores, found.rows_path)["weight_kg"].to_pylist().count(7.0) >= 20
    aside = table_at(stores, found.quarantine_path)
    assert aside["version"].to_pylist() == [1] * 20
    assert aside["reasons"].to_pylist() == [["another row of its key is kept"]] * 20
    assert clean(stores, table, project(columns=declared, quarantine_budget=0.0)).kept_at, "undeclared, they count to the budget"


def test_outliers_are_flagged_with_their_keys_and_stay(stores: Stores) -> None:
    table = changed(GOOD, "weight_kg", [5, 6], 5000.0)
    config = project(columns={"weight_kg": COLUMNS["weight_kg"] | {"outliers": {"rule": "mad", "times": 3.5}}}, suite=[])
    found = clean(stores, table, config)
    assert found.rows == 40
    flagged = table_at(stores, found.flagged_path)
    assert flagged["parcel"].to_pylist() == [5, 6]
    assert flagged["value"].to_pylist() == [5000.0, 5000.0]
    assert flagged["most"][0].as_py() < 5000
    assert [(t.rule, t.rows) for t in found.validation.treatments] == [("outliers", 2)]
    assert clean(stores, GOOD, config).flagged_path == ""


@pytest.mark.parametrize(
    ("column", "said"),
    [
        ({"type": "float", "repair": {"trim": True}}, "repair.trim: is for text and categories, this is a float"),
        ({"type": "category", "repair": {"clip": [0, 1]}}, "repair.clip: is for numbers, this is a category"),
        ({"type": "int", "repair": {"convert": {"by": "carrier", "to": {"lb": 0.5}}}}, "declare the column a float"),
        ({"type": "int", "repair": {"fill": 0.5}}, "repair.fill: 0.5 is no value of a int"),
        ({"type": "int", "repair": {"clip": [0.5, None]}}, "repair.clip: 0.5 is no value of a int"),
        ({"type": "float", "repair": {"null_as": ["?"]}}, "repair.null_as: '?' is no value of a float"),
        ({"type": "float", "repair": {"clip": [3, 1]}}, "ends the wrong way round"),
        ({"type": "category", "repair": {"values": {"a": "b", "b": "c"}}}, "b is both a spelling and a meaning"),
        ({"type": "text", "role": ["protected"], "repair": {"trim": True}}, "the column is personal"),
        ({"type": "bool", "role": ["known_later"], "repair": {"fill": False}}, "is not made up"),
        ({"type": "bool", "outliers": {}}, "outliers: a bool has none"),
        ({"type": "float", "repair": {"convert": {"by": "carier", "to": {"lb": 0.5}}}}, "nearest: carrier"),
        ({"type": "float", "repair": {"convert": {"by": "weight_kg", "to": {"lb": 0.5}}}}, "weight_kg must be a category or text"),
        ({"type": "float", "repair": {"clips": [0, 1]}}, "Extra inputs are not permitted"),
    ],
)
def test_what_cannot_be_repaired_so_is_refused_when_the_yaml_is_read(column: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        project(columns={"more": column})
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("duplicates", "said"),
    [
        ({"keep": "greatest"}, "needs of: the column"),
        ({"keep": "first", "of": "at"}, "looks at no column"),
        ({"keep": "least", "of": "att"}, "att is not declared"),
        ({"keep": "least", "of": "carrier"}, "carrier is a category"),
    ],
)
def test_a_winner_that_cannot_be_told_is_refused(duplicates: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as refused:
        project(duplicates=duplicates)
    assert said in str(refused.value)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    heavy=st.lists(st.integers(0, 39), max_size=6),
    odd=st.lists(st.integers(0, 39), max_size=6),
    twice=st.lists(st.integers(0, 39), max_size=10),
    keep=st.sampled_from(["first", "last", "greatest", "least"]),
    spelled=st.booleans(),
)
def test_rows_in_are_rows_kept_and_repaired_and_set_aside(
    stores: Stores, heavy: list[int], odd: list[int], twice: list[int], keep: str, spelled: bool
) -> None:
    table = changed(changed(GOOD, "weight_kg", heavy, 99.0), "carrier", odd, " a" if spelled else "Z")
    table = pa.concat_tables([table, table.take(pa.array(twice, pa.int64()))])
    table = table.append_column("nth", pa.array(np.arange(table.num_rows)))
    config = project(
        columns={
            "nth": {"type": "int"},
            "weight_kg": COLUMNS["weight_kg"] | {"repair": {"clip": [0, 50]}},
            "carrier": COLUMNS["carrier"] | {"repair": {"trim": True, "case": "upper"}},
        },
        duplicates={"keep": keep} | ({"of": "nth"} if keep in ("greatest", "least") else {}),
        quarantine_budget=1.0,
    )
    found = clean(stores, table, config)
    kept = table_at(stores, found.rows_path)
    nth = kept["nth"].to_pylist()
    if found.quarantine_path:
        nth += [n for n in table_at(stores, found.quarantine_path).to_pydict().get("nth", []) if n is not None]
    assert sorted(nth) == list(range(table.num_rows))
    came = {row["nth"]: row for row in table.to_pylist()}
    other = [
        row
        for row in kept.to_pylist()
        if (row["weight_kg"], row["carrier"]) != (came[row["nth"]]["weight_kg"], came[row["nth"]]["carrier"])
    ]
    assert found.validation.repaired == len(other)
