"""What every source promises, each promise tried. The sources that come with the project are held to it, and yours can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data.parquet import parquet_bytes
from pillars.data.parsing import Unread, parse
from pillars.data.schema import conform, conforms
from pillars.data.source import FAULTS, Source, ask, periods, whole
from pillars.errors import PillarsError
from pillars.periods import span

NOBODYS = "0000-no-such-period"
Tables = tuple[pa.Table, pa.Table]  # rows and outcomes of a period, in their declared types


@dataclass(frozen=True)
class Promise:
    """One promise of a source: what it says, whether it is kept, and if not, what was seen."""

    what: str
    kept: bool
    seen: str = ""


def hold(project: Project, open_it: Callable[[], Source], period: str | None = None) -> tuple[Promise, ...]:
    """Try each promise on one period, the newest if none is named. Nothing is kept, and nothing raised that the source did wrong.

    `open_it` opens the source: once, and once more to be asked again, for one that is open may remember what it said.
    """
    promises: list[Promise] = []
    source = open_it()

    def keep(what: str, tried: Callable[[], str]) -> bool:
        try:
            seen = tried()
        except PillarsError as err:
            seen = str(err)
        promises.append(Promise(what, not seen, seen))
        return not seen

    named: list[str] = []
    if keep("periods() gives names that sort, oldest first", lambda: _periods(project, source, named)):
        keep("opened again, periods() gives the same", lambda: "" if periods(open_it(), project) == named else "other names than before")
        keep("a period that is not there is refused", lambda: _refused(source))
        asked = period or named[-1]
        given: list[Tables] = []
        keep(f"rows({asked}) and outcomes({asked}) give tables that can be read", lambda: _tables(project, source, asked, given))
        if given:
            for what, check in CHECKS:
                keep(what, lambda check=check: "; ".join(check(project, asked, *given[0])))  # type: ignore[misc]
            keep("opened again, they give the same bytes", lambda: _same(project, source, open_it(), asked))
    return tuple(promises)


def _periods(project: Project, source: Source, named: list[str]) -> str:
    named += periods(source, project)
    return "" if named else "it gives none"


def _refused(source: Source) -> str:
    try:
        found = source.rows(NOBODYS)
    except FAULTS:  # whatever a source of one's own raises, it refuses
        return ""
    return f"rows({NOBODYS}) gives {getattr(found, 'num_rows', 'something with')} rows"


def _tables(project: Project, source: Source, period: str, given: list[Tables]) -> str:
    rows, outcomes = whole(ask(project, source, "rows", period)), whole(ask(project, source, "outcomes", period))
    unread: tuple[Unread, ...] = ()
    if project.source.python is None:
        rows, unread = parse(project, rows)
        outcomes, more = parse(project, outcomes)
        unread += more
    given.append((conform(project, rows, project.row_columns), conform(project, outcomes, project.outcome_columns)))
    return "; ".join(f"{one.reason} in {int(one.rows.sum())} of {len(one.rows)} rows" for one in unread)


def _columns(project: Project, period: str, rows: pa.Table, outcomes: pa.Table) -> Iterator[str]:
    for kind, table, declared in (("rows", rows, project.row_columns), ("outcomes", outcomes, project.outcome_columns)):
        if absent := [name for name in declared if name not in table.column_names]:
            yield f"{kind} lack {', '.join(absent)}"
        if strange := [name for name in table.column_names if name not in declared]:
            yield f"{kind} have {', '.join(strange)}, which nobody declared"


def _types(project: Project, period: str, rows: pa.Table, outcomes: pa.Table) -> Iterator[str]:
    for field in {f.name: f for f in (*rows.schema, *outcomes.schema)}.values():
        column = project.columns.get(field.name)
        if column is not None and not column.personal and not conforms(field.type, column):
            yield f"{field.name} is {field.type}, declared {column.type}"


def _nulls(project: Project, period: str, rows: pa.Table, outcomes: pa.Table) -> Iterator[str]:
    for name in rows.column_names:
        column = project.columns.get(name)
        if column is not None and (not column.nullable or name in (*project.key, project.time)) and rows.column(name).null_count:
            yield f"{name} is null in {rows.column(name).null_count} of {rows.num_rows} rows"


def _keys(project: Project, period: str, rows: pa.Table, outcomes: pa.Table) -> Iterator[str]:
    key = [name for name in project.key if name in rows.column_names and name in outcomes.column_names]
    for kind, table in (("rows", rows), ("outcomes", outcomes)):
        again = table.num_rows - table.select(key).group_by(key).aggregate([]).num_rows if key else 0
        if again:
            yield f"{again} {kind} have the key of another"
    if key:
        try:
            alike = outcomes.select(key).cast(rows.select(key).schema, safe=False)
        except pa.ArrowInvalid:  # never with its text: it quotes a value
            yield f"its types differ: {_kinds(rows, key)} in rows, {_kinds(outcomes, key)} in outcomes"
            return
        lonely = alike.join(rows.select(key), key, join_type="left anti").num_rows
        if lonely:
            yield f"{lonely} outcomes have a key that no row has"


def _times(project: Project, period: str, rows: pa.Table, outcomes: pa.Table) -> Iterator[str]:
    ends, time = span(period), project.time
    if ends and time in rows.column_names and pa.types.is_timestamp(rows.schema.field(time).type):
        values = rows.column(time).cast(pa.timestamp("us"), safe=False)
        early, late = (pc.sum(mask).as_py() or 0 for mask in (pc.less(values, ends[0]), pc.greater_equal(values, ends[1])))
        if early or late:
            yield f"{early + late} rows have a time outside of it"


def _kinds(table: pa.Table, key: list[str]) -> str:
    return ", ".join(str(table.schema.field(name).type) for name in key)


def _same(project: Project, source: Source, again: Source, period: str) -> str:
    kinds: tuple[Literal["rows", "outcomes"], ...] = ("rows", "outcomes")
    for kind in kinds:
        first, second = (parquet_bytes(whole(ask(project, each, kind, period))) for each in (source, again))
        if first != second:
            return f"{kind} differ: a source must not draw, and must give its rows in one order"
    return ""


CHECKS: tuple[tuple[str, Callable[[Project, str, pa.Table, pa.Table], Iterator[str]]], ...] = (
    ("their columns are the declared ones", _columns),
    ("values have their declared types", _types),
    ("there are values where none may be missing", _nulls),
    ("keys name one row each, and outcomes have a row", _keys),
    ("times lie in the period", _times),
)
