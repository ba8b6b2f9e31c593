"""Proposed expectations held against the batches that were accepted, by Great Expectations itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pillars.config import Project
from pillars.config_data import Expectation
from pillars.data.expecting import Bound, Limits, propose
from pillars.data.figures import Past, look
from pillars.data.suite import Kind, expectations
from pillars.data.validation import validate
from pillars.vocabulary import Check

Read = Callable[[Kind, str], pa.Table]  # a period's rows or outcomes


@dataclass(frozen=True)
class Tested:
    """A bound, the accepted batches that fail it, and those in which it could not run."""

    bound: Bound
    failed: tuple[str, ...]
    could_not_run: tuple[str, ...]


@dataclass(frozen=True)
class Backtest:
    """Bounds proposed from all batches, and how the same rules would have done: at each batch with what the earlier ones gave.

    `alarms` of `checks` failed or could not run; `by_period` has both numbers for each batch that was checked that way.
    """

    tested: tuple[Tested, ...]
    checks: int
    alarms: int
    by_period: dict[str, tuple[int, int]]
    false_alarms: tuple[str, ...]

    @property
    def alarm_share(self) -> float:
        """Share of walk-forward checks that alarmed, although the batch had been accepted; 0 where there were none."""
        return self.alarms / self.checks if self.checks else 0.0


def walk(project: Project, kind: Kind, periods: Sequence[str], read: Read, limits: Limits) -> Backtest:
    """Propose for one table, and try the proposal on the batches it comes from (oldest first). Each batch is read twice.

    Raises:
        ConfigInvalid: Great Expectations refuses a bound.
    """
    past: list[Past] = [look(project, kind, period, read(kind, period)) for period in periods]
    final = propose(project, kind, past, limits)
    failed: list[list[str]] = [[] for _ in final]
    broken: list[list[str]] = [[] for _ in final]
    by_period: dict[str, tuple[int, int]] = {}
    false_alarms: list[str] = []
    for at, period in enumerate(periods):
        then = propose(project, kind, past[:at], limits)
        if not (final or then) or not past[at].rows:
            continue
        checks = _hold(project, kind, period, read, [b.expectation for b in (*final, *then)])
        for place, check in enumerate(checks[: len(final)]):
            if check.status != "passed":
                (failed if check.status == "failed" else broken)[place].append(period)
        bad = [check for check in checks[len(final) :] if check.status != "passed"]
        false_alarms += [f"{period} {check.expectation}({check.column})" for check in bad]
        if then:
            by_period[period] = (len(bad), len(then))
    tested = tuple(Tested(b, tuple(f), tuple(c)) for b, f, c in zip(final, failed, broken, strict=True))
    return Backtest(tested, sum(n for _, n in by_period.values()), len(false_alarms), by_period, tuple(false_alarms))


def _hold(project: Project, kind: Kind, period: str, read: Read, asked: Sequence[Expectation]) -> tuple[Check, ...]:
    """The checks of these expectations alone."""
    only = project.expectations.model_copy(update={"suite": tuple(asked), "freshness": False})
    trial = project.model_copy(update={"expectations": only})
    first = len(expectations(trial, kind, None)) - len(asked)
    rows = read("rows", period) if kind == "rows" else pa.table({})
    if kind == "rows":
        checks, _ = validate(trial, period, rows, None)
    else:
        checks = _outcome_checks(trial, period, read("outcomes", period))
    return checks[first : first + len(asked)]


def _outcome_checks(trial: Project, period: str, outcomes: pa.Table) -> tuple[Check, ...]:
    """Checks of an outcomes table beside no rows."""
    checks, _ = validate(trial, period, pa.table({}), outcomes)
    return tuple(check for check in checks if check.column.startswith("outcomes: "))
