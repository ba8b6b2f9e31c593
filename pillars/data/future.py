"""Another future: the same source, as if everything after a moment had come otherwise. What was asked about by then must not notice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data.parsing import parse
from pillars.data.schema import conform
from pillars.data.source import Source, ask, whole

GONE = 1 / 3  # share of the rows after the moment that are left out
WITHIN_S = 30 * 86_400  # seconds after the moment in which times come instead


def another(table: pa.Table, now: datetime, seed: int, since: str = "", known: Mapping[str, str] | None = None) -> pa.Table:
    """A raw table with another future than the one after `now`; for the `scrambled` of a project's own source.

    `since`: the column of the time from which a row is there. Later rows exchange their values, and a third of them is gone. `known`:
    column to the column of the time at which its value is known; later values, and those of rows without such a time, are others: of
    text, numbers and truths another one that the column has, of times another after `now`. Times with a zone count in UTC.
    """
    rng, found = np.random.default_rng(seed), table
    for name, when in (known or {}).items():
        at = table.column_names.index(name)
        found = found.set_column(at, name, _others(table.column(name), _after(table.column(when), now), now, rng))
    if not since:
        return found
    new, places = _after(table.column(since), now), np.arange(table.num_rows)
    places[new] = rng.permutation(places[new])
    moved = found.take(pa.array(places)).set_column(table.column_names.index(since), since, found.column(since))
    return moved.filter(pa.array(~new | (rng.random(len(new)) >= GONE)))


@dataclass
class Scrambled:
    """A source without code under another future: outcomes are all others, for none is known when its row is asked about."""

    project: Project
    source: Source
    now: datetime
    seed: int

    def periods(self) -> list[str]:
        """As the source says."""
        return self.source.periods()

    def rows(self, period: str) -> pa.Table:
        """Rows of a period; those after the moment are others, but for their keys."""
        typed, _ = parse(self.project, whole(ask(self.project, self.source, "rows", period)))
        typed = conform(self.project, typed, self.project.row_columns)
        key, time = set(self.project.key), self.project.time
        new, rng = _after(typed.column(time), self.now), np.random.default_rng(self.seed)
        for at, name in enumerate(typed.column_names):
            if name not in key and name != time:
                typed = typed.set_column(at, name, _others(typed.column(name), new, self.now, rng))
        return typed.filter(pa.array(~new | (rng.random(len(new)) >= GONE)))

    def outcomes(self, period: str) -> pa.Table:
        """Outcomes of a period, every one another."""
        typed, _ = parse(self.project, whole(ask(self.project, self.source, "outcomes", period)))
        rng = np.random.default_rng(self.seed)
        for at, name in enumerate(typed.column_names):
            if name not in self.project.key:
                typed = typed.set_column(at, name, _others(typed.column(name), np.ones(typed.num_rows, dtype=bool), self.now, rng))
        return typed


def changed(one: pa.ChunkedArray, other: pa.ChunkedArray) -> int:
    """In how many places two columns of the same length differ; nulls are equal, and so are NaNs."""
    if not one.type.equals(other.type):
        return len(one)
    valid = [column.is_valid().to_numpy() for column in (one, other)]
    same = pc.fill_null(pc.equal(one, other), True).to_numpy()
    if pa.types.is_floating(one.type):
        nan = [pc.fill_null(pc.is_nan(column), False).to_numpy() for column in (one, other)]
        same = same | (nan[0] & nan[1])
    return int(((valid[0] != valid[1]) | (valid[0] & valid[1] & ~same)).sum())


def _after(times: pa.ChunkedArray, now: datetime) -> np.ndarray:
    """Which times (n,) lie after a moment; one that is missing may still come."""
    plain = times.cast(pa.timestamp("us", times.type.tz)).cast(pa.int64())
    return np.asarray(pc.fill_null(pc.greater(plain, pa.scalar(_microseconds(now), pa.int64())), True).to_numpy())


def _microseconds(now: datetime) -> int:
    return int(np.datetime64(now.replace(tzinfo=None), "us").astype(np.int64))


def _others(values: pa.ChunkedArray, at: np.ndarray, now: datetime, rng: np.random.Generator) -> pa.Array:
    """The values (n,) with others `at` some places (n,), each surely another than it was."""
    flat = values.combine_chunks() if isinstance(values, pa.ChunkedArray) else values
    flat = flat.cast(flat.type.value_type) if pa.types.is_dictionary(flat.type) else flat
    n = len(flat)
    if pa.types.is_timestamp(flat.type):
        later = pa.array(_microseconds(now) + 1_000_000 * rng.integers(1, WITHIN_S, n), pa.timestamp("us", flat.type.tz))
        return pc.if_else(pa.array(at), later.cast(flat.type, safe=False), flat)
    coded = flat.dictionary_encode()
    known = coded.dictionary
    if pa.types.is_boolean(flat.type):
        known = pa.array([False, True])
        coded = pa.DictionaryArray.from_arrays(pc.cast(flat, pa.int32()), known)
    if not len(known):
        return flat
    if len(known) == 1:
        known = pa.concat_arrays([known, _one_more(known)])
    own = coded.indices.fill_null(0).to_numpy(zero_copy_only=False)
    return pc.if_else(pa.array(at), known.take(pa.array((own + rng.integers(1, len(known), n)) % len(known))), flat)


def _one_more(only: pa.Array) -> pa.Array:
    """A value that a column of a single one does not have."""
    value = only[0].as_py()
    if isinstance(value, str):
        return pa.array([f"not {value}"], only.type)
    return pa.array([0 if value else 1], pa.int64()).cast(only.type)
