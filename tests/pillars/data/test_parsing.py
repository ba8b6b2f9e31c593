from __future__ import annotations

import math
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillars.config_data import Column
from pillars.data.parsing import parse, values_of
from pillars.data.schema import doubles
from tests.pillars.data.batches import CANARY, project


def read(kind: str, given: list[Any], type_: pa.DataType | None = None, **how: Any) -> list[Any]:
    """Values as a column of this kind has them."""
    column = Column.model_validate({"type": kind, **how})
    return values_of(column, pa.chunked_array([pa.array(given, type_)])).to_pylist()


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=4))
def test_a_decimal_is_the_number_its_text_is(value: Decimal) -> None:
    assert read("float", [value], pa.decimal128(20, 4)) == [float(value)]
    assert doubles(pa.array([value], pa.decimal128(20, 4))).to_pylist() == [float(value)]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        pytest.param("float", "1.5", 1.5, id="a number"),
        pytest.param("float", " 2 ", 2.0, id="blanks around it"),
        pytest.param("float", "-.5e-3", -0.0005, id="with an exponent"),
        pytest.param("float", "1,234.5", 1234.5, id="grouped thousands"),
        pytest.param("float", "0,289", None, id="nothing is grouped after a zero"),
        pytest.param("int", "1234567890123456789", 1234567890123456789, id="19 digits"),
        pytest.param("float", "1,23", None, id="a comma that groups nothing"),
        pytest.param("float", "1e400", None, id="beyond every float"),
        pytest.param("float", "inf", None, id="infinity is no number"),
        pytest.param("float", "12 kg", None, id="with a unit"),
        pytest.param("float", "0x1F", None, id="hexadecimal"),
        pytest.param("float", "1_000", None, id="as Python may write it"),
        pytest.param("float", "", None, id="nothing"),
        pytest.param("int", "7", 7, id="a whole number"),
        pytest.param("int", "5.0", 5, id="whole, with a point, as a column with gaps is exported"),
        pytest.param("int", "5.5", None, id="not whole"),
        pytest.param("int", "9007199254740993", 9007199254740993, id="above what floats can tell apart"),
        pytest.param("int", "99999999999999999999", None, id="beyond 64 bits"),
        pytest.param("bool", "TRUE", True, id="true"),
        pytest.param("bool", "n", False, id="n"),
        pytest.param("bool", "1", True, id="one"),
        pytest.param("bool", "0.0", False, id="zero as a float"),
        pytest.param("bool", "2", None, id="two"),
        pytest.param("bool", "maybe", None, id="maybe"),
        pytest.param("timestamp", "2013-02-28", datetime(2013, 2, 28), id="a day"),
        pytest.param("timestamp", "2013-02-28 13:45", datetime(2013, 2, 28, 13, 45), id="a minute"),
        pytest.param("timestamp", "2013-02-28T13:45:07.25", datetime(2013, 2, 28, 13, 45, 7, 250_000), id="a fraction of a second"),
        pytest.param("timestamp", "2013-02-28T13:45:00Z", datetime(2013, 2, 28, 13, 45), id="in UTC"),
        pytest.param("timestamp", "2013-02-28 13:45+02:00", datetime(2013, 2, 28, 11, 45), id="in a zone: the moment in UTC"),
        pytest.param("timestamp", "2013-02-30", None, id="no such day"),
        pytest.param("timestamp", "2013-02-28 24:01", None, id="no such hour"),
        pytest.param("timestamp", "28.02.2013", None, id="a form nobody declared"),
        pytest.param("timestamp", "1362059100", None, id="seconds since when?"),
        pytest.param("category", " A ", " A ", id="words stay as they are"),
    ],
)
def test_text_is_read_as_its_column_says(kind: str, text: str, value: object) -> None:
    assert read(kind, ["x", text, None], pa.string())[1:] == [value, None]


@pytest.mark.parametrize(
    ("how", "texts", "values"),
    [
        pytest.param(
            {"type": "float", "decimal": ","}, ["1,5", "1.234,5", "1.5", "1.234"], [1.5, 1234.5, None, 1234.0], id="decimal comma"
        ),
        pytest.param({"type": "int", "decimal": ","}, ["1.234", "5,0", "5,5"], [1234, 5, None], id="whole numbers with it"),
        pytest.param(
            {"type": "bool", "true_as": [">50K"], "false_as": ["<=50K"]}, [">50K", "<=50K", "?"], [True, False, None], id="own words"
        ),
        pytest.param(
            {"type": "bool", "true_as": [" >50K"], "false_as": [" <=50K"]}, [" >50K", "<=50K"], [True, False], id="blanks around words"
        ),
        pytest.param(
            {"type": "timestamp", "format": "%d.%m.%Y"}, ["15.02.13", "15.02.2013"], [None, datetime(2013, 2, 15)], id="short years"
        ),
        pytest.param(
            {"type": "timestamp", "format": "%d.%m.%Y"},
            ["28.02.2013", "1.3.2013", "31.02.2013", "01.03.2013", "x"],
            [datetime(2013, 2, 28), datetime(2013, 3, 1), None, datetime(2013, 3, 1), None],
            id="own form of a date",
        ),
    ],
)
def test_a_column_may_say_how_it_is_written(how: dict[str, Any], texts: list[str], values: list[object]) -> None:
    assert read(how.pop("type"), texts, pa.string(), **how) == values


@pytest.mark.parametrize(
    ("kind", "given", "type_", "values"),
    [
        pytest.param("bool", [1, 0, 2, None], pa.int64(), [True, False, None, None], id="numbers that are flags"),
        pytest.param("int", [1.0, 2.5, math.nan, None], pa.float64(), [1, None, None, None], id="floats that are whole"),
        pytest.param("float", [Decimal("1.25"), None], pa.decimal128(9, 2), [1.25, None], id="decimals"),
        pytest.param("category", [10115, None], pa.int64(), ["10115", None], id="numbers that are words"),
        pytest.param("category", ["a", None], pa.dictionary(pa.int32(), pa.string()), ["a", None], id="a dictionary"),
        pytest.param("timestamp", [date(2013, 2, 28), None], pa.date32(), [datetime(2013, 2, 28), None], id="days"),
        pytest.param(
            "timestamp",
            [datetime(2013, 2, 28, 12, tzinfo=UTC)],
            pa.timestamp("ms", "America/New_York"),
            [datetime(2013, 2, 28, 12)],
            id="zoned",
        ),
        pytest.param("timestamp", [1362059100], pa.int64(), [None], id="a number is no time"),
        pytest.param("float", [date(2013, 2, 28)], pa.date32(), [None], id="a day is no number"),
        pytest.param("float", [None, None], pa.null(), [None, None], id="nothing at all"),
    ],
)
def test_what_databases_and_parquet_have_is_brought_to_the_declared_type(
    kind: str, given: list[Any], type_: pa.DataType, values: list[object]
) -> None:
    assert read(kind, given, type_) == values


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.none(), max_size=200))
def test_a_float_that_was_written_is_read_again_bit_for_bit(numbers: list[float | None]) -> None:
    assert read("float", [None if n is None else repr(n) for n in numbers], pa.string()) == numbers


@given(st.lists(st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)), max_size=100))
def test_a_time_that_was_written_is_read_again(times: list[datetime]) -> None:
    assert read("timestamp", [t.isoformat(sep=" ") for t in times], pa.string()) == times


@given(st.lists(st.text(max_size=12), max_size=50), st.sampled_from(["float", "int", "bool", "timestamp"]))
def test_whatever_text_comes_nothing_is_raised_and_no_row_is_lost(texts: list[str], kind: str) -> None:
    assert len(read(kind, texts, pa.string())) == len(texts)


def test_rows_with_unreadable_values_are_named_by_column_and_protected_ones_are_left_alone() -> None:
    table = pa.table({"weight_kg": ["1.5", "heavy", " ", None], "stops": ["1", "2", "x", "4"], "person": [CANARY, "1", None, "x"]})
    found, unread = parse(project(), table)
    assert found["weight_kg"].to_pylist() == [1.5, None, None, None]
    assert {one.reason: one.rows.tolist() for one in unread} == {
        "weight_kg is no float": [False, True, False, False],
        "stops is no int": [False, False, True, False],
    }
    assert found["person"].to_pylist() == [CANARY, "1", None, "x"]
