"""Learning how wide intervals of numbers must be, from rows not fitted on; they are laid by `pillars.bundle.answers`."""

from __future__ import annotations

from typing import Any

import numpy as np

from pillars.config import Project
from pillars.training.rows import Rows

MIN_GROUP_ROWS = 100  # a group with fewer has the width of all rows: its own quantile would be one row's luck


def learn(project: Project, rows: Rows, score: np.ndarray, ends: np.ndarray | None) -> dict[str, Any]:
    """The interval as a bundle keeps it; empty unless the YAML asks for one, or where the rows are too few for the coverage.

    Split conformal (Lei 2018): the width is a quantile of |y - score|. cqr (Romano 2019): of how far y lies outside `ends`, (n, 2).
    With `by` each value that has rows enough gets its own (Mondrian, Vovk 2005). `score`: (n,), by a model that has not seen `rows`.
    """
    said = project.intervals
    if said.method == "none":
        return {}
    if ends is None:
        away = np.abs(rows.y - score)
    else:
        low, high = np.sort(ends, axis=1).T
        away = np.maximum(low - rows.y, rows.y - high)
    width = _quantile(away, rows.weights, said.coverage)
    if width is None:
        return {}
    found: dict[str, Any] = {"method": said.method, "coverage": said.coverage, "width": width}
    if ends is not None:
        found["boosters"] = 1.0
    if said.by is None:
        return found
    values, groups, widths = rows.columns[said.by], [], []
    for group in sorted({value for value in values.tolist() if isinstance(value, str)}):
        its = np.flatnonzero(values == group)
        own = _quantile(away[its], None if rows.weights is None else rows.weights[its], said.coverage)
        if len(its) >= MIN_GROUP_ROWS and own is not None:
            groups.append(group)
            widths.append(own)
    return {**found, "by": said.by, "groups": groups, "widths": widths}


def _quantile(away: np.ndarray, weights: np.ndarray | None, coverage: float) -> float | None:
    """The smallest distance that holds `coverage` of all rows and the one to come, which weighs as the mean; None on too few rows.

    Without weights it is the ceil((n + 1) coverage)-th smallest.
    """
    if len(away) == 0:
        return None
    order = np.argsort(away, kind="stable")
    counted = np.cumsum(np.ones(len(away)) if weights is None else weights[order])
    needed = coverage * (counted[-1] + counted[-1] / len(away))
    place = int(np.searchsorted(counted, needed * (1 - 1e-12), side="left"))
    return float(away[order[place]]) if place < len(away) else None
