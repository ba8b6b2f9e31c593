"""Which declared groups of rows a batch has, against the rows one could have trained on: a group that stops coming fails no row."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.data import versions
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import DataVersion

NONE = "(no value)"


@dataclass(frozen=True)
class Segment:
    """One group of a batch. `population` are its rows to train on, `expected` as many of the batch's if its share were still the same.

    `state`: present; missing (none came, though the floor or more were expected); new (the floor or more came, none to train on);
    no_claim (fewer than the floor, both expected and seen).
    """

    column: str
    value: str
    rows: int
    share: float
    population: int
    population_share: float
    expected: float
    state: Literal["present", "missing", "new", "no_claim"]


@dataclass(frozen=True)
class Covered:
    """A batch's groups. `against`: the earlier periods with outcomes, those to train on; without any, nothing is claimed."""

    project: str
    period: str
    floor: int
    against: tuple[str, ...]
    segments: tuple[Segment, ...]

    def of(self, state: str) -> tuple[str, ...]:
        """The groups in a state, as column=value."""
        return tuple(f"{s.column}={s.value}" for s in self.segments if s.state == state)


def report(stores: Stores, project: Project, version: DataVersion, period: str) -> Covered:
    """The groups of one period of a version: a function of that version and the declared segments alone.

    Raises:
        UnknownName: the version has no such period.
        DataCorrupt: neither cache nor remote has the bytes.
    """
    declared = project.expectations.coverage
    known = set(versions.with_outcomes(stores, version))
    against = tuple(p for p in version.periods if p < period and p in known)
    batch = versions.read(stores, version, "rows", [period], declared.segments)
    before = versions.read(stores, version, "rows", against, declared.segments) if against else batch.slice(0, 0)
    segments = [s for name in declared.segments for s in compare(name, count(batch, name), count(before, name), declared.floor)]
    return Covered(project.project, period, declared.floor, against, tuple(segments))


def count(table: pa.Table, column: str) -> Counter[str]:
    """Rows of each value; a null is a group, too."""
    if column not in table.column_names or not table.num_rows:
        return Counter()
    counted = pc.value_counts(table[column]).to_pylist()
    return Counter({NONE if v["values"] is None else str(v["values"]): v["counts"] for v in counted})


def compare(column: str, batch: Mapping[str, int], population: Mapping[str, int], floor: int) -> list[Segment]:
    """The groups of one column, those of the population first, by their rows."""
    rows, known = sum(batch.values()), sum(population.values())
    names = sorted({*batch, *population}, key=lambda v: (-population.get(v, 0), -batch.get(v, 0), v))
    found = []
    for value in names:
        n, before = batch.get(value, 0), population.get(value, 0)
        share = before / known if known else 0.0
        state: Literal["present", "missing", "new", "no_claim"] = "present"
        if not known or max(n, share * rows) < floor:
            state = "no_claim"
        elif not n:
            state = "missing"
        elif not before:
            state = "new"
        found.append(Segment(column, value, n, n / rows if rows else 0.0, before, share, share * rows, state))
    return found


def write(stores: Stores, covered: Covered) -> str:
    """Write the report as JSON beside the batch's page; its path, relative to `var`."""
    path = f"reports/{covered.project}/{covered.period}/coverage.json"
    write_atomically(stores.var / path, (json.dumps(asdict(covered), indent=2) + "\n").encode())
    return path
