"""Scored batches as evidence: which arm answered a row, and whether it was wrong, once its outcome is known."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.deployment.split import entities
from pillars.vocabulary import Event


def events(project: Project, predictions: pa.Table, known: pa.Table | None) -> Iterator[Event]:
    """Every row as a request that failed nowhere and kept nobody waiting; once more, with `wrong`, where its outcome is `known` (the same
    columns, and the target). Of numbers nothing is wrong. A champion's row is also the shadow's where one was shown it.
    """
    yield from _events(project, predictions, None)
    if known is not None and "decision" in known.column_names:
        yield from _events(project, known, known[project.target].to_pylist())


def _events(project: Project, table: pa.Table, truth: list[Any] | None) -> Iterator[Event]:
    names = project.entity if set(project.entity) <= set(table.column_names) else project.key
    at = _seconds(project, table)
    challengers = _challengers(table)
    said = {
        name: table[name].to_pylist() for name in ("score", "decision", "shadow_score", "shadow_decision") if name in table.column_names
    }
    generations, of = table["generation"].to_pylist(), project.rollout.slice
    slices = [str(value) for value in table[of].to_pylist()] if of in table.column_names else [""] * table.num_rows
    for row, who in enumerate(entities(table, names, project.key)):

        def event(arm: Any, kind: str, row: int = row, who: bytes = who) -> Event:
            wrong = None if truth is None else said[f"{kind}decision"][row] != truth[row]
            return Event(who.decode(), arm, at[row], generations[row], False, None, said[f"{kind}score"][row], wrong, slices[row])

        yield event("challenger" if challengers[row] else "champion", "")
        if said.get("shadow_score", [None] * (row + 1))[row] is not None:  # nobody was shown it after its trial
            yield event("shadow", "shadow_")


def _challengers(table: pa.Table) -> list[bool]:
    """Which rows another than the champion answered: its version is named beside each row while there is a trial."""
    if "champion" not in table.column_names:
        return [False] * table.num_rows
    return pc.not_equal(table["model_version"], table["champion"]).to_pylist()


def _seconds(project: Project, table: pa.Table) -> list[float]:
    """When each row was asked, seconds since 1970; its place where rows have no time."""
    if project.time is None or project.time not in table.column_names:
        return [float(row) for row in range(table.num_rows)]
    return [micros / 1e6 for micros in pc.cast(pc.cast(table[project.time], pa.timestamp("us"), safe=False), pa.int64()).to_pylist()]
