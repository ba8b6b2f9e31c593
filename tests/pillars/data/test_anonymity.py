from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.config import Project
from pillars.data.anonymity import anonymise
from pillars.data.cleaning import prepare
from pillars.stores import Stores
from tests.pillars.data.batches import collected, project, rows, table_at

COLUMNS: dict[str, Any] = {
    "age": {"type": "int"},
    "height_m": {"type": "float"},
    "zip": {"type": "text"},
    "born": {"type": "timestamp"},
    "stops": {"type": "int"},
}
QUASI: dict[str, Any] = {"age": [5, 20], "zip": [3, 1]}


def private(k: int = 3, quasi: dict[str, Any] | None = None, **more: Any) -> Project:
    asked = QUASI if quasi is None else quasi
    base = project(columns={name: column for name, column in COLUMNS.items() if name in asked}).model_dump()
    return Project.model_validate(base | {"privacy": {"k": k, "quasi": asked} | more})


def people(ages: list[int | None], zips: list[str | None], persons: list[str] | None = None) -> pa.Table:
    table = pa.table({"age": pa.array(ages, pa.int64()), "zip": pa.array(zips, pa.string())})
    return table if persons is None else table.append_column("person", pa.array(persons))


@settings(max_examples=200, deadline=None)
@given(
    given=st.lists(
        st.tuples(
            st.none() | st.integers(-30, 90),
            st.none() | st.text("0123", min_size=0, max_size=5),
            st.sampled_from("abcdefgh"),
        ),
        min_size=1,
        max_size=60,
    ),
    k=st.integers(2, 6),
)
def test_nobody_stands_in_a_group_below_k(given: list[tuple[int | None, str | None, str]], k: int) -> None:
    ages, zips, persons = (list(column) for column in zip(*given, strict=True))
    table = people(ages, zips, persons)
    found = anonymise(private(k, subject="person"), table).table
    groups = defaultdict(set)
    for age, place, person in zip(*(found.column(name).to_pylist() for name in ("age", "zip", "person")), strict=True):
        groups[age, place].add(person)
    groups.pop((None, None), None)
    assert all(len(group) >= k for group in groups.values())
    assert found.num_rows == len(given)
    assert found["person"].to_pylist() == persons, "other columns are as they were"
    again = anonymise(private(k, subject="person"), table.take(pa.array(np.arange(len(given))[::-1]))).table
    assert again.take(pa.array(np.arange(len(given))[::-1])).equals(found), "in any order"


def test_the_finest_step_that_holds_is_taken() -> None:
    three = [["02139"] * 3, ["02139", "02138", "02137"], ["02139", "02999", "01111"]]
    assert anonymise(private(), people([31, 31, 31], three[0])).table["zip"].to_pylist() == ["02139"] * 3
    middle = anonymise(private(), people([30, 31, 34], three[1])).table
    assert (middle["age"].to_pylist(), middle["zip"].to_pylist()) == ([32] * 3, ["021*"] * 3)
    last = anonymise(private(), people([20, 31, 39], three[2])).table
    assert (last["age"].to_pylist(), last["zip"].to_pylist()) == ([30] * 3, ["0*"] * 3)


def test_what_stays_alone_is_suppressed_and_counted() -> None:
    found = anonymise(private(), people([30, 31, 34, 90], ["02139"] * 4))
    assert found.small == 1
    assert found.table.slice(3).to_pylist() == [{"age": None, "zip": None}]
    assert {t.column: t.rows for t in found.treatments} == {"age": 3, "zip": 4}, "30 is the middle of its interval"
    assert "step 2 of 2" in found.treatments[0].detail
    assert "1 rows in smaller groups" in found.treatments[0].detail


def test_one_person_of_many_rows_is_no_group() -> None:
    table = people([30] * 4, ["02139"] * 4, ["Ada"] * 4)
    assert anonymise(private(), table).small == 0, "counted by rows"
    assert anonymise(private(subject="person"), table).small == 4, "counted by persons"


def test_each_type_is_coarsened_as_it_says() -> None:
    born = np.array(["1990-05-17T08:00", "1990-11-02T09:30", "1990-01-01T00:00"], "datetime64[ms]")
    table = pa.table({"height_m": [1.71, 1.74, 1.79], "born": pa.array(born)})
    found = anonymise(private(quasi={"height_m": [0.1], "born": ["month", "year"]}), table).table
    assert found["height_m"].to_pylist() == pytest.approx([1.75] * 3)
    assert [str(at) for at in found["born"].to_pylist()] == ["1990-01-01 00:00:00"] * 3
    assert found.schema.field("born").type == table.schema.field("born").type


def test_a_batch_is_coarsened_and_its_books_balance(stores: Stores) -> None:
    opened = private(quasi={"stops": [2, 10]})
    found = prepare(stores, opened, collected(stores, opened, rows("2013-01")))
    kept = table_at(stores, found.rows_path)
    counts = dict(zip(*np.unique(kept["stops"].drop_null().to_numpy(), return_counts=True), strict=True))
    assert found.rows == 40
    assert min(counts.values()) >= 3
    assert [t.rule for t in found.validation.treatments] == ["k-anonymity"]
    assert found.validation.repaired == 0


def test_a_batch_with_a_small_group_is_refused_where_that_is_said(stores: Stores) -> None:
    opened = private(k=30, quasi={"stops": [1]}, small_groups="refuse")
    found = prepare(stores, opened, collected(stores, opened, rows("2013-01")))
    assert not found.validation.decision
    assert "rows stay in groups of fewer than 30 after the last step" in found.validation.decision.reason
    assert found.kept_at


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"k": 3}, "k and quasi belong together"),
        ({"quasi": {"age": [5]}}, "k and quasi belong together"),
        ({"k": 3, "quasi": {"age": []}}, "age has no step"),
        ({"k": 3, "quasi": {"agee": [5]}}, "agee is not declared under columns; nearest: age"),
        ({"k": 3, "quasi": {"age": [20, 5]}}, "age: each step must be greater"),
        ({"k": 3, "quasi": {"age": [2.5]}}, "age: steps of a int are whole numbers"),
        ({"k": 3, "quasi": {"zip": [1, 3]}}, "zip: each step must be smaller"),
        ({"k": 3, "quasi": {"zip": ["day"]}}, "zip: steps of a text are numbers"),
        ({"k": 3, "quasi": {"born": [5]}}, "born: steps of a timestamp are"),
        ({"k": 3, "quasi": {"born": ["year", "day"]}}, "born: each step must be coarser"),
        ({"k": 3, "quasi": {"person": [3]}}, "person must be no flag"),
        ({"k": 3, "quasi": {"at": ["day"]}}, "at must be no flag"),
        ({"k": 3, "quasi": {"carrier": [1]}}, "carrier may become null"),
        ({"subject": "persn"}, "persn is not declared under columns; nearest: person"),
        ({"subject": "zip"}, "zip must be a personal column"),
    ],
)
def test_half_a_rule_is_refused(said: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        Project.model_validate(project(columns=COLUMNS).model_dump() | {"privacy": said})


def test_a_person_unknown_to_the_outcomes_is_refused() -> None:
    base = project(columns=COLUMNS | {"signed_by": {"type": "text", "role": ["known_later"], "class": "personal"}}).model_dump()
    with pytest.raises(ValueError, match="signed_by is personal, of the outcomes, where person is not"):
        Project.model_validate(base | {"privacy": {"subject": "person"}})
