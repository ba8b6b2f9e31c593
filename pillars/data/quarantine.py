"""Rows that failed a check: apart from the others, each with its reasons. What goes in comes out, kept or set aside."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

ORPHAN = "no such row"  # an outcome without a row: a fault of the outcomes
UNWANTED = "its row is in quarantine"  # an outcome that only follows its row
BEATEN = "another row of its key is kept"  # by the declared rule: no fault of the batch


def failing(masks: dict[str, np.ndarray], rows: int) -> np.ndarray:
    """Rows (n,) that have at least one reason, bool."""
    return np.logical_or.reduce([np.zeros(rows, bool), *masks.values()])


def split(kind: str, table: pa.Table, masks: dict[str, np.ndarray], came: pa.Table) -> tuple[pa.Table, pa.Table]:
    """The rows of `table` without a reason; and the others as they `came`, with two columns more.

    These are `quarantined_from` (`kind`) and `reasons` (list of text).
    """
    bad = failing(masks, table.num_rows)
    at = np.flatnonzero(bad)
    reasons = [[reason for reason, mask in masks.items() if mask[i]] for i in at]
    return table.filter(pa.array(~bad)), _aside(kind, came.take(pa.array(at, pa.int64())), reasons)


def with_reason(kind: str, rows: pa.Table, reason: str) -> pa.Table:
    """Rows that are all set aside for one reason, as `split` has them."""
    return _aside(kind, rows, [[reason]] * rows.num_rows)


def _aside(kind: str, rows: pa.Table, reasons: list[list[str]]) -> pa.Table:
    rows = rows.append_column("quarantined_from", pa.array([kind] * rows.num_rows, pa.string()))
    return rows.append_column("reasons", pa.array(reasons, pa.list_(pa.string())))


def unmatched(key: tuple[str, ...], rows: pa.Table, bad: np.ndarray, outcomes: pa.Table) -> dict[str, np.ndarray]:
    """Outcomes (n,) of the same period without a kept row, by reason. `bad` (rows,) are the rows that are not kept."""
    names = list(key)
    given = rows.select(names).cast(outcomes.select(names).schema)
    known = given.append_column("_kept", pa.array(~bad)).group_by(names).aggregate([("_kept", "max")])
    asked = outcomes.select(names).append_column("_at", pa.array(np.arange(outcomes.num_rows)))
    kept = asked.join(known, names, join_type="left outer").sort_by("_at").column("_kept_max")
    none = kept.is_null().to_numpy()
    return {ORPHAN: none, UNWANTED: ~none & ~kept.fill_null(False).to_numpy()}
