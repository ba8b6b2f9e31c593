"""A period's rows played as requests while a release is on trial: dealt and judged in the order of their times, by the same controller."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Project
from pillars.deployment import batches, rollout
from pillars.deployment.evidence import Evidence
from pillars.deployment.scoring import Answers, Beside, answered, answers_of
from pillars.vocabulary import Event, Judgement, Trial, TrialReport
from pillars.vocabulary import Rollout as Traffic

LOOKS = 100  # at a period: a look reads all that came before it (9 µs a row), and most trials end in the first tenth
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Played:
    """The predictions, row i of row i; and each change of the traffic with what its trial came to until then, oldest first."""

    predictions: pa.Table
    moves: tuple[tuple[Traffic, TrialReport], ...]


def play(
    project: Project,
    now: Traffic,
    rows: pa.Table,
    answers: Answers,
    beside: Beside,
    data_version: str,
    key: Sequence[str],
    log: Evidence,
    judge: Callable[[Trial, Evidence, datetime], tuple[Judgement, Trial]],
    report: Callable[[Trial, Evidence], TrialReport],
    broken: str = "",
) -> Played:
    """Ask each row at its time, and look `LOOKS` times: what a look decides holds for the rows after it.

    The clock is the rows' own: its times have no offset, and a share that is on record by another clock is watched from the first row on.
    What is on trial and `broken`, which says why, goes back before the first row. `log` is what is known of the trial from before; outcomes
    of these rows are not among it. Deterministic, and nothing is written.
    """
    before = list(log.events(now.trial.stages[0].generation)) if now.trial else []
    at, tables, seen, moves = _times(project, rows), list[pa.Table](), _Seen(before), list[tuple[Traffic, TrialReport]]()
    order = np.argsort(at, kind="stable")
    if now.trial is not None and len(order):
        now = replace(now, trial=rollout.timed(now.trial, _clock(at[order[0]])))
        if broken and now.trial is not None:
            after = rollout.taken_back(project.rollout, now, broken, _clock(at[order[0]]), harmed=False)
            moves.append((replace(after, generation=now.generation + 1), report(now.trial, seen)))
            now = moves[-1][0]
    for chunk in np.array_split(order, max(1, min(LOOKS, len(order)))):
        table = answered(rows.take(chunk), answers_of(answers, chunk), now, data_version, key, beside)
        tables.append(table)
        if now.trial is None or not len(chunk):
            continue
        seen.known += batches.events(project, table, None)
        then = _clock(at[chunk[-1]])
        after = rollout.advanced(project.rollout, now, judge(now.trial, seen, then)[0], then)
        if after != now:
            moves.append((replace(after, generation=now.generation + 1), report(now.trial, seen)))
            now = moves[-1][0]
    return Played(pa.concat_tables(tables, promote_options="default").take(np.argsort(order, kind="stable")).combine_chunks(), tuple(moves))


class _Seen:
    """Evidence of what was seen by now."""

    def __init__(self, known: list[Event]) -> None:
        self.known = known

    def events(self, generation: int) -> Iterator[Event]:
        return (event for event in self.known if event.generation >= generation)


def _times(project: Project, rows: pa.Table) -> np.ndarray:
    """When each row was asked, whole seconds since 1970 by its own clock, int64, (rows,); a null first."""
    times = pc.cast(pc.cast(rows[project.time], pa.timestamp("s"), safe=False), pa.int64())
    return np.asarray(pc.fill_null(times, pc.min(times)).to_numpy(), dtype=np.int64)


def _clock(seconds: int) -> datetime:
    return _EPOCH + timedelta(seconds=int(seconds))
