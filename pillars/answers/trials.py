"""How the release on trial does, by what is logged. Asks nobody, changes nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from pillars.answers.history import TRAFFIC, facts_of
from pillars.answers.served import log_of
from pillars.config import Project
from pillars.data import collection, versions
from pillars.deployment import batches, evidence, rollout, traffic
from pillars.deployment import report as reports
from pillars.deployment.evidence import Evidence
from pillars.deployment.judge import judge
from pillars.deployment.logged import Logged
from pillars.errors import UnknownName
from pillars.monitoring import performance
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Batch, Event, Judgement, Rollout, Scored, Trial, TrialReport


def verdict(stores: Stores, project: Project, at: datetime) -> Judgement:
    """The verdict on what is on trial now; inconclusive where nothing is.

    Raises:
        StoreUnavailable: policy or log cannot be read.
        DataCorrupt, SourceBroken: a scored batch or its outcomes are not what they were.
    """
    now = traffic.read(stores, project.project)
    if now is None or now.trial is None:
        return Judgement("inconclusive", "nothing is on trial")
    return judged(project, now.trial, evidence_of(stores, project), at)[0]


def reported(stores: Stores, project: Project) -> TrialReport | None:
    """Arm by arm what is on trial came to; None where nothing is. Raises: as `verdict`."""
    now = traffic.read(stores, project.project)
    return report(project, now.trial, evidence_of(stores, project)) if now and now.trial else None


def report(project: Project, trial: Trial, log: Evidence) -> TrialReport:
    """Arm by arm what a log says of a trial."""
    return reports.report(project.rollout.judge, trial, log.events(trial.stages[0].generation), bounds(project))


def judged(project: Project, trial: Trial, log: Evidence, at: datetime) -> tuple[Judgement, Trial]:
    """The verdict on a trial by a log, and the trial by the clock of `at`: a share that is on record by the rows' own time is watched, by
    the wall clock, from its first request on; without one, not yet."""
    policy, first, stage = project.rollout.judge, [at.timestamp()], trial.stages[-1].generation

    def heard() -> Iterator[Event]:
        for event in log.events(trial.stages[0].generation):
            if event.latency_ms is not None and event.generation >= stage:  # a request: the rows of a batch kept nobody waiting
                first[0] = min(first[0], event.at)
            yield event

    counted = evidence.tally(policy, trial, heard(), bounds(project))
    trial = rollout.timed(trial, datetime.fromtimestamp(first[0], at.tzinfo))
    return judge(policy, counted, rollout.baked(project.rollout, trial, at)), trial


class Everything:
    """The server's log, and scored batches with the outcomes that have come since; without that of the period `but`, scored just now.
    Without `batches` only the log."""

    def __init__(self, stores: Stores, project: Project, ledger: Ledger, but: str | None = None, *, batches: bool = True) -> None:
        self._but, self._batches = but, batches
        self._stores, self._project, self._ledger = stores, project, ledger
        self._log = Logged(stores, project.project, project.entity, project.rollout.slice, log_of(stores, project))

    @property
    def unreadable(self) -> int:
        """Lines of the log that are no requests."""
        return self._log.unreadable

    def events(self, generation: int) -> Iterator[Event]:
        """Requests and batch rows that this generation or a later one answered. Raises: StoreUnavailable, DataCorrupt, SourceBroken."""
        yield from self._log.events(generation)
        made: dict[int, Rollout] | None = None  # read where a batch moved the traffic
        for entry in reversed(self._ledger.entries(self._project.project, "score")) if self._batches else ():
            scored = facts_of(entry, Scored)
            if not scored.path or scored.period == self._but:
                continue
            table = collection.read_collected(self._stores, scored.path, scored.sha256)
            made = self._made() if scored.moves and made is None else made
            if (never := _never(scored, made or {})) is not None:
                table = table.filter(pc.less(table["generation"], never))
            if table.num_rows and pc.max(table["generation"]).as_py() < generation:
                return  # earlier ones are of earlier generations
            yield from batches.events(self._project, table, self._known(scored.period, table))

    def _made(self) -> dict[int, Rollout]:
        """What is on record of the traffic, by generation."""
        entries = (entry for entry in self._ledger.entries(self._project.project) if entry.decision in TRAFFIC)
        return {(now := facts_of(entry, Rollout)).generation: now for entry in entries}

    def _known(self, period: str, table: pa.Table) -> pa.Table | None:
        """The batch's rows whose outcome has come."""
        entry = self._ledger.latest(self._project.project, "ingest", "accept")
        version = facts_of(entry, Batch).version if entry else None
        if version is None:
            return None
        try:
            outcomes = versions.read(self._stores, version, "outcomes", [period])
        except UnknownName:  # not yet
            return None
        return performance.joined(self._project, table, outcomes)


def _never(scored: Scored, made: Mapping[int, Rollout]) -> int | None:
    """The first generation of a batch's moves that was never made, for somebody else decided before they were carried out."""
    return next((move.generation for move in scored.moves if move.generation in made and not _alike(made[move.generation], move)), None)


def _alike(one: Rollout, other: Rollout) -> bool:
    """Whether the same releases have the same traffic."""
    return (one.champion, one.trial and one.trial.challenger) == (other.champion, other.trial and other.trial.challenger)


def evidence_of(
    stores: Stores, project: Project, ledger: Ledger | None = None, but: str | None = None, *, batches: bool = True
) -> Everything:
    """All that is known of a trial, but for the batch of one period where that is asked for; or of requests alone."""
    return Everything(stores, project, ledger or Ledger(stores), but, batches=batches)


def bounds(project: Project) -> tuple[float, float]:
    """Where a score lies: as the YAML says, else probabilities in 0 to 1, and numbers anywhere."""
    if (said := project.rollout.judge.score) is not None:
        return said
    return (float("-inf"), float("inf")) if project.task == "regression" else (0.0, 1.0)
