"""The rows of a whole table as periods: by time, in blocks, or file by file. Every row belongs to exactly one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.config_data import Batches, Every
from pillars.data.parsing import values_of
from pillars.errors import SourceBroken
from pillars.periods import span

ZONES = timedelta(days=1)  # times have no zone: somewhere it is tomorrow
FORMS: dict[Every, str] = {"hour": "%Y-%m-%dT%H", "day": "%Y-%m-%d", "week": "%G-W%V", "month": "%Y-%m", "year": "%Y"}


def cut(project: Project, table: pa.Table, now: datetime | None = None) -> dict[str, pa.Table]:
    """Rows by period, oldest first, each in the table's order; for batches by time or by rows.

    A row whose time is missing or unreadable goes with the row before it (validation says so and sets it aside): none is lost. So does one
    of a period that is neither that of `now` (UTC, without a zone) nor the next one, where freshness is asked for: it would be a period
    of its own, and end the newest one that is held.

    Raises:
        SourceBroken: a file has no rows, none has a time, or a shuffled file has other rows than it had.
    """
    return {name: table.take(pa.array(at)) for name, at in places(project, table, table.num_rows, now).items()}


def places(project: Project, table: pa.Table, rows: int, now: datetime | None = None) -> dict[str, np.ndarray]:
    """Where the rows of each period are among all `rows`, as `cut`; of `table` the time is looked at alone.

    Raises:
        SourceBroken: a file has no rows, none has a time, or a shuffled file has other rows than it had.
    """
    batches = project.source.batches
    if not rows and project.source.sql is None:  # a table of a database may be new
        raise SourceBroken(project.source.name, "all", "it names its columns and has no row")
    if batches.by == "rows" and batches.shuffled not in (None, rows):
        grown = f"it has {rows} rows, and source.batches.shuffled says {batches.shuffled}: all blocks would be drawn anew"
        raise SourceBroken(project.source.name, "all", f"{grown}. Put new rows into a file of their own, or reset the project")
    named = _by_time(project, batches.every, table, now) if batches.by == "time" else _by_rows(batches, rows)
    return without_newest(batches, named)


def utc_now() -> datetime:
    """This moment in UTC, without a zone, as times in tables are."""
    return datetime.now(UTC).replace(tzinfo=None)


def without_newest(batches: Batches, found: dict[str, Any]) -> dict[str, Any]:
    """All but the newest period, where that is still growing."""
    return dict(list(found.items())[:-1]) if batches.hold_newest else found


def names_of(times: pa.Array | pa.ChunkedArray, every: Every) -> pa.Array | pa.ChunkedArray:
    """The period of each time: 2013, 2013-Q1, 2013-02, 2013-W05 (ISO), 2013-02-28 or 2013-02-28T13."""
    seconds = pc.cast(times, pa.timestamp("s"), safe=False)
    if every == "quarter":
        return pc.binary_join_element_wise(pc.strftime(seconds, "%Y"), pc.cast(pc.quarter(seconds), pa.string()), "-Q")
    return pc.strftime(seconds, FORMS[every])


def _by_time(project: Project, every: Every, table: pa.Table, now: datetime | None) -> dict[str, np.ndarray]:
    """Positions (n,) of each period's rows."""
    if not table.num_rows:
        return {}
    column = project.columns[project.time]
    if project.time not in table.column_names:
        raise SourceBroken(project.source.name, "all", f"it has no column {project.time}, by which its rows are cut into periods")
    times = values_of(column, table.column(project.time))
    if now is not None and project.expectations.freshness:
        times = _believed(project, times, _end_of_next(every, now + ZONES))
    names = pc.fill_null_backward(pc.fill_null_forward(names_of(times, every)))
    coded = names.combine_chunks().dictionary_encode()
    if coded.null_count:
        how = f"; text is read by its format {column.format}" if column.format else "; say its format under columns, such as %d.%m.%Y"
        raise SourceBroken(project.source.name, "all", f"no row has a time in column {project.time}{how}")
    order = np.argsort(coded.indices.to_numpy(), kind="stable")
    ends = np.cumsum(np.bincount(coded.indices.to_numpy(), minlength=len(coded.dictionary)))
    found = dict(zip(coded.dictionary.to_pylist(), np.split(order, ends[:-1]), strict=True))
    return dict(sorted(found.items()))


def _end_of_next(every: Every, now: datetime) -> datetime:
    """End of the period after the one that `now` is in."""
    for _ in range(2):
        ends = span(names_of(pa.array([now], pa.timestamp("us")), every)[0].as_py())
        assert ends is not None
        now = ends[1]
    return now


def _believed(project: Project, times: pa.ChunkedArray, until: datetime) -> pa.ChunkedArray:
    """Times before `until`, null where they are not.

    Raises:
        SourceBroken: none is.
    """
    seconds = pc.cast(times, pa.timestamp("s"), safe=False)
    past = pc.less(seconds, pa.scalar(until, pa.timestamp("s")))
    if pc.any(past, min_count=0).as_py() or times.null_count == len(times):
        return pc.if_else(pc.fill_null(past, False), times, pa.scalar(None, times.type))
    said = (
        f"every time in column {project.time} is in the future, the first is {pc.min(seconds).as_py()}; set expectations.freshness to false"
    )
    raise SourceBroken(project.source.name, "all", f"{said} if that is right")


def _by_rows(batches: Batches, rows: int) -> dict[str, np.ndarray]:
    """Blocks of rows, the last one shorter, named by number; eight digits sort for as long as anybody will live."""
    order = np.arange(rows) if batches.shuffled is None else np.random.default_rng(0).permutation(rows)
    return {f"{i // batches.size + 1:08d}": np.sort(order[i : i + batches.size]) for i in range(0, rows, batches.size)}


def numbered(project: Project, table: pa.Table, before: int = 0) -> pa.Table:
    """The table with each row's number in the column that the YAML wants it in; as it is where it wants none. The first is 1 where no
    rows came `before`.

    Raises:
        SourceBroken: it has such a column already.
    """
    name = project.source.row_number
    if name is None:
        return table
    if name in table.column_names:
        raise SourceBroken(project.source.name, "all", f"it has a column {name} already, which source.row_number would make")
    return table.add_column(0, name, pa.array(np.arange(before + 1, before + table.num_rows + 1)))
