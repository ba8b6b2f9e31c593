"""Two data versions side by side: which rows came, went or changed, by key, and what that did to each column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data import versions
from pillars.data.record import kind_of, period_of
from pillars.stores import Stores
from pillars.vocabulary import DataVersion

SHOWN = 5  # keys in a message
BINS = 20


@dataclass(frozen=True)
class Moved:
    """One column of the rows that both versions have, or of all: in how many rows it differs, and how far its values moved.

    `distance` is the total variation distance in [0, 1] between the two distributions: of categories and flags over their values, of
    numbers and times over 20 bins of equal frequency in the older version; missing values are one more bin.
    """

    column: str
    rows: int
    distance: float


@dataclass(frozen=True)
class Change:
    """One file that differs. Counts are of rows by key; `columns` are those whose values differ, most rows first."""

    period: str
    kind: str  # rows, outcomes
    how: str  # added, changed, removed
    before: int
    after: int
    added: int = 0
    removed: int = 0
    changed: int = 0
    columns: tuple[Moved, ...] = ()
    schema: tuple[str, ...] = ()  # what is another column, or another type
    keys: tuple[str, ...] = ()  # of the first rows that differ; empty where the key is confidential


def compare(stores: Stores, project: Project, old: DataVersion, new: DataVersion) -> tuple[Change, ...]:
    """What it takes to come from `old` to `new`, file by file in their order. Files with equal hashes are not opened.

    Raises:
        DataCorrupt: neither cache nor remote has the bytes of a file.
        StoreUnavailable: a version's commit is gone, or the remote does not answer.
    """
    found = []
    had, has = versions.counts(stores, old), versions.counts(stores, new)
    for path, how in sorted(versions.changes(stores, old, new).items()):
        kind, period = kind_of(path), period_of(path)
        if how == "changed":
            before, after = (versions.read(stores, version, kind, [period]) for version in (old, new))  # type: ignore[arg-type]
            found.append(_change(project, period, kind, before, after))
        elif how == "added":
            found.append(Change(period, kind, how, 0, has[path], added=has[path]))
        else:  # its file may be gone
            found.append(Change(period, kind, how, had[path], 0, removed=had[path]))
    return tuple(found)


def _change(project: Project, period: str, kind: str, before: pa.Table, after: pa.Table) -> Change:
    key = [k for k in project.key if k in before.column_names and k in after.column_names]
    after_key = after.select(key).cast(before.select(key).schema, safe=False)
    old, new = before.select(key).append_column("__old", _places(before)), after_key.append_column("__new", _places(after))
    both = old.join(new, key, join_type="full outer")
    gone, come = both.filter(both["__new"].is_null()), both.filter(both["__old"].is_null())
    kept = both.filter(pc.and_(both["__old"].is_valid(), both["__new"].is_valid())).sort_by("__old")
    a, b = before.take(kept["__old"]), after.take(kept["__new"])
    shared = [n for n in before.column_names if n in after.column_names and n not in key]
    differ = {name: _differ(a.column(name), b.column(name)) for name in shared}
    changed = np.logical_or.reduce([np.zeros(kept.num_rows, bool), *differ.values()])
    moved = [
        Moved(name, int(mask.sum()), round(distance(before.column(name), after.column(name)), 6))
        for name, mask in differ.items()
        if mask.any() or gone.num_rows or come.num_rows
    ]
    odd = [*_rows_of(gone, key), *_rows_of(come, key), *_rows_of(kept.filter(pa.array(changed)), key)]
    return Change(
        period,
        kind,
        "changed",
        before.num_rows,
        after.num_rows,
        come.num_rows,
        gone.num_rows,
        int(changed.sum()),
        tuple(sorted((m for m in moved if m.rows or m.distance), key=lambda m: (-m.rows, -m.distance, m.column))),
        tuple(_schema(before.schema, after.schema)),
        () if set(key) & set(project.confidential) else tuple(odd[:SHOWN]),
    )


def distance(before: pa.ChunkedArray, after: pa.ChunkedArray) -> float:
    """Total variation distance in [0, 1]: half the summed differences of the shares in each bin (Levin, Peres and Wilmer, Markov Chains
    and Mixing Times, 4.1).
    """
    a, b = _binned(before, after)
    return float(0.5 * np.abs(a / max(a.sum(), 1) - b / max(b.sum(), 1)).sum())


def _binned(before: pa.ChunkedArray, after: pa.ChunkedArray) -> tuple[np.ndarray, np.ndarray]:
    """Rows per bin, the last one of missing values."""
    kinds = (before.type, after.type)
    if all(pa.types.is_integer(k) or pa.types.is_floating(k) or pa.types.is_timestamp(k) for k in kinds):
        a, b = (_numbers(values) for values in (before, after))
        known = a[~np.isnan(a)]
        edges = np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if known.size else np.array([])
        counts = (np.bincount(np.searchsorted(edges, v[~np.isnan(v)], side="right"), minlength=len(edges) + 1) for v in (a, b))
        return tuple(np.append(c, np.isnan(v).sum()) for c, v in zip(counts, (a, b), strict=True))  # type: ignore[return-value]
    words: dict[str | None, list[int]] = {}
    for at, values in enumerate((before, after)):
        for pair in pc.value_counts(values.combine_chunks()).to_pylist():
            words.setdefault(None if pair["values"] is None else str(pair["values"]), [0, 0])[at] += pair["counts"]
    table = np.array(list(words.values()), dtype=float).reshape(-1, 2)
    return table[:, 0], table[:, 1]


def _numbers(values: pa.ChunkedArray) -> np.ndarray:
    if pa.types.is_timestamp(values.type):
        values = values.cast(pa.timestamp("us"), safe=False).cast(pa.int64())
    return pc.fill_null(values.cast(pa.float64(), safe=False), np.nan).to_numpy()


def _differ(a: pa.ChunkedArray, b: pa.ChunkedArray) -> np.ndarray:
    """Where two columns differ (n,); missing equals missing, and NaN NaN."""
    if a.type != b.type:
        a, b = a.cast(pa.string()), b.cast(pa.string())
    no_a, no_b = (values.is_null(nan_is_null=True) for values in (a, b))
    other = pc.and_(pc.fill_null(pc.not_equal(a, b), False), pc.invert(pc.or_(no_a, no_b)))
    return pc.or_(pc.xor(no_a, no_b), other).to_numpy(zero_copy_only=False)


def _places(table: pa.Table) -> pa.Array:
    return pa.array(np.arange(table.num_rows))


def _rows_of(table: pa.Table, key: Sequence[str]) -> list[str]:
    return [" ".join(str(v) for v in row.values()) for row in table.select(list(key)).slice(0, SHOWN).to_pylist()]


def _schema(before: pa.Schema, after: pa.Schema) -> list[str]:
    said = [f"{name} is new" for name in after.names if name not in before.names]
    said += [f"{name} is gone" for name in before.names if name not in after.names]
    types = ((n, before.field(n).type, after.field(n).type) for n in before.names if n in after.names)
    return said + [f"{name} was {a} and is {b}" for name, a, b in types if a != b]
