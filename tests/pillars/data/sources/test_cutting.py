from __future__ import annotations

from datetime import datetime

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillars.config_data import Every
from pillars.data.sources.cutting import cut, names_of, numbered
from pillars.errors import SourceBroken
from pillars.periods import last_second, span
from tests.pillars.data.sources.ways import project_of

SPANS: list[Every] = ["hour", "day", "week", "month", "quarter", "year"]
times = st.datetimes(datetime(1971, 1, 1), datetime(2199, 12, 30))


def table(*at: str | None) -> pa.Table:
    return pa.table({"at": pa.array(at, pa.string()), "n": pa.array(range(len(at)))})


def rows_of(found: dict[str, pa.Table]) -> dict[str, list[int]]:
    return {period: part["n"].to_pylist() for period, part in found.items()}


def test_rows_are_cut_by_time_and_keep_their_order() -> None:
    project = project_of({"file": "a.csv"})
    found = cut(project, table("2013-02-01", "2013-01-31 23:59", "2013-02-28", "2013-01-01"))
    assert rows_of(found) == {"2013-01": [1, 3], "2013-02": [0, 2]}


def test_a_row_without_a_time_goes_with_the_one_before_it() -> None:
    project = project_of({"file": "a.csv"})
    assert rows_of(cut(project, table(None, "2013-01-05", "soon", "2013-02-01", None))) == {"2013-01": [0, 1, 2], "2013-02": [3, 4]}


def test_blocks_are_numbered_and_the_newest_can_wait() -> None:
    project = project_of({"file": "a.csv", "batches": {"by": "rows", "size": 2}})
    assert rows_of(cut(project, table(*["2013-01-01"] * 5))) == {"00000001": [0, 1], "00000002": [2, 3], "00000003": [4]}
    held = project_of({"file": "a.csv", "batches": {"by": "rows", "size": 2, "hold_newest": True}})
    assert list(cut(held, table(*["2013-01-01"] * 5))) == ["00000001", "00000002"]


def test_a_shuffled_file_must_not_grow() -> None:
    """Its blocks would be drawn anew: rows in two of them, and rows in none."""
    project = project_of({"file": "a.csv", "batches": {"by": "rows", "size": 2, "shuffled": 4}})
    with pytest.raises(SourceBroken, match=r"it has 5 rows, and source\.batches\.shuffled says 4: all blocks would be drawn anew"):
        cut(project, table(*["2013-01-01"] * 5))


@given(st.integers(1, 200), st.integers(1, 60), st.booleans())
def test_every_row_is_in_exactly_one_block(rows: int, size: int, shuffled: bool) -> None:
    project = project_of({"file": "a.csv", "batches": {"by": "rows", "size": size} | ({"shuffled": rows} if shuffled else {})})
    found = rows_of(cut(project, table(*["2013-01-01"] * rows)))
    assert sorted(n for part in found.values() for n in part) == list(range(rows))
    assert [len(part) for part in found.values()][:-1] == [size] * (len(found) - 1)
    assert all(part == sorted(part) for part in found.values())
    assert found == rows_of(cut(project, table(*["2013-01-01"] * rows))), "the same blocks again"


@given(st.lists(times | st.none(), min_size=1, max_size=60), st.sampled_from(SPANS))
def test_every_row_is_in_exactly_one_period_and_within_its_span(moments: list[datetime | None], every: Every) -> None:
    project = project_of({"file": "a.csv", "batches": {"every": every}})
    given = pa.table({"at": pa.array(moments, pa.timestamp("us")), "n": range(len(moments))})
    if all(moment is None for moment in moments):
        with pytest.raises(SourceBroken, match="no row has a time in column at"):
            cut(project, given)
        return
    found = cut(project, given)
    assert sorted(n for part in rows_of(found).values() for n in part) == list(range(len(moments)))
    assert list(found) == sorted(found)
    for period, part in found.items():
        ends = span(period)
        assert ends is not None
        assert all(ends[0] <= at < ends[1] for at in part["at"].to_pylist() if at is not None)
        assert last_second(period) is not None


@given(times, st.sampled_from(SPANS))
def test_periods_sort_as_their_times_do(moment: datetime, every: Every) -> None:
    first = names_of(pa.array([moment], pa.timestamp("us")), every)[0].as_py()
    ends = span(first)
    assert ends is not None
    after = names_of(pa.array([ends[1]], pa.timestamp("us")), every)[0].as_py()
    assert first < after
    assert span(after)[0] == ends[1], "one begins where the other ends"  # type: ignore[index]


def test_a_table_without_the_time_is_refused() -> None:
    with pytest.raises(SourceBroken, match=r"source file a\.csv: it has no column at, by which its rows are cut"):
        cut(project_of({"file": "a.csv"}), pa.table({"n": [1]}))


def test_times_that_cannot_be_read_ask_for_their_form() -> None:
    with pytest.raises(SourceBroken, match=r"no row has a time in column at; say its format under columns, such as %d\.%m\.%Y"):
        cut(project_of({"file": "a.csv"}), table("01.02.2013", "02.02.2013"))


def test_rows_can_be_numbered() -> None:
    project = project_of({"file": "a.csv", "row_number": "row"})
    assert numbered(project, table("2013-01-01", None))["row"].to_pylist() == [1, 2]
    with pytest.raises(SourceBroken, match="it has a column row already"):
        numbered(project, pa.table({"row": [1]}))


def test_a_row_of_a_period_after_the_next_goes_with_the_one_before_it() -> None:
    project = project_of({"file": "a.csv"})
    given, now = table("2013-01-05", "2031-07-01", "2013-02-01", "2013-03-31"), datetime(2013, 2, 10)
    assert rows_of(cut(project, given, now)) == {"2013-01": [0, 1], "2013-02": [2], "2013-03": [3]}
    allowed = project_of({"file": "a.csv"}, expectations={"freshness": False})
    assert rows_of(cut(allowed, given, now)) == {"2013-01": [0], "2013-02": [2], "2013-03": [3], "2031-07": [1]}
    with pytest.raises(SourceBroken, match="every time in column at is in the future, the first is 2031-07-01"):
        cut(project, table("2031-07-01", None), now)


def test_a_file_without_rows_is_named() -> None:
    with pytest.raises(SourceBroken, match=r"source file a\.csv: it names its columns and has no row"):
        cut(project_of({"file": "a.csv"}), table())
