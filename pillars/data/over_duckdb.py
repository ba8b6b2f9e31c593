"""Which checks Great Expectations' SQL engine answers over DuckDB as its pandas engine does, and what both need to work together.

Measured with Great Expectations 1.24.1, duckdb 2.0.0, duckdb-engine 0.17.0 (2026-11).
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any
from uuid import uuid4

import pyarrow as pa

from pillars.config_data import Expectation
from pillars.data.spilled import Spilled, limits, quoted, scan
from pillars.data.suite import named

TABLE = "batch"
DIALECT = "duckdb.reading"  # as `duckdb+reading://` in a URL
NULLS = ("expect_column_values_to_not_be_null", "expect_column_values_to_be_null")
SETS = ("expect_column_values_to_be_in_set", "expect_column_values_to_not_be_in_set")
RANGE = "expect_column_values_to_be_between"
AGGREGATES = tuple(f"expect_column_{each}_to_be_between" for each in ("min", "max", "mean", "sum", "stdev"))
LENGTHS = ("expect_column_value_lengths_to_be_between", "expect_column_value_lengths_to_equal")
COUNTS = ("expect_column_unique_value_count_to_be_between", "expect_column_proportion_of_unique_values_to_be_between")
UNIQUE = ("expect_compound_columns_to_be_unique", "expect_column_values_to_be_unique")
GREATER = "expect_column_pair_values_a_to_be_greater_than_b"
TABLES = (
    "expect_table_row_count_to_be_between",
    "expect_table_row_count_to_equal",
    "expect_table_columns_to_match_set",
    "expect_table_columns_to_match_ordered_list",
    "expect_table_column_count_to_equal",
    "expect_table_column_count_to_be_between",
)
LISTED = (*NULLS, *SETS, RANGE, *LENGTHS)  # the first failing values that SQL gives are those that pandas gives
_MENDING = threading.Lock()


def alike(expectation: Expectation, table: Spilled) -> bool:
    """Whether both engines say the same of a table: the kind is one of those that were compared, its arguments are of the column's type.

    SQL reads "5" as a number beside numbers, and pandas does not; a pair with a null fails in one and not in the other.
    """
    kind, given = expectation.type, expectation.kwargs
    if kind in TABLES:
        return True
    columns = named(expectation)
    if not columns or given.get("row_condition") or not set(columns) <= set(table.column_names):
        return False
    types = [table.schema.field(name).type for name in columns]
    bounds = [given.get(k) for k in ("min_value", "max_value") if given.get(k) is not None]
    if kind in NULLS or kind in COUNTS:
        return True
    if kind in SETS:
        values = given.get("value_set")
        known = isinstance(values, list) and values and not pa.types.is_timestamp(types[0])
        return bool(known) and all(_fits(value, types[0]) for value in values)  # type: ignore[union-attr]
    if kind == RANGE:
        return (_is_number(types[0]) or pa.types.is_timestamp(types[0])) and all(_fits(b, types[0]) for b in bounds)
    if kind in AGGREGATES:
        return _is_number(types[0]) and all(_fits(b, types[0]) for b in bounds)
    if kind in LENGTHS:
        return pa.types.is_string(types[0])
    if kind in UNIQUE:
        return not any(pa.types.is_floating(t) for t in types) and not table.nulls(columns)
    if kind == GREATER:
        return all(map(_is_number, types)) and given.get("ignore_row_if") == "either_value_is_missing"
    return False


@contextmanager
def opened(table: Spilled, folder: Path) -> Iterator[str]:
    """A database in memory that shows the table as `TABLE`, not-a-numbers as nulls, which is how pandas reads them; its SQLAlchemy URL.

    It is there as long as the connection that is held here: Great Expectations opens several.
    """
    import sqlalchemy

    _register()
    url = f"duckdb+reading:///:memory:{uuid4().hex}"
    engine = sqlalchemy.create_engine(url)
    with engine.connect() as connection:
        for statement in limits(folder):
            connection.exec_driver_sql(statement)
        columns = ", ".join(shown(field) for field in table.schema)
        connection.exec_driver_sql(f"CREATE VIEW {TABLE} AS SELECT {columns} FROM {scan(table)}")
        yield url
    engine.dispose()


def mend(module: Any) -> None:
    """Have Great Expectations' SQL engine keep its connection to DuckDB: it fetches after the connection went back to its pool, and DuckDB
    drops a result then (23 of 26 checks raise; Great Expectations' issues 10738 and 11579).
    """
    with _MENDING:
        known = module._PERSISTED_CONNECTION_DIALECTS
        if not any(each.value == "duckdb" for each in known):
            module._PERSISTED_CONNECTION_DIALECTS = (*known, _Named("duckdb"))


def leave(datasource: Any) -> None:
    """Close the connections that Great Expectations keeps: a database in memory is there as long as one of them is."""
    engine = datasource.get_execution_engine()
    if engine._connection is not None:
        engine._connection.close()
        engine._connection = None
    for each in (engine.engine, datasource.get_engine()):
        each.dispose()


def as_pandas_says(facts: Mapping[str, Any], expectation: Expectation, table: Spilled) -> dict[str, Any]:
    """Facts whose failing values are written as pandas has them: it makes floats of integers beside a null."""
    columns, listed = named(expectation), facts.get("partial_unexpected_list")
    if listed is None or len(columns) != 1 or not pa.types.is_integer(table.schema.field(columns[0]).type) or not table.nulls(columns):
        return dict(facts)
    return {**facts, "partial_unexpected_list": [None if value is None else float(value) for value in listed]}


def shown(field: pa.Field) -> str:
    """A column as pandas reads it."""
    name = quoted(field.name)
    return f"CASE WHEN isnan({name}) THEN NULL ELSE {name} END AS {name}" if pa.types.is_floating(field.type) else name


class _Named(str):
    """A dialect as Great Expectations' enumeration has them."""

    @property
    def value(self) -> str:
        """The name."""
        return str(self)


def _is_number(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind)


def _fits(value: object, kind: pa.DataType) -> bool:
    """Whether a value of the YAML means the same beside a column in SQL and in pandas."""
    if _is_number(kind):
        return isinstance(value, int | float) and not isinstance(value, bool)
    if pa.types.is_timestamp(kind):
        return isinstance(value, str) and _is_moment(value)
    return pa.types.is_string(kind) and isinstance(value, str)


def _is_moment(text: str) -> bool:
    try:
        return datetime.fromisoformat(text).tzinfo is None
    except ValueError:
        return False


@cache
def _register() -> None:
    """Make known to SQLAlchemy a dialect that only reads: without transactions, in which one check that cannot run would take the others
    with it, and with all of DuckDB's words quoted (a column may be called `at`).
    """
    import duckdb
    import duckdb_engine
    from sqlalchemy.dialects import registry

    words = duckdb.sql("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category <> 'unreserved'").fetchall()
    reserved = {word for (word,) in words} | set(duckdb_engine.DuckDBIdentifierPreparer.reserved_words)
    preparer = type("ReadingPreparer", (duckdb_engine.DuckDBIdentifierPreparer,), {"reserved_words": reserved})
    nothing = {name: lambda self, connection: None for name in ("do_begin", "do_commit", "do_rollback")}
    reading = type("Reading", (duckdb_engine.Dialect,), {"preparer": preparer, "supports_statement_cache": False, **nothing})
    registry.impls[DIALECT] = lambda: reading
