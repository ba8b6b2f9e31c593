"""Another future of a raw table: what was known by a moment stays bit for bit, all else is surely another."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.data.future import another, changed

START = datetime(2024, 1, 1)


def table(n: int = 200, zone: str | None = None) -> pa.Table:
    rng = np.random.default_rng(0)
    lent = np.sort(rng.integers(0, 60 * 86_400, n))
    back = lent + rng.integers(86_400, 20 * 86_400, n)
    at = [pa.array(np.datetime64(START, "s") + seconds.astype("timedelta64[s]"), pa.timestamp("s", zone)) for seconds in (lent, back)]
    missing = rng.random(n) < 0.1
    late, stars = pa.array(rng.random(n) < 0.5), pa.array(rng.integers(1, 6, n), pa.int8())
    fee = pa.array(rng.normal(size=n), mask=missing)
    shelf = pa.array(rng.choice(["a", "b"], n)).dictionary_encode()
    return pa.table(
        {"loan": pa.array(np.arange(n)), "lent_at": at[0], "back_at": at[1], "late": late, "fee": fee, "stars": stars, "shelf": shelf}
    )


KNOWN = dict.fromkeys(("back_at", "late", "fee", "stars", "shelf"), "back_at")


@settings(deadline=None, max_examples=40)
@given(days=st.integers(-5, 90), seed=st.integers(0, 2**31), zone=st.sampled_from([None, "UTC"]))
def test_what_was_known_stays_and_the_rest_is_another(days: int, seed: int, zone: str | None) -> None:
    raw, now = table(zone=zone), START + timedelta(days=days)
    plain = raw.column("back_at").cast(pa.timestamp("s"))
    later = plain.to_numpy() > np.datetime64(now, "s")
    found = another(raw, now, seed, known=KNOWN)
    assert found.schema.names == raw.schema.names
    for name in KNOWN:
        one, other = (t.column(name).filter(pa.array(~later)) for t in (raw, found))
        assert changed(one.cast(other.type), other) == 0, name
        one, other = (t.column(name).filter(pa.array(later)) for t in (raw, found))
        same = len(one) - changed(one.cast(other.type), other)
        assert same == 0 if name != "back_at" else same < max(2, len(one) / 10), name
    assert (found.column("back_at").cast(pa.timestamp("s")).to_numpy()[later] > np.datetime64(now, "s")).all(), "still to come"
    assert found.column("lent_at").equals(raw.column("lent_at"))


def test_rows_that_were_not_there_yet_are_others_and_some_are_gone() -> None:
    raw, now = table(), START + timedelta(days=30)
    found = another(raw, now, 3, since="lent_at")
    known = int((raw.column("lent_at").to_numpy() <= np.datetime64(now, "s")).sum())
    assert found.slice(0, known).equals(raw.slice(0, known))
    assert known < found.num_rows < raw.num_rows
    assert not found.slice(known).equals(raw.slice(known, found.num_rows - known))
    assert another(raw, now, 3, since="lent_at").equals(found)
    assert not another(raw, now, 4, since="lent_at").equals(found)


def test_a_row_whose_time_is_missing_may_still_come() -> None:
    raw = pa.table({"back_at": pa.array([None, START], pa.timestamp("us")), "late": pa.array([True, True])})
    assert another(raw, START, 0, known={"late": "back_at"}).column("late").to_pylist() == [False, True]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param(pa.array(["a", "a"]), ["a", "not a"], id="one word"),
        pytest.param(pa.array([5, 5]), [5, 0], id="one number"),
        pytest.param(pa.array([0.0, 0.0]), [0.0, 1.0], id="zero"),
        pytest.param(pa.array([True, True]), [True, False], id="one truth"),
        pytest.param(pa.array([None, None], pa.int64()), [None, None], id="nothing"),
    ],
)
def test_even_where_a_column_has_one_value_it_is_another(values: pa.Array, expected: list[object]) -> None:
    raw = pa.table({"at": pa.array([START, START + timedelta(days=1)], pa.timestamp("s")), "x": values})
    assert another(raw, START, 0, known={"x": "at"}).column("x").to_pylist() == expected


def test_no_rows_have_another_future_too() -> None:
    assert another(table().slice(0, 0), START, 0, since="lent_at", known=KNOWN).num_rows == 0


def test_changed_counts_places_and_takes_nulls_and_nans_as_equal() -> None:
    def of(*values: float | None) -> pa.ChunkedArray:
        return pa.chunked_array([pa.array(values, pa.float64())])

    assert changed(of(1, None, float("nan")), of(1, None, float("nan"))) == 0
    assert changed(of(1, None, float("nan"), 2), of(2, 1, None, 2)) == 3
    assert changed(of(1, 2), pa.chunked_array([pa.array([1, 2])])) == 2, "another type is another column"
