from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from pillars.data.schema import alike, conform
from tests.pillars.data.batches import outcomes, project, rows


def one(column: str, values: Any, kind: pa.DataType | None = None) -> pa.DataType:
    """Type that a column has after it was made to conform."""
    return conform(project(), pa.table({column: pa.array(values, kind)}), (column,)).schema.field(column).type


@pytest.mark.parametrize(
    ("column", "values", "given", "expected"),
    [
        pytest.param("weight_kg", [1, 2], pa.int32(), pa.float64(), id="whole numbers are floats"),
        pytest.param("weight_kg", [1.5], pa.float32(), pa.float64(), id="short floats are floats"),
        pytest.param("stops", [1.0, None], pa.float64(), pa.int64(), id="floats without fraction are ints"),
        pytest.param("stops", [1.5], pa.float64(), pa.float64(), id="a fraction is no int"),
        pytest.param("stops", [True], pa.bool_(), pa.bool_(), id="a flag is no int"),
        pytest.param("stops", ["1"], pa.string(), pa.string(), id="text is not parsed"),
        pytest.param("stops", [None], pa.null(), pa.int64(), id="nulls alone are of any type"),
        pytest.param("express", [1], pa.int64(), pa.int64(), id="a number is no flag"),
        pytest.param("carrier", ["A"], pa.dictionary(pa.int8(), pa.string()), pa.string(), id="a dictionary is text"),
        pytest.param("carrier", [1], pa.int64(), pa.int64(), id="a number is no text"),
        pytest.param("at", [0], pa.timestamp("ns"), pa.timestamp("ns"), id="any timestamp"),
        pytest.param("at", [None], pa.null(), pa.timestamp("s"), id="no time at all"),
        pytest.param("unheard_of", [1], pa.int8(), pa.int8(), id="undeclared"),
    ],
)
def test_a_column_is_cast_where_nothing_is_lost(column: str, values: Any, given: pa.DataType, expected: pa.DataType) -> None:
    assert one(column, values, given) == expected


def test_declared_columns_come_first_in_their_order() -> None:
    table = rows("2013-01").append_column("extra", pa.array([1] * 40))
    shuffled = table.select(sorted(table.column_names, reverse=True))
    found = conform(project(), shuffled, project().row_columns)
    assert found.column_names == [*project().row_columns, "extra"]


def test_keys_of_outcomes_take_the_unit_of_the_rows() -> None:
    table = rows("2013-01")
    finer = outcomes(table).set_column(0, "at", table["at"].cast(pa.timestamp("us")))
    assert alike(finer, table.schema, project().key).schema.field("at").type == pa.timestamp("ms")
    split = finer.set_column(0, "at", pa.array([1] * 40, pa.timestamp("us")))
    assert alike(split, table.schema, project().key).schema.field("at").type == pa.timestamp("us"), "a microsecond would be lost"
