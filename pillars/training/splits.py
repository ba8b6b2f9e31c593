"""Which rows are searched, fitted and judged on, by time. Nothing is judged on rows that it, or its search, has seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pillars.config import Project
from pillars.errors import TooFewRows, UnknownName


@dataclass(frozen=True)
class Part:
    """Some periods; where there is one period only, some of its consecutive blocks.

    `cuts` are ascending shares of the period's blocks, in (0, 1): they make len(cuts) + 1 pieces, and pieces[0] up to pieces[1] are taken.
    """

    periods: tuple[str, ...]
    cuts: tuple[float, ...] = ()
    pieces: tuple[int, int] = (0, 1)


@dataclass(frozen=True)
class Plan:
    """search_fit and validate: where recipes compete. twin_fit and judge_on: where the gate judges. refit: what is released."""

    until: str
    search_fit: Part
    validate: Part
    twin_fit: Part
    judge_on: Part
    refit: Part


def plan(project: Project, periods: Sequence[str], until: str) -> Plan:
    """The parts of a retraining with outcomes known through `until`; `periods` are those with outcomes.

    t judges, what lies before it (less `gap_periods`) is the twins', and of that the newest period validates. With one period before t its
    last blocks validate; with none, t itself is cut into blocks that fit, validate and judge, in this order. A gap is kept between periods,
    not inside one.

    Raises:
        UnknownName: `until` is not among the periods.
    """
    known = tuple(sorted(set(periods)))
    if until not in known:
        raise UnknownName("period with outcomes", until, list(known))
    gap, share = project.split.gap_periods, project.split.first_share
    through = known[: known.index(until) + 1]
    twin_fit = through[: max(0, len(through) - 1 - gap)]
    search_fit = twin_fit[: max(0, len(twin_fit) - 1 - gap)]
    fit, validate = Part(search_fit), Part(twin_fit[-1:])
    if twin_fit and not search_fit:
        fit, validate = (Part(twin_fit[-1:], (share,), at) for at in ((0, 1), (1, 2)))
    if twin_fit:
        return Plan(until, fit, validate, Part(twin_fit), Part((until,)), Part(through))
    fit, validate, twin, judge_on = (Part((until,), (share * share, share), at) for at in ((0, 1), (1, 2), (0, 2), (2, 3)))
    return Plan(until, fit, validate, twin, judge_on, Part(through))


def folds(blocks: np.ndarray, count: int) -> np.ndarray:
    """The fold of each row, int64, shape (n,), from 0: runs of whole blocks, at most one per block."""
    distinct, place = np.unique(blocks, return_inverse=True)
    return place * min(count, len(distinct)) // len(distinct)


def taken(part: Part, blocks: np.ndarray) -> np.ndarray:
    """Which rows of the part's periods belong to it, bool, shape (n,). `blocks`: int64, shape (n,), ascending with time.

    Every piece has at least one block.

    Raises:
        TooFewRows: fewer blocks than pieces.
    """
    if not part.cuts:
        return np.ones(len(blocks), dtype=bool)
    distinct = np.unique(blocks)
    if len(distinct) <= len(part.cuts):
        raise TooFewRows(part.periods[-1], f"{len(distinct)} blocks of rows, {len(part.cuts) + 1} needed")
    edges = [0]
    for place, share in enumerate(part.cuts):
        latest = len(distinct) - (len(part.cuts) - place)  # leaves a block for each later piece
        edges.append(min(max(round(share * len(distinct)), edges[-1] + 1), latest))
    edges.append(len(distinct))
    wanted = distinct[edges[part.pieces[0]] : edges[part.pieces[1]]]
    return (blocks >= wanted[0]) & (blocks <= wanted[-1])
