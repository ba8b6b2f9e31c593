"""What goes wrong with a batch on its way, one step at a time: in its values, in the text of its file, in the file's bytes.

A step is a function whose keywords are what a case's YAML says. `rows` of a step are a number (so many, spread evenly) or their positions.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tests.corpus.good import TYPES

Rows = int | Sequence[int] | None


@dataclass(frozen=True)
class Given:
    """A batch as a program holds it before it writes it: values by column, and the type of each where it is still one."""

    columns: dict[str, list[Any]]
    types: dict[str, pa.DataType]

    @classmethod
    def of(cls, table: pa.Table) -> Given:
        return cls({name: table.column(name).to_pylist() for name in table.column_names}, dict(TYPES))

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), []))

    def table(self) -> pa.Table:
        """As Parquet and code hold it; a column that no longer fits its type is what Arrow takes it for, or text."""
        return pa.table({name: self._column(name, values) for name, values in self.columns.items()})

    def _column(self, name: str, values: list[Any]) -> pa.Array:
        for kind in (self.types.get(name), None):
            try:
                return pa.array(values, kind)
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
                continue
        return pa.array([None if v is None else str(v) for v in values], pa.string())

    def at(self, rows: Rows) -> list[int]:
        """Positions that a step means: all, so many, or those."""
        if rows is None:
            return list(range(self.rows))
        return np.linspace(0, self.rows - 1, rows).round().astype(int).tolist() if isinstance(rows, int) else list(rows)

    def with_values(self, column: str, rows: Rows, change: Callable[[Any], Any]) -> Given:
        values = list(self.columns[column])
        for i in self.at(rows):
            values[i] = change(values[i])
        return replace(self, columns={**self.columns, column: values})

    def taken(self, at: Sequence[int]) -> Given:
        return replace(self, columns={name: [values[i] for i in at] for name, values in self.columns.items()})


# values


def put(given: Given, column: str, value: Any, rows: Rows = None) -> Given:
    """Another value."""
    return given.with_values(column, rows, lambda _: value)


def null(given: Given, column: str, rows: Rows = None) -> Given:
    """No value."""
    return given.with_values(column, rows, lambda _: None)


def scale(given: Given, column: str, times: float = 1.0, plus: float = 0.0, rows: Rows = None, carrier: str = "") -> Given:
    """Another unit; of one carrier only, where one is named."""
    if carrier:
        rows = [i for i, name in enumerate(given.columns["carrier"]) if name == carrier]
    return given.with_values(column, rows, lambda v: v * times + plus)


def flip(given: Given, column: str, rows: Rows = None) -> Given:
    """The opposite."""
    return given.with_values(column, rows, lambda v: not v)


def write_out(given: Given, column: str, form: str, rows: Rows = None, comma: bool = False) -> Given:
    """A number or a time as text of a form: strftime's for times, Python's format for others, perhaps with a decimal comma."""
    return given.with_values(column, rows, lambda v: _written(v, form).replace(".", "," if comma else "."))


def _written(value: Any, form: str) -> str:
    return value.strftime(form) if isinstance(value, dt.datetime) else form.format(value)


def put_off(given: Given, column: str, days: int, rows: Rows = None) -> Given:
    """So many days later."""
    return given.with_values(column, rows, lambda v: v + dt.timedelta(days=days))


def junk(given: Given, rows: Rows = None, columns: Sequence[str] = ()) -> Given:
    """Garbage in every column, or in some: what a broken export leaves."""
    for name in columns or given.columns:
        given = given.with_values(name, rows, lambda _: "\ufffd?#")
    return given


def retype(given: Given, column: str, to: str) -> Given:
    """The column in another Arrow type."""
    table = given.table()
    kind = {"timestamp[ms, UTC]": pa.timestamp("ms", "UTC"), "binary": pa.binary(), "decimal": pa.decimal128(12, 3)}.get(to)
    cast = pc.cast(table.column(column), kind or pa.type_for_alias(to), safe=False)
    return Given({**given.columns, column: cast.to_pylist()}, {**given.types, column: cast.type})


# rows


def keep(given: Given, rows: int) -> Given:
    """The first rows alone."""
    return given.taken(range(rows))


def repeat(given: Given, rows: Rows = None, times: int = 1, **other: Any) -> Given:
    """Rows once more at the end, with `other` values in some columns."""
    again = given.at(rows) * times
    found = given.taken([*range(given.rows), *again])
    for column, value in other.items():
        found = put(found, column, value, range(given.rows, found.rows))
    return found


def key_of(given: Given, row: int, rows: Rows = None) -> Given:
    """The key of one row in others."""
    for column in ("at", "parcel"):
        given = put(given, column, given.columns[column][row], rows)
    return given


def slide(given: Given, column: str, by: int = 1) -> Given:
    """A column's values beside other rows than their own."""
    values = given.columns[column]
    return replace(given, columns={**given.columns, column: values[-by:] + values[:-by]})


def shift_cells(given: Given, rows: Rows = None, by: int = 1) -> Given:
    """In some rows every value one column further to the right, the last one first: a line with a column too many was mended."""
    names, found = list(given.columns), given
    for i in given.at(rows):
        values = [given.columns[n][i] for n in names]
        for name, value in zip(names, values[-by:] + values[:-by], strict=True):
            found = put(found, name, value, [i])
    return found


# columns


def drop(given: Given, column: str) -> Given:
    """Without a column."""
    return replace(given, columns={n: v for n, v in given.columns.items() if n != column})


def rename(given: Given, column: str, to: str) -> Given:
    """A column by another name."""
    kinds = {**given.types, to: given.types.get(column)}
    return Given({to if n == column else n: v for n, v in given.columns.items()}, kinds)


def swap(given: Given, columns: Sequence[str], rows: Rows = None) -> Given:
    """Two columns' values in each other's place."""
    one, other = columns
    first, second = given.columns[one], given.columns[other]
    for i in given.at(rows):
        given = put(put(given, one, second[i], [i]), other, first[i], [i])
    return Given(given.columns, {**given.types, one: given.types[other], other: given.types[one]}) if rows is None else given


def add(given: Given, column: str, value: Any = 1) -> Given:
    """A column nobody declared."""
    return replace(given, columns={**given.columns, column: [value] * given.rows})


def order(given: Given, columns: Sequence[str]) -> Given:
    """These columns first."""
    return replace(given, columns={n: given.columns[n] for n in [*columns, *(n for n in given.columns if n not in columns)]})


# the text of a CSV file, whose line 0 is its header


def swap_text(text: str, old: str, new: str, times: int = -1) -> str:
    """Characters in the place of others."""
    assert old in text, f"{old!r} is not in the file"
    return text.replace(old, new, times)


def add_cell(text: str, lines: Sequence[int], cell: str = "x", at: int = 4) -> str:
    """A value too many."""
    return _lines(text, lines, lambda cells: [*cells[:at], cell, *cells[at:]])


def lose_cell(text: str, lines: Sequence[int], at: int = 4) -> str:
    """A value too few."""
    return _lines(text, lines, lambda cells: [*cells[:at], *cells[at + 1 :]])


def insert_line(text: str, at: int, line: str) -> str:
    """A line that is no row."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:at], line + "\r\n", *lines[at:]])


def lose_line(text: str, at: int) -> str:
    """Without a line."""
    lines = text.splitlines(keepends=True)
    return "".join([*lines[:at], *lines[at + 1 :]])


def open_quote(text: str, line: int) -> str:
    """A quote that nothing closes, before a line's last value."""
    return _lines(text, [line], lambda cells: [*cells[:-1], f'"{cells[-1]}'])


def repeat_header(text: str, at: int) -> str:
    """The header once more, as where two files were put together."""
    return insert_line(text, at, text.splitlines()[0])


def _lines(text: str, at: Sequence[int], change: Callable[[list[str]], list[str]]) -> str:
    lines = text.splitlines()
    for i in at:
        lines[i] = ",".join(change(lines[i].split(",")))
    return "\r\n".join(lines) + "\r\n"


# the bytes of a file


def recode(content: bytes, to: str) -> bytes:
    """Another encoding."""
    return content.decode().encode(to)


def cut_off(content: bytes, keep: float = 0.0, bytes_: int = 0) -> bytes:
    """Without its end: a share is kept, or so many bytes are lost."""
    return content[:-bytes_] if bytes_ else content[: int(len(content) * keep)]


def overwrite(content: bytes, at: float, hex_: str, times: int = 1) -> bytes:
    """Other bytes from a place in [0, 1) on."""
    place, other = int(len(content) * at), bytes.fromhex(hex_) * times
    return content[:place] + other + content[place + len(other) :]


def instead(content: bytes, text: str = "", hex_: str = "") -> bytes:
    """Another content altogether."""
    return text.encode() or bytes.fromhex(hex_)


def behind(content: bytes, hex_: str) -> bytes:
    """More bytes at the end."""
    return content + bytes.fromhex(hex_)


def before(content: bytes, hex_: str) -> bytes:
    """More bytes at the beginning."""
    return bytes.fromhex(hex_) + content


OF_VALUES: dict[str, Callable[..., Given]] = {
    f.__name__: f
    for f in (
        put,
        null,
        scale,
        flip,
        write_out,
        put_off,
        junk,
        retype,
        keep,
        repeat,
        key_of,
        slide,
        shift_cells,
        drop,
        rename,
        swap,
        add,
        order,
    )
}
OF_TEXT: dict[str, Callable[..., str]] = {
    f.__name__: f for f in (swap_text, add_cell, lose_cell, insert_line, lose_line, open_quote, repeat_header)
}
OF_BYTES: dict[str, Callable[..., bytes]] = {f.__name__: f for f in (recode, cut_off, overwrite, instead, behind, before)}
