"""Rows that failed a check: apart from the others, each with its reasons. What goes in comes out, kept or set aside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from pillars.data.ready import Came
from pillars.data.spilled import Spilled, asked, quoted

ORPHAN = "no such row"  # an outcome without a row: a fault of the outcomes
UNWANTED = "its row is in quarantine"  # an outcome that only follows its row
BEATEN = "another row of its key is kept"  # by the declared rule: no fault of the batch


def failing(masks: dict[str, np.ndarray], rows: int) -> np.ndarray:
    """Rows (n,) that have at least one reason, bool."""
    return np.logical_or.reduce([np.zeros(rows, bool), *masks.values()])


def set_aside(kind: str, bad: np.ndarray, masks: dict[str, np.ndarray], came: Came) -> pa.Table:
    """The rows that are `bad` (n,) as they `came`, with two columns more: `quarantined_from` (`kind`) and `reasons` (list of text)."""
    at = np.flatnonzero(bad)
    reasons = [[reason for reason, mask in masks.items() if mask[i]] for i in at]
    return _aside(kind, came.take(at), reasons)


def with_reason(kind: str, rows: pa.Table, reason: str) -> pa.Table:
    """Rows that are all set aside for one reason, as `set_aside` has them."""
    return _aside(kind, rows, [[reason]] * rows.num_rows)


def _aside(kind: str, rows: pa.Table, reasons: list[list[str]]) -> pa.Table:
    rows = rows.append_column("quarantined_from", pa.array([kind] * rows.num_rows, pa.string()))
    return rows.append_column("reasons", pa.array(reasons, pa.list_(pa.string())))


def unmatched(
    key: tuple[str, ...], rows: pa.Table | Spilled, bad: np.ndarray, outcomes: pa.Table | Spilled, folder: Path | None = None
) -> dict[str, np.ndarray]:
    """Outcomes (n,) of the same period without a kept row, by reason. `bad` (rows,) are the rows that are not kept."""
    if isinstance(rows, pa.Table) and isinstance(outcomes, pa.Table):
        names = list(key)
        given = rows.select(names).cast(outcomes.select(names).schema)
        known = given.append_column("_kept", pa.array(~bad)).group_by(names).aggregate([("_kept", "max")])
        asked_for = outcomes.select(names).append_column("_at", pa.array(np.arange(outcomes.num_rows)))
        kept = asked_for.join(known, names, join_type="left outer").sort_by("_at").column("_kept_max")
    else:
        assert folder is not None
        kept = _kept(key, rows, bad, outcomes, folder)
    none = kept.is_null().to_numpy()
    return {ORPHAN: none, UNWANTED: ~none & ~kept.fill_null(False).to_numpy()}


def _kept(key: tuple[str, ...], rows: pa.Table | Spilled, bad: np.ndarray, outcomes: pa.Table | Spilled, folder: Path) -> pa.ChunkedArray:
    """Whether the row of each outcome (n,) is kept, by DuckDB; null where there is none."""
    names = ", ".join(quoted(name) for name in key)
    numbered = {name: table if isinstance(table, Spilled) else _numbered(table) for name, table in (("rows", rows), ("outcomes", outcomes))}
    query = f"""
        WITH known AS (SELECT {names}, bool_or(gone.place IS NULL) AS kept
                       FROM rows LEFT JOIN gone ON rows.file_row_number = gone.place GROUP BY {names})
        SELECT kept FROM outcomes LEFT JOIN known USING ({names}) ORDER BY outcomes.file_row_number"""
    with asked(folder, gone=pa.table({"place": pa.array(np.flatnonzero(bad))}), **numbered) as database:
        return database.sql(query).to_arrow_table().column("kept")


def _numbered(table: pa.Table) -> pa.Table:
    """A table as DuckDB sees a spilled one."""
    return table.append_column("file_row_number", pa.array(np.arange(table.num_rows)))
