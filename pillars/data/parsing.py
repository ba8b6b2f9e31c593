"""Values as a file or a database has them, brought to the declared types. What cannot be read is nobody's value, and is said row by row."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.config_data import Column
from pillars.data.schema import conforms, doubles, stored_type

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,3})?$"
WHOLE = r"^[+-]?\d{1,19}$"
DATE = r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])"
CLOCK = r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d(\.\d{1,6})?)?"
MOMENT = rf"^{DATE}([T ]{CLOCK})?$"
ZONED = rf"^{DATE}[T ]{CLOCK}(Z|[+-]\d\d(:?\d\d)?)$"
TRUE, FALSE = ("true", "yes", "t", "y", "1"), ("false", "no", "f", "n", "0")  # as PostgreSQL reads a boolean, in any case
EXACT = 2**53  # whole floats up to here are the integer that was meant


@dataclass(frozen=True)
class Unread:
    """Rows (n,) whose value of a column cannot be read as declared, bool, and why."""

    column: str
    reason: str
    rows: np.ndarray


def parse(project: Project, table: pa.Table) -> tuple[pa.Table, tuple[Unread, ...]]:
    """`table`, in its order, with each declared column in its declared type, and which rows hold a value that cannot be read.

    Such a value becomes null here; its row belongs into quarantine as it came. Protected and undeclared columns stay as they are.
    """
    unread: list[Unread] = []
    for at, name in enumerate(table.column_names):
        column = project.columns.get(name)
        if column is None:
            continue
        given = table.column(name)
        values = values_of(column, given)
        lost = pc.and_(given.is_valid(), values.is_null())
        if not column.personal and pc.any(lost, min_count=0).as_py():
            blank = _blank(given)
            mask = pc.and_(lost, pc.invert(blank)).to_numpy(zero_copy_only=False)
            if mask.any():
                unread.append(Unread(name, f"{name} is no {column.type}", mask))
        table = table.set_column(at, name, values)
    return table, tuple(unread)


def finite(project: Project, table: pa.Table) -> tuple[pa.Table, tuple[Unread, ...]]:
    """`table` with null for each infinity in a declared float, and which rows had one: Parquet, databases and code may hold them."""
    unread: list[Unread] = []
    for at, field in enumerate(table.schema):
        column = project.columns.get(field.name)
        if column is None or column.type != "float" or not pa.types.is_floating(field.type):
            continue
        endless = pc.fill_null(pc.is_inf(values := table.column(at)), False)
        if pc.any(endless, min_count=0).as_py():
            unread.append(Unread(field.name, f"{field.name} is not finite", endless.to_numpy()))
            table = table.set_column(at, field.name, pc.if_else(endless, pa.scalar(None, field.type), values))
    return table, tuple(unread)


def values_of(column: Column, given: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column's values in its declared type; null where there is none, or one that cannot be read."""
    if pa.types.is_dictionary(given.type):
        given = given.cast(given.type.value_type)
    if pa.types.is_large_string(given.type) or pa.types.is_string_view(given.type):
        given = given.cast(pa.string())
    if conforms(given.type, column):
        return given
    if pa.types.is_null(given.type):
        return given.cast(stored_type(column) or pa.timestamp("us"))
    reader = READERS["text" if column.personal else column.type]
    return pa.chunked_array([reader(column, chunk) for chunk in given.chunks], stored_type(column) or pa.timestamp("us"))


def words_of(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Values as the words that `true_as` and `false_as` are held against."""
    words = [pc.utf8_trim_whitespace(_text(Column(type="text"), chunk)) for chunk in values.chunks]
    return pa.chunked_array(words, pa.string())


def _text(column: Column, values: pa.Array) -> pa.Array:
    try:
        return values.cast(pa.string())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # nested or binary: as Python writes them
        return pa.array([None if v is None else str(v) for v in values.to_pylist()], pa.string())


def _float(column: Column, values: pa.Array) -> pa.Array:
    if not pa.types.is_string(values.type):
        return _number(values)
    text, mark = pc.utf8_trim_whitespace(values), column.decimal
    group = "," if mark == "." else "."
    grouped = pc.match_substring_regex(text, rf"^[+-]?[1-9]\d{{0,2}}(\{group}\d{{3}})+(\{mark}\d*)?$")
    text = pc.if_else(pc.fill_null(grouped, False), pc.replace_substring(text, group, ""), text)
    if mark == ",":
        text = pc.if_else(pc.fill_null(pc.match_substring(text, "."), False), pa.scalar("no number"), pc.replace_substring(text, ",", "."))
    numbers = _read(text, NUMBER, pa.float64())
    return pc.if_else(pc.fill_null(pc.is_finite(numbers), False), numbers, pa.scalar(None, pa.float64()))


def _int(column: Column, values: pa.Array) -> pa.Array:
    numbers = _float(column, values)
    whole = pc.and_(pc.equal(numbers, pc.floor(numbers)), pc.less_equal(pc.abs(numbers), float(EXACT)))
    near = pc.if_else(pc.fill_null(whole, False), numbers, pa.scalar(None, pa.float64())).cast(pa.int64())
    if not pa.types.is_string(values.type):
        return near
    return pc.coalesce(_read(pc.utf8_trim_whitespace(values), WHOLE, pa.int64()), near)  # above 2**53 a float would be another number


def _bool(column: Column, values: pa.Array) -> pa.Array:
    text = pc.utf8_trim_whitespace(_text(column, _number(values) if pa.types.is_decimal(values.type) else values))
    if not (column.true_as or column.false_as):
        text = pc.utf8_lower(pc.replace_substring_regex(text, r"^([01])\.0*$", r"\1"))
    true, false = column.true_as or TRUE, column.false_as or FALSE
    yes, no = (pc.is_in(text, pa.array([word.strip() for word in words], pa.string())) for words in (true, false))
    return pc.if_else(pc.or_(yes, no), yes, pa.scalar(None, pa.bool_()))


def _timestamp(column: Column, values: pa.Array) -> pa.Array:
    unit = pa.timestamp("us")
    if pa.types.is_date(values.type):
        return values.cast(unit)
    if pa.types.is_timestamp(values.type):  # with a zone: the moment in UTC
        return values.cast(pa.timestamp(values.type.unit, "UTC")).cast(unit, safe=False)
    if not pa.types.is_string(values.type):
        return pa.nulls(len(values), unit)  # seconds or milliseconds, of which zone? nobody said
    text = pc.utf8_trim_whitespace(values)
    if column.format:
        return _by_format(text, column.format)
    return pc.coalesce(_read(text, MOMENT, unit), _read(text, ZONED, pa.timestamp("us", "UTC")).cast(unit))


def _by_format(text: pa.Array, form: str) -> pa.Array:
    """`text` read by a format of strptime.

    Arrow's makes the 31st of February a day in March, and of 13 the year 13: a month's first days and early years are looked at again.
    """
    read = pc.strptime(text, format=form, unit="us", error_is_null=True)
    doubted = pc.fill_null(pc.or_(pc.less_equal(pc.day(read), 3), pc.less(pc.year(read), 1000)), False)
    odd = [t for t in text.filter(doubted).unique().to_pylist() if not _is_date(t, form)]
    return pc.if_else(pc.is_in(text, pa.array(odd, pa.string())), pa.scalar(None, read.type), read) if odd else read


def _is_date(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


def _number(values: pa.Array) -> pa.Array:
    if pa.types.is_decimal(values.type):
        return doubles(values)
    try:
        return values.cast(pa.float64(), safe=False)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # times and nested values are no numbers
        return pa.nulls(len(values), pa.float64())


def _read(text: pa.Array, form: str, wanted: pa.DataType) -> pa.Array:
    """`text` of a form cast to `wanted`; null where it has another form, or is none after all."""
    return _cast(pc.if_else(pc.fill_null(pc.match_substring_regex(text, form), False), text, pa.scalar(None, pa.string())), wanted)


def _cast(text: pa.Array, wanted: pa.DataType) -> pa.Array:
    """`text` cast to `wanted`. One bad value (the 30th of February) fails Arrow's whole cast, so halves are tried until it stands alone."""
    try:
        return text.cast(wanted)
    except pa.ArrowInvalid:
        if len(text) == 1:
            return pa.nulls(1, wanted)
        middle = len(text) // 2
        return pa.concat_arrays([_cast(text[:middle], wanted), _cast(text[middle:], wanted)])


def _blank(values: pa.ChunkedArray) -> pa.ChunkedArray:
    """Rows whose text is nothing but blanks."""
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return pa.chunked_array([pa.array(np.zeros(len(values), bool))])
    return pc.fill_null(pc.equal(pc.utf8_trim_whitespace(values), ""), False)


READERS: dict[str, Callable[[Column, pa.Array], pa.Array]] = {
    "float": _float,
    "int": _int,
    "category": _text,
    "text": _text,
    "timestamp": _timestamp,
    "bool": _bool,
}
