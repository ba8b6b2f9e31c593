"""What a challenger must hold beside its gate: limits of its measures on the judged rows, of its bundle's size and of its speed."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from pillars.bundle.bundle import Bundle
from pillars.bundle.golden import from_json
from pillars.config import Limit, Project
from pillars.vocabulary import Condition, Decision, Measure, Scorecard

ROUNDS = 7  # of which the best counts: a machine that is busy for a moment makes nobody slow
CALLS = {1: 30, 1000: 7}  # in a round, by rows; of these the median


def conditions(project: Project, challenger: Scorecard) -> tuple[Condition, ...]:
    """Everything that the YAML asks of a challenger, answered from its scorecard."""
    return tuple(_limits(project, challenger))


def of_bundle(project: Project, bundle: Bundle) -> tuple[Condition, ...]:
    """Everything that the YAML asks of the refitted bundle itself; measured here and now, so no reproduction depends on it."""
    found, gate = [], project.gate
    if gate.size_mb is not None:
        found.append(Condition("size_mb", _small(gate.size_mb, bundle.path)))
    for rows, most in ((1, gate.latency_ms.one_row), (1000, gate.latency_ms.thousand_rows)):
        if most is not None:
            found.append(Condition(f"latency_ms of {rows}", _quick(most, timed(bundle, rows))))
    return tuple(found)


def timed(bundle: Bundle, rows: int) -> tuple[float, float]:
    """Milliseconds to predict so many of the golden rows, taken in turn: the lowest median of some rounds, and the fastest call."""
    columns = _repeated(from_json(bundle.golden["columns"]), rows)
    bundle.predict(columns)  # the first call sets things up
    taken = np.empty((ROUNDS, CALLS[rows]))
    for place in np.ndindex(taken.shape):
        start = time.perf_counter()
        bundle.predict(columns)
        taken[place] = (time.perf_counter() - start) * 1000
    return float(np.median(taken, axis=1).min()), float(taken.min())


def _repeated(columns: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
    return {name: np.resize(column, rows) for name, column in columns.items()}


def _small(most: float, path: Path) -> Decision:
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file()) / 1e6
    return Decision.by(size <= most, f"{size:.3g} MB, asked for: at most {most:g}")


def _quick(most: float, taken: tuple[float, float]) -> Decision:
    """Accept by the best median; refuse where not even one call was that fast; between, a busy machine may be the cause."""
    median, fastest = taken
    reason = f"median {median:.3g} ms, fastest call {fastest:.3g}, asked for: at most {most:g}"
    if median <= most:
        return Decision.accept(reason)
    return Decision.refuse(reason) if fastest > most else Decision.inconclusive(reason)


def _limits(project: Project, challenger: Scorecard) -> Iterator[Condition]:
    for name, limit in project.gate.limits.items():
        measure = challenger.measures.get(name)
        yield Condition(name, _within(limit, measure) if measure else Decision.inconclusive(f"{challenger.rows_of} gives no {name}"))


def _within(limit: Limit, measure: Measure) -> Decision:
    """Accept where the whole interval holds the limit, refuse where none of it does."""
    least, most = limit.least if limit.least is not None else -float("inf"), limit.most if limit.most is not None else float("inf")
    said = " and ".join([f"at least {least:g}"] * (limit.least is not None) + [f"at most {most:g}"] * (limit.most is not None))
    reason = f"{measure}, asked for: {said or 'nothing'}"
    if least <= measure.low and measure.high <= most:
        return Decision.accept(reason)
    return Decision.refuse(reason) if measure.high < least or measure.low > most else Decision.inconclusive(reason)
