"""Sums over events in a group and a stretch of time, exact: integers only, so that the bytes are the same on every machine."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

SPAN = 1 << 24  # minutes reserved per group, thirty years: group and minute share one sortable integer


@dataclass(frozen=True)
class Events:
    """Events (n,) sorted by group and minute.

    `keys` (n,): group * SPAN + minute. `order` (n,): each event's place before sorting. `sums`, (n + 1,) each: running totals of a value.
    """

    keys: Ints
    order: Ints
    sums: dict[str, Ints]

    def before(self, group: Ints, minute: Ints) -> Ints:
        """Places (m,) in `sums`: events before `minute` (exclusive) of `group`, and all events of lesser groups."""
        return np.searchsorted(self.keys, group * SPAN + np.clip(minute, 0, SPAN - 1), side="left")

    def total(self, name: str, since: Ints, until: Ints) -> Ints:
        """Sum (m,) of the value `name` between two places that `before` gave."""
        return self.sums[name][until] - self.sums[name][since]

    def last(self, group: Ints, minute: Ints) -> Ints:
        """The unsorted place (m,) of the group's last event at or before `minute`; -1 where there is none."""
        at = np.maximum(self.before(group, minute + 1) - 1, 0)
        found = (self.keys[at] // SPAN == group) & (self.keys[at] % SPAN <= minute)
        return np.where(found, self.order[at], -1)


def events(group: Ints, minute: Ints, **values: Ints) -> Events:
    """Sort events (n,) once, equal ones in the order they came; `values` (n,) are what can be summed, and `n` counts.

    `group` counts from 0 (below 2**39), `minute` lies in [0, SPAN).
    """
    keys = group * SPAN + minute
    order = np.argsort(keys, kind="stable")
    values = {"n": np.ones(len(keys), np.int64), **values}
    return Events(keys[order], order, {name: np.concatenate([[0], np.cumsum(value[order])]) for name, value in values.items()})


def ratio(total: Ints, count: Ints) -> pa.Array:
    """total / count (n,) as float64, null where `count` is 0: all sums are exact, one rounding comes last."""
    return pa.array(total / np.maximum(count, 1), mask=count <= 0)


def where(known: Bools, value: Ints | NDArray[np.float64]) -> pa.Array:
    """`value` (n,) as float64, null where it is not known."""
    return pa.array(value.astype(np.float64), mask=~known)


def codes(values: pa.ChunkedArray) -> Ints:
    """Small integers (n,) that tell values apart; null is a value of its own."""
    return values.combine_chunks().dictionary_encode(null_encoding="encode").indices.to_numpy().astype(np.int64)


def pair(left: Ints, right: Ints) -> Ints:
    """One integer (n,) for each combination of two codes."""
    return left * (int(right.max(initial=0)) + 1) + right
