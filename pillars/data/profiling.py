"""What a table seems to be, read off its values: types, roles, a key, and what a person should look at before believing a model."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config_data import Column, ColumnType
from pillars.data.parsing import FALSE, TRUE, values_of

SAMPLE = 50_000  # rows that guesses about values look at; counts are over all
JUNK = 0.01  # share of values that may be unreadable in a column that is a number or a time all the same
CATEGORIES = 200  # more distinct words are no categories but texts
REPEATED = 0.5  # a column of words with more distinct ones than this share of its rows names rows
NAMING = r"^[+-]?(0\d+|\d{20,})$"  # postal codes and long ids: a number would lose their zeros, or their last digits
GROUPED = {  # by the decimal mark; 1,250: thousands, or a decimal comma?
    ".": r"^[+-]?[1-9]\d{0,2}(,\d{3})+$",
    ",": r"^[+-]?[1-9]\d{0,2}(\.\d{3})+$",
}
FORMATS = ("%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%Y/%m/%d", "%d-%m-%Y", "%d.%m.%Y %H:%M", "%m/%d/%Y %H:%M", "%d/%m/%Y %H:%M", "%b %d, %Y")
PERSONAL = re.compile(
    r"(^|_)(e?mail|phone|mobile|ssn|passport|address|street|(first|last|full|sur)_?name|name|birth(day|date)?|dob|iban|ip|"
    r"sex|gender|race|ethnic(ity)?|religion|nationality|native_country|disab(led|ility)|pregnan\w*|orientation)(_|$)",
    re.IGNORECASE,
)
KEYED = re.compile(r"(^|_)(id|key|no|nr|number|code|uuid|index|row)$|^id(_|$)|Id$|ID$")


@dataclass(frozen=True)
class Seen:
    """One column: what it was declared as, and the figures behind that."""

    name: str
    declared: Column
    rows: int
    nulls: int
    distinct: int
    unreadable: int = 0
    low: float | None = None  # numbers only
    high: float | None = None
    words: tuple[str, ...] = ()  # categories, most frequent first
    grouped: bool = False  # numbers with groups of three digits

    @property
    def is_number(self) -> bool:
        """Whether the model can take it as a number."""
        return self.declared.type in ("float", "int", "bool")

    @property
    def said(self) -> str:
        """The figures in a few words."""
        missing = f", {self.nulls / self.rows:.1%} missing" if self.nulls and self.rows else ""
        odd = f", {self.unreadable} cannot be read" if self.unreadable else ""
        if self.low is not None and self.high is not None:
            return f"{self.low:.6g} to {self.high:.6g}{missing}{odd}"
        shown = ", ".join(w[:20] for w in self.words[:4]) + (f" and {self.distinct - 4} more" if self.distinct > 4 else "")
        return f"{shown if self.words else f'{self.distinct} different'}{missing}{odd}"


@dataclass(frozen=True)
class Profile:
    """A table's columns, in its order, and what somebody should look at."""

    rows: int
    columns: tuple[Seen, ...]
    values: dict[str, pa.ChunkedArray] = field(repr=False)  # in their types
    given: dict[str, pa.ChunkedArray] = field(repr=False)  # as they came
    warnings: tuple[str, ...] = ()

    def of(self, name: str) -> Seen:
        """One column."""
        return next(c for c in self.columns if c.name == name)


def profile(table: pa.Table) -> Profile:
    """Types and figures of all columns. A value that no type fits leaves its column what nearly all others say."""
    seen, values = [], {}
    for name in table.column_names:
        column = declared(name, table.column(name))
        values[name] = values_of(column, table.column(name))
        seen.append(_seen(name, column, table.column(name), values[name]))
    given = dict(zip(table.column_names, table.columns, strict=True))
    return Profile(table.num_rows, tuple(seen), values, given, tuple(_odd(table, seen)))


def declared(name: str, given: pa.ChunkedArray) -> Column:
    """The column's type, and how it is written."""
    if pa.types.is_dictionary(given.type):
        given = given.cast(given.type.value_type)
    if not (pa.types.is_string(given.type) or pa.types.is_large_string(given.type) or pa.types.is_string_view(given.type)):
        return Column(type=_of_type(given))
    text = pc.utf8_trim_whitespace(pc.drop_null(given.cast(pa.string()).slice(0, SAMPLE)))
    text = text.filter(pc.not_equal(text, ""))
    if not len(text):
        return Column(type="text")
    words = pc.unique(text)
    meanings = {w.lower() for w in words.slice(0, CATEGORIES).to_pylist()}
    if len(meanings) == 2 and meanings <= {*TRUE, *FALSE} - {"0", "1"}:
        return Column(type="bool")
    if pc.any(pc.match_substring_regex(text, NAMING)).as_py():
        return _worded(text, words)
    return next((column for column in _attempts() if _fits(column, text)), None) or _worded(text, words)


def is_key(seen: Seen) -> bool:
    """Whether every row has a value of its own, of a kind that names things."""
    return seen.rows > 1 and seen.distinct == seen.rows and seen.declared.type in ("int", "text", "category")


def looks_like_a_key(seen: Seen) -> bool:
    """Whether it names rows, by its values and its name; or by its values alone, where they are words."""
    return is_key(seen) and (bool(KEYED.search(seen.name)) or seen.declared.type != "int")


def looks_personal(name: str) -> bool:
    """Whether a column's name sounds like a person's data, or a group that law protects."""
    return bool(PERSONAL.search(re.sub(r"([a-z])([A-Z])", r"\1_\2", name).replace(" ", "_").replace("-", "_")))


def _attempts() -> Iterator[Column]:
    yield Column(type="int")
    yield Column(type="float")
    yield Column(type="float", decimal=",")
    yield Column(type="timestamp")
    yield from (Column(type="timestamp", format=form) for form in FORMATS)


def _fits(column: Column, text: pa.ChunkedArray) -> bool:
    read = values_of(column, text)
    return bool(read.null_count <= JUNK * len(text) and read.null_count < len(text))


def _worded(text: pa.ChunkedArray, words: pa.Array) -> Column:
    few = len(words) <= CATEGORIES and len(words) <= max(2.0, REPEATED * len(text))
    return Column(type="category" if few else "text")


def _of_type(given: pa.ChunkedArray) -> ColumnType:
    kind = given.type
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind):
        return "int"
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        whole = pc.all(pc.equal(pc.floor(given), given), min_count=0).as_py() if pa.types.is_floating(kind) else False
        return "int" if whole and given.null_count and len(pc.drop_null(given)) else "float"  # whole numbers with gaps, as pandas has them
    return "timestamp" if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else "text"


def _seen(name: str, column: Column, given: pa.ChunkedArray, values: pa.ChunkedArray) -> Seen:
    known = pc.drop_null(values)
    counts = pc.value_counts(known.combine_chunks() if isinstance(known, pa.ChunkedArray) else known)
    words: tuple[str, ...] = ()
    low = high = None
    if column.type == "category":
        pairs = sorted(((str(c["values"]), int(c["counts"])) for c in counts.to_pylist()), key=lambda p: (-p[1], p[0]))
        words = tuple(word for word, _ in pairs)
    elif column.type in ("int", "float") and len(known):
        ends = pc.min_max(known).as_py()
        low, high = float(ends["min"]), float(ends["max"])
    grouped = (
        low is not None and pa.types.is_string(given.type) and pc.any(pc.match_substring_regex(given, GROUPED[column.decimal])).as_py()
    )
    unreadable = max(values.null_count - given.null_count, 0)
    return Seen(name, column, len(values), values.null_count, len(counts), unreadable, low, high, words, bool(grouped))


def _odd(table: pa.Table, seen: Sequence[Seen]) -> Iterator[str]:
    """What is odd about the table as a whole, and about single columns."""
    twice = table.num_rows - _distinct_rows(table)
    if twice:
        yield f"{twice} of {table.num_rows} rows are copies of another, value for value"
    for column in seen:
        if column.distinct <= 1:
            where = " where it is not missing" if column.nulls and column.distinct else ""
            yield f"{column.name} is constant{where}: it is left out of the features"
        if column.declared.type in ("text", "category") and (odd := _no_numbers(table.column(column.name))):
            kind = f"are no numbers, the others are; so it is {column.declared.type}"
            yield f"{column.name}: {odd} of {table.num_rows} values {kind}; if they mean: no value, name them in source.csv.nulls"
        if column.grouped:
            mark = "." if column.declared.decimal == "," else ","
            yield f"{column.name}: {mark} was read as grouping thousands (1{mark}250 is more than a thousand); is it a decimal mark?"
        if column.unreadable:
            yield f"{column.name}: {column.unreadable} values are no {column.declared.type}; their rows go to quarantine"
    if both := [c.name for c in seen if c.declared.format in ("%m/%d/%Y", "%m/%d/%Y %H:%M")]:
        yield f"{', '.join(both)}: read with the month first (09/10 is the 10th of September); if the day is first, change its format"


def _no_numbers(given: pa.ChunkedArray) -> int:
    """How many values are no numbers, where most are; 0 where it is no column of numbers."""
    known = pc.drop_null(given)
    if not pa.types.is_string(given.type) or pc.any(pc.match_substring_regex(known, NAMING), min_count=0).as_py():
        return 0
    odd = values_of(Column(type="float"), known).null_count
    return odd if odd < 0.2 * len(known) else 0


def _distinct_rows(table: pa.Table) -> int:
    """Rows that differ in what can be compared: lists and structures cannot."""
    plain = [c for c in table.columns if not pa.types.is_nested(c.type)]
    named = pa.table(plain, names=[str(i) for i in range(len(plain))])
    return int(named.group_by(named.column_names).aggregate([]).num_rows) if plain else table.num_rows
