from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pillars.data.hollow import hollow
from tests.pillars.data.batches import outcomes, project, rows

GOOD = rows("2013-01")


def with_column(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.schema.get_field_index(name), name, values)


@pytest.mark.parametrize(
    ("table", "named"),
    [
        pytest.param(GOOD, [], id="some nulls are fine"),
        pytest.param(with_column(GOOD, "weight_kg", pa.nulls(40)), ["weight_kg"], id="a feature"),
        pytest.param(with_column(GOOD, "weight_kg", pa.array([np.nan] * 40)), ["weight_kg"], id="NaN alone"),
        pytest.param(with_column(GOOD, "carrier", pa.nulls(40)), [], id="no null may be: the row's fault"),
        pytest.param(with_column(GOOD, "stops", pa.nulls(40)), [], id="no model sees it"),
        pytest.param(with_column(outcomes(GOOD), "late", pa.nulls(40)), ["late"], id="the target"),
        pytest.param(GOOD.slice(0, 0), [], id="no rows: said already"),
    ],
)
def test_a_column_that_a_model_needs_and_that_is_null_throughout_warns(table: pa.Table, named: list[str]) -> None:
    found = hollow(project(), table)
    assert [(c.column, c.severity, c.quarantine, c.detail) for c in found] == [(n, "warning", False, "null in every row") for n in named]
