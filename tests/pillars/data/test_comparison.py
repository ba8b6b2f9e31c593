from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillars.data.comparison import Change, Moved, compare, distance
from pillars.data.parquet import write_parquet
from pillars.data.versions import publish
from pillars.stores import Stores
from pillars.vocabulary import DataVersion
from tests.pillars.data.batches import NOW, changed, prepared, project, rows

P = project()


def version(stores: Stores, table: pa.Table | None = None, period: str = "2013-01") -> DataVersion:
    """The data set after these rows came."""
    batch = prepared(stores, period, with_outcomes=False)
    if table is not None:
        write_parquet(stores.var / batch.rows_path, table)
    return publish(stores, P, batch, NOW)


GOOD = rows("2013-01").drop_columns(["person"])


def test_equal_versions_do_not_differ(stores: Stores) -> None:
    one = version(stores)
    assert compare(stores, P, one, one) == ()


def test_a_new_period_is_added_and_gone_again_the_other_way(stores: Stores) -> None:
    one, two = version(stores), version(stores, period="2013-02")
    assert compare(stores, P, one, two) == (Change("2013-02", "rows", "added", 0, 40, added=40),)
    assert compare(stores, P, two, one) == (Change("2013-02", "rows", "removed", 40, 0, removed=40),)


def test_rows_are_told_apart_by_key(stores: Stores) -> None:
    old = version(stores)
    table = changed(changed(GOOD, "weight_kg", [3, 4], 49.0), "carrier", 4, "B")
    table = pa.concat_tables([table.slice(2), changed(changed(GOOD, "parcel", 0, 900), "weight_kg", 0, 1.0).slice(0, 1)])
    (found,) = compare(stores, P, old, version(stores, table))
    assert (found.how, found.before, found.after, found.added, found.removed) == ("changed", 40, 39, 1, 2)
    assert found.changed == 2
    assert next(m for m in found.columns if m.column == "weight_kg").rows == 2
    assert all(0 <= m.distance <= 1 for m in found.columns)
    assert found.keys[0] == " ".join(str(GOOD[k][0].as_py()) for k in P.key), "the first that is gone"


def test_a_value_that_goes_missing_differs(stores: Stores) -> None:
    old = version(stores)
    (found,) = compare(stores, P, old, version(stores, changed(GOOD, "weight_kg", 0, None)))
    assert (found.changed, found.columns) == (1, (Moved("weight_kg", 1, 0.025),))


def test_the_order_of_rows_is_no_difference(stores: Stores) -> None:
    old = version(stores)
    (found,) = compare(stores, P, old, version(stores, GOOD.take(pa.array(np.arange(40)[::-1].copy()))))
    assert (found.added, found.removed, found.changed, found.columns) == (0, 0, 0, ())


def test_columns_that_come_go_or_change_their_type_are_said(stores: Stores) -> None:
    old = version(stores)
    table = GOOD.drop_columns(["stops"]).append_column("depot", pa.array(["north"] * 40))
    at = table.schema.get_field_index("express")
    table = table.set_column(at, "express", table["express"].cast(pa.string()))
    (found,) = compare(stores, P, old, version(stores, table))
    assert found.schema == ("depot is new", "stops is gone", "express was bool and is string")
    assert found.changed == 0


def test_keys_of_persons_are_not_shown(stores: Stores) -> None:
    guarded = project(columns={"parcel": {"type": "text", "role": ["key", "protected"]}})
    old, new = version(stores), version(stores, changed(GOOD, "weight_kg", 0, 1.0))
    (found,) = compare(stores, guarded, old, new)
    assert (found.changed, found.keys) == (1, ())


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        pytest.param([1.0, 2.0], [2.0, 1.0], 0.0, id="the same values"),
        pytest.param(["a", "b"], ["c", "d"], 1.0, id="nothing in common"),
        pytest.param(["a", "a", "b", "b"], ["a", "b", "b", "b"], 0.25, id="a quarter moved"),
        pytest.param([1.0, 2.0], [None, None], 1.0, id="all missing"),
        pytest.param([None], [None], 0.0, id="missing before and after"),
        pytest.param([], [1.0], 0.5, id="from nothing"),
    ],
)
def test_the_distance_of_distributions(before: list[object], after: list[object], expected: float) -> None:
    kind = pa.string() if any(isinstance(v, str) for v in before) else pa.float64()
    a, b = (pa.chunked_array([pa.array(values, kind)]) for values in (before, after))
    assert distance(a, b) == expected


numbers = st.lists(st.none() | st.floats(-1e6, 1e6), min_size=1, max_size=60)


@given(numbers, numbers)
def test_a_distance_lies_between_nothing_and_all(before: list[float | None], after: list[float | None]) -> None:
    a, b = (pa.chunked_array([pa.array(values, pa.float64())]) for values in (before, after))
    assert 0 <= distance(a, b) <= 1
    assert distance(a, a) == 0
