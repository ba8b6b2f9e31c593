"""Quasi-identifiers, coarsened until nobody stands in too small a group (k-anonymity: Sweeney 2002, doi:10.1142/S0218488502001648)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.config_data import Step
from pillars.vocabulary import Treatment


@dataclass(frozen=True)
class Anonymised:
    """A table whose groups of equal quasi-identifiers have k persons or more, but for `small` rows, whose quasi-identifiers are null."""

    table: pa.Table
    treatments: tuple[Treatment, ...]
    small: int


def anonymise(project: Project, table: pa.Table) -> Anonymised:
    """Take the finest declared step (full-domain generalisation) at which every group is large enough; after the last, suppress the rest.

    Persons are counted where the project names a subject, else rows. A row whose quasi-identifiers are all null is in no group.
    No row is lost, and no other column touched. `table` has its declared types; the same rows give the same answer in any order.
    """
    said = project.privacy
    if said.k is None or not table.num_rows:
        return Anonymised(table, (), 0)
    steps = max(len(ladder) for ladder in said.quasi.values())
    subject = None if said.subject is None else table.column(said.subject)
    for step in range(steps + 1):
        coarse = {name: _coarsened(table.column(name), ladder, step) for name, ladder in said.quasi.items()}
        small = _small(coarse, subject, said.k)
        if not small.any():
            break
    done = []
    for name, ladder in said.quasi.items():
        values = coarse[name]
        if small.any():
            values = pc.if_else(pa.array(small), pa.scalar(None, values.type), values)
        how = f"k {said.k}, step {step} of {steps}{_named(ladder, step)}; {int(small.sum()):,} rows in smaller groups"
        before, at = table.column(name), table.schema.get_field_index(name)
        done.append(Treatment("rows", name, "k-anonymity", _changed(before, values), how))
        table = table.set_column(at, name, values)
    return Anonymised(table, tuple(done), int(small.sum()))


def _small(coarse: Mapping[str, pa.ChunkedArray], subject: pa.ChunkedArray | None, k: int) -> np.ndarray:
    """Rows (n,), bool, in a group of fewer than k persons (a row without a person counts for none)."""
    n = len(next(iter(coarse.values())))
    rows = pa.table({**coarse, "\0at": pa.array(np.arange(n)), "\0who": pa.array(np.arange(n)) if subject is None else subject})
    groups = rows.group_by(list(coarse), use_threads=False).aggregate([("\0who", "count_distinct"), ("\0at", "list")])
    few = pc.less(groups.column("\0who_count_distinct"), k)
    named = pc.invert(_all_null([groups.column(name) for name in coarse]))
    small = np.zeros(n, bool)
    small[pc.list_flatten(groups.column("\0at_list").filter(pc.and_(few, named))).to_numpy()] = True
    return small


def _all_null(columns: list[pa.ChunkedArray]) -> pa.ChunkedArray:
    found = columns[0].is_null()
    for column in columns[1:]:
        found = pc.and_(found, column.is_null())
    return found


def _coarsened(values: pa.ChunkedArray, ladder: tuple[Step, ...], step: int) -> pa.ChunkedArray:
    """Numbers as the middle of their interval, text as its first characters and `*`, times as the begin of their day, month or year."""
    if step == 0:
        return values
    rung = ladder[min(step, len(ladder)) - 1]
    if isinstance(rung, str):
        return pc.floor_temporal(values, unit=rung).cast(values.type)
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        low = pc.multiply(pc.floor(pc.divide(pc.cast(values, pa.float64()), rung)), float(rung))
        middle = pc.add(low, rung / 2)
        return middle.cast(values.type) if pa.types.is_floating(values.type) else pc.floor(middle).cast(values.type)
    cut = pc.utf8_slice_codeunits(values, 0, int(rung))
    return pc.if_else(pc.greater(pc.utf8_length(values), int(rung)), pc.binary_join_element_wise(cut, "*", ""), values)


def _named(ladder: tuple[Step, ...], step: int) -> str:
    return f" ({ladder[min(step, len(ladder)) - 1]})" if step else ""


def _changed(before: pa.ChunkedArray, after: pa.ChunkedArray) -> int:
    same = pc.fill_null(pc.equal(before, after), False)
    nulls = pc.and_(before.is_null(), after.is_null())
    return len(before) - int(pc.sum(pc.or_(same, nulls)).as_py() or 0)
