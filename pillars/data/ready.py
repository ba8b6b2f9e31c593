"""A collected table made ready to be checked: in its declared types, repaired, one row per key where a winner is declared.

What looks at one row alone is done piece by piece where the table is larger than memory may be; the rest is asked of DuckDB.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from pillars.config import Project
from pillars.data.parsing import Unread, finite, parse
from pillars.data.repairing import losers, outliers, repair
from pillars.data.schema import alike, conform
from pillars.data.spilled import Spilled, spill
from pillars.data.suite import Kind
from pillars.vocabulary import Treatment


@dataclass(frozen=True)
class Came:
    """Rows as they came: those of some `places` of a table, or all of it. `typed` says how they are shown."""

    table: pa.Table | Spilled
    typed: Callable[[pa.Table], pa.Table]
    places: np.ndarray | None = None

    def take(self, at: np.ndarray) -> pa.Table:
        """The rows of some places (m,), which ascend."""
        at = at if self.places is None else self.places[at]
        return self.typed(self.table.take(at if isinstance(self.table, Spilled) else pa.array(at, pa.int64())))

    def without(self, lost: np.ndarray) -> Came:
        """All but the rows that are `lost` (n,)."""
        return replace(self, places=np.flatnonzero(~lost) if self.places is None else self.places[~lost])


@dataclass(frozen=True)
class Ready:
    """A table of n rows, ready to be checked, and the same rows as they `came`.

    `changed` (n,) are those that were repaired, `beaten` the rows, as they came, that lost to another of their key.
    """

    table: pa.Table | Spilled
    came: Came
    unread: tuple[Unread, ...]
    changed: np.ndarray
    treatments: tuple[Treatment, ...]
    beaten: pa.Table
    flagged: pa.Table


def make_ready(project: Project, kind: Kind, came: pa.Table | Spilled, folder: Path | None, beside: Ready | None = None) -> Ready:
    """A table as it was collected, made ready. A spilled one needs a `folder` to stay in. `beside`: the rows whose outcomes these are."""
    like = beside.table.schema if beside else None
    if isinstance(came, Spilled):
        assert folder is not None
        table, parts, left = _in_pieces(project, kind, came, folder, like)
    else:
        only = _piece(project, kind, came, like, frozenset())
        table, parts, left = only.table, [only], frozenset[str]()
    shown = Came(came, partial(_typed, project, kind, left))
    changed, unread, treatments = np.concatenate([p.changed for p in parts]), _all_unread(parts), _added_up(parts)
    beaten = shown.take(np.zeros(0, np.int64))
    if rule := project.expectations.duplicates:
        lost = losers(rule, project.key, table, folder)
        said = f"{rule.keep} {rule.of}" if rule.of else rule.keep
        treatments += (Treatment(kind, ", ".join(project.key), "duplicates", int(lost.sum()), f"the {said} of a key is kept"),)
        if lost.any():
            beaten, shown, changed = shown.take(np.flatnonzero(lost)), shown.without(lost), changed[~lost]
            table = _without(table, lost, folder and folder / f"{kind}-winners.parquet")
            unread = tuple(one for each in unread if (one := replace(each, rows=each.rows[~lost])).rows.any())
    far, flagged = outliers(project, kind, table)
    return Ready(table, shown, unread, changed, treatments + far, beaten, flagged)


@dataclass(frozen=True)
class _Piece:
    """Some rows of a table after all that looks at one row alone."""

    table: pa.Table
    unread: tuple[Unread, ...]
    changed: np.ndarray
    treatments: tuple[Treatment, ...]


def _piece(project: Project, kind: Kind, came: pa.Table, like: pa.Schema | None, left: frozenset[str]) -> _Piece:
    """Code gives types, which are held to what is declared; files and queries give what they have, which is read as declared.

    `left` are columns that keep the type they came in: elsewhere in the table they have a value that the declared one cannot hold.
    """
    unread: tuple[Unread, ...] = ()
    table = came
    if project.source.python is None:
        table, unread = parse(project, table)
    table, endless = finite(project, _conformed(project, kind, left, table))
    repaired = repair(project, kind, table)
    table = repaired.table if like is None else alike(repaired.table, like, project.key, left)
    return _Piece(table, unread + endless + repaired.unread, repaired.changed, repaired.treatments)


def _in_pieces(
    project: Project, kind: Kind, came: Spilled, folder: Path, like: pa.Schema | None
) -> tuple[Spilled, list[_Piece], frozenset[str]]:
    """The table in a file, what was done to each piece (without its rows), and which columns kept the type they came in."""
    left: frozenset[str] = frozenset()
    while True:
        parts: list[_Piece] = []
        torn: set[str] = set()
        table = spill(folder / f"{kind}.parquet", _alike_in_type(project, kind, came, like, left, parts, torn))
        if not torn:
            return table, parts, left
        left |= torn


def _alike_in_type(
    project: Project, kind: Kind, came: Spilled, like: pa.Schema | None, left: frozenset[str], parts: list[_Piece], torn: set[str]
) -> Iterator[pa.Table]:
    """Pieces as long as they have the first one's types; columns that differ are put into `torn`, what was done into `parts`."""
    first: pa.Schema | None = None
    for piece in came.pieces():
        done = _piece(project, kind, piece, like, left)
        first = first or done.table.schema
        torn.update(each.name for each in done.table.schema if each.type != first.field(each.name).type)
        if torn:
            return
        parts.append(replace(done, table=done.table.slice(0, 0)))
        yield done.table


def _conformed(project: Project, kind: Kind, left: frozenset[str], table: pa.Table) -> pa.Table:
    return conform(project, table, project.row_columns if kind == "rows" else project.outcome_columns, left)


def _typed(project: Project, kind: Kind, left: frozenset[str], came: pa.Table) -> pa.Table:
    """Rows of code in their types; of files and queries as they are."""
    return came if project.source.python is None else _conformed(project, kind, left, came)


def _all_unread(parts: Sequence[_Piece]) -> tuple[Unread, ...]:
    """What could not be read in any piece, by reason, as masks over all rows."""
    ends = np.cumsum([len(p.changed) for p in parts])
    found: dict[tuple[str, str], np.ndarray] = {}
    for part, end in zip(parts, ends, strict=True):
        for each in part.unread:
            mask = found.setdefault((each.column, each.reason), np.zeros(ends[-1], bool))
            mask[end - len(part.changed) : end] |= each.rows
    return tuple(Unread(column, reason, mask) for (column, reason), mask in found.items())


def _added_up(parts: Sequence[_Piece]) -> tuple[Treatment, ...]:
    """What was done to all pieces: each rule with its rows in all of them."""
    found: dict[Treatment, int] = {}
    for each in (t for part in parts for t in part.treatments):
        rule = replace(each, rows=0)
        found[rule] = found.get(rule, 0) + each.rows
    return tuple(replace(rule, rows=rows) for rule, rows in found.items())


def _without(table: pa.Table | Spilled, lost: np.ndarray, path: Path | None) -> pa.Table | Spilled:
    if not isinstance(table, Spilled):
        return table.filter(pa.array(~lost))
    assert path is not None

    def kept() -> Iterator[pa.Table]:
        began = 0
        for piece in table.pieces():
            yield piece.filter(pa.array(~lost[began : began + piece.num_rows]))
            began += piece.num_rows

    return spill(path, kept())
