"""Declared columns as Arrow types: a batch is brought to them where nothing is lost by it."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.config_data import Column

ARROW = {
    "float": pa.float64(),
    "int": pa.int64(),
    "category": pa.string(),
    "text": pa.string(),
    "bool": pa.bool_(),
}  # a timestamp keeps its own unit: any is fine


def conform(project: Project, table: pa.Table, names: tuple[str, ...], left: Collection[str] = ()) -> pa.Table:
    """`table` with the columns `names` first and in that order, each but those `left` cast to its declared type where that loses nothing.

    Columns that are missing stay missing, undeclared ones follow at the end, and one that cannot be cast keeps its type:
    validation says so, here nothing is refused.
    """
    order = [n for n in names if n in table.column_names] + [n for n in table.column_names if n not in names]
    return pa.table({n: table.column(n) if n in left else _cast(table.column(n), project.columns.get(n)) for n in order})


def alike(outcomes: pa.Table, rows: pa.Schema, key: tuple[str, ...], left: Collection[str] = ()) -> pa.Table:
    """`outcomes` with its key columns, but those `left`, in the types of `rows` where nothing is lost: seconds may meet milliseconds."""
    for name in key:
        if name in outcomes.column_names and name in rows.names and name not in left:
            at, wanted = outcomes.schema.get_field_index(name), rows.field(name).type
            if pa.types.is_timestamp(wanted) and pa.types.is_timestamp(outcomes.schema.field(name).type):
                try:
                    outcomes = outcomes.set_column(at, name, pc.cast(outcomes.column(at), wanted, safe=True))
                except pa.ArrowInvalid:  # a finer unit than the rows have: then no row has that key
                    pass
    return outcomes


def stored_type(column: Column) -> pa.DataType | None:
    """Arrow type of a declared column in the data set; None where any timestamp will do."""
    return pa.string() if column.personal else ARROW.get(column.type)


def conforms(kind: pa.DataType, column: Column) -> bool:
    """Whether a column of Arrow type `kind` is what was declared. Times have no zone: a period's ends would depend on it."""
    wanted = stored_type(column)
    return pa.types.is_timestamp(kind) and kind.tz is None if wanted is None else kind == wanted


def doubles(decimals: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Decimals as the doubles nearest to them, as their text would be read: Arrow's own cast makes .1 to .09999999999999999."""
    return decimals.cast(pa.string()).cast(pa.float64())


def _cast(values: pa.ChunkedArray, column: Column | None) -> pa.ChunkedArray:
    if column is None:
        return values
    wanted = stored_type(column)
    if pa.types.is_null(values.type):
        return values.cast(wanted or pa.timestamp("s"))
    if wanted is None or values.type == wanted or not _kin(values.type, wanted):
        return values
    if pa.types.is_decimal(values.type) and wanted == pa.float64():
        return doubles(values)
    try:
        return pc.cast(values, wanted, safe=True)
    except pa.ArrowInvalid:  # 1.5 is no int
        return values


def _kin(given: pa.DataType, wanted: pa.DataType) -> bool:
    """Whether a cast stays within numbers or within text: text is never parsed, a number is never made a flag."""
    if pa.types.is_dictionary(given):
        return _kin(given.value_type, wanted)
    if wanted == pa.string():
        return pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_string_view(given)
    return wanted != pa.bool_() and (pa.types.is_integer(given) or pa.types.is_floating(given) or pa.types.is_decimal(given))
