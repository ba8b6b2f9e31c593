"""Rows to fit and to judge on, as training takes them from whoever reads the data."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pyarrow as pa

from pillars.errors import TooFewRows
from pillars.training.splits import Part, Plan, taken


class Labelled(Protocol):
    """Rows whose outcome is known, in an order that their keys decide. `pillars.development.features.Labelled` is one."""

    @property
    def keys(self) -> pa.Table:
        """Key columns, n rows."""

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """Feature columns, each of shape (n,)."""

    @property
    def y(self) -> np.ndarray:
        """Shape (n,): float32 0 or 1 (binary), float32 places among the classes (multiclass), float64 (regression)."""

    @property
    def blocks(self) -> np.ndarray:
        """int64, shape (n,): rows of one block share their luck."""

    @property
    def digest(self) -> str:
        """Content address."""

    @property
    def weights(self) -> np.ndarray | None:
        """float64, shape (n,), above 0: how much each row counts; None where all count alike."""

    @property
    def aside(self) -> Mapping[str, np.ndarray]:
        """Columns by which rows are told apart when they are judged, each (n,), str or None; no model sees them."""

    @property
    def groups(self) -> np.ndarray | None:
        """Objects, str or None, shape (n,): rows that folds keep together; None where there are no such."""


Read = Callable[[Sequence[str]], Labelled]


@dataclass(frozen=True)
class Rows:
    """A part of the labelled rows; arrays as in `Labelled`."""

    keys: pa.Table
    columns: Mapping[str, np.ndarray]
    y: np.ndarray
    blocks: np.ndarray
    digest: str
    weights: np.ndarray | None = None
    groups: np.ndarray | None = None
    aside: Mapping[str, np.ndarray] = field(default_factory=dict)


def coded(column: np.ndarray) -> tuple[list[str], np.ndarray]:
    """The values of a column aside in order, None last, each as a name says it; and each row's place among them, int64, (n,)."""
    given = column.tolist()
    values = sorted({*given}, key=lambda value: (value is None, value))
    place = {value: code for code, value in enumerate(values)}
    return [_worded(value) for value in values], np.array([place[value] for value in given], dtype=np.int64)


def _worded(value: str | None) -> str:
    """Printable, in one line of 80 letters at most; "null" where there is none."""
    if value is None:
        return "null"
    return " ".join("".join(letter if letter.isprintable() else " " for letter in value).split())[:80] or "blank"


def gather(read: Read, part: Part) -> Rows:
    """The rows of a part.

    Raises:
        TooFewRows: its period has too few blocks to be cut, or no row with a known outcome.
    """
    found = read(part.periods)
    if len(found.y) == 0:
        raise TooFewRows(part.periods[-1], "no row with a known outcome")
    if not part.cuts:
        return Rows(found.keys, found.columns, found.y, found.blocks, found.digest, found.weights, found.groups, found.aside)
    return subset(found, np.flatnonzero(taken(part, found.blocks)))


def newest(rows: Rows, count: int) -> Rows:
    """The last `count` rows: the newest, as periods follow each other."""
    return rows if len(rows.y) <= count else subset(rows, np.arange(len(rows.y) - count, len(rows.y)))


def subset(rows: Labelled, places: np.ndarray) -> Rows:
    """The rows at `places`, int64, ascending."""
    digest = hashlib.sha256(rows.digest.encode() + places.astype(np.int64).tobytes()).hexdigest()
    columns = {name: column[places] for name, column in rows.columns.items()}
    weights, groups = (None if each is None else each[places] for each in (rows.weights, rows.groups))
    aside = {name: column[places] for name, column in rows.aside.items()}
    return Rows(rows.keys.take(pa.array(places)), columns, rows.y[places], rows.blocks[places], digest, weights, groups, aside)


def lacking(plan: Plan, read: Read) -> str:
    """Why the rows do not suffice to train at all: empty parts, too few blocks, or a single class to learn. Empty when they do."""
    try:
        for part in (plan.search_fit, plan.validate, plan.twin_fit, plan.judge_on, plan.refit):
            y = gather(read, part).y
            if part in (plan.search_fit, plan.twin_fit, plan.refit) and len(np.unique(y)) < 2:
                return f"{part.periods[-1]}: all {len(y)} rows to fit on have the same outcome"
    except TooFewRows as err:
        return f"{err.period}: {err.problem}"
    return ""
