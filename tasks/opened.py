"""A project opened for a flow: its places, its YAML, its source, its past."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache, cached_property, partial
from typing import Any, Literal, TypeVar

import pyarrow as pa
from prefect.runtime import flow_run
from pydantic import TypeAdapter

from pillars import config, project_file
from pillars.answers import retained
from pillars.answers.history import facts_of, outcome_of
from pillars.config_data import Retention
from pillars.data import at_rest, collection, retention, versions
from pillars.deployment import traffic
from pillars.errors import ConfigChanged, UnknownName
from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores, user_name
from pillars.vocabulary import Batch, DataVersion, Decision, Json, Rollout
from tasks.past import Past
from tasks.policy import step
from tasks.secrets import reveal

T = TypeVar("T")


class Opened:
    """What every flow needs of its project.

    Not a dataclass: Prefect walks through those three times a task, and this one holds the whole YAML (27 ms of the task's 33).
    """

    def __init__(self, stores: Stores, config: config.Project, ledger: Ledger) -> None:
        self.stores, self.config, self.ledger = stores, config, ledger

    @property
    def name(self) -> str:
        """The project's name."""
        return self.config.project

    @property
    def rules(self) -> str:
        """Digest of what batches are checked by."""
        return self.config.section_digest(*self.config.rules)

    @property
    def past(self) -> Past:
        """What the ledger knows of it."""
        return Past(self.name, self.ledger)

    @cached_property
    def source(self) -> collection.Source:
        """Where its rows come from, opened once; each of its secrets is looked up once, when it is needed."""
        return collection.open_source(self.stores, self.config, cache(reveal))

    @cached_property
    def periods(self) -> list[str]:
        """Periods of the source, oldest first."""
        return collection.periods(self.source, self.config)

    def between(self, first: str | None, last: str | None) -> list[str]:
        """Periods of the source from `first` to `last`, both included.

        Raises:
            UnknownName: one of them is not a period of the source.
        """
        for named in (first, last):
            if named is not None and named not in self.periods:
                raise UnknownName("period", named, self.periods)
        return [p for p in self.periods if (first or p) <= p <= (last or p)]

    def unfinished(self, first: str | None = None, last: str | None = None) -> list[str]:
        """Periods whose cycle has not finished, oldest first."""
        done = {*self.past.periods("cycle"), *self.dropped("collected"), *self.dropped("rows")}
        return [p for p in self.between(first, last) if p not in done]

    def dropped(self, kind: retention.Kind) -> dict[str, int]:
        """Periods that retention dropped and whose time is still over, with the ledger's row: they are not brought back."""
        if self.config.retention == Retention() or not (told := retained.dropped(self.ledger.entries(self.name))[kind]):
            return {}
        over = retention.over(self.stores, self.config, self.past.periods("ingest"), self.past.newest())[kind]
        return {period: row for period, row in told.items() if period in over}

    def gone(self, period: str) -> Batch | None:
        """What an ingest says of a period that retention dropped, or that was rejected and then dropped; None of others."""
        if self.config.retention == Retention():
            return None
        entry = self.past.latest("ingest", period)
        row = self.dropped("rows").get(period)
        if row is None and entry is not None and self.past.latest("ingest", period, "accept") is None:
            row = self.dropped("collected").get(period)
        if row is None:
            return None
        before = facts_of(entry, Batch) if entry else Batch(self.name, period, Decision.refuse(""), 0, 0, 0, None)
        return replace(before, decision=Decision.refuse(f"dropped by retention on ledger row {row}"), kept_at="", quarantine_path="")

    def outcomes_period(self, period: str) -> str | None:
        """The period whose outcomes arrive with this one's rows."""
        place = self.periods.index(period) - self.config.source.outcome_lag
        return self.periods[place] if place >= 0 else None

    def learnable(self, period: str) -> str:
        """The newest period whose outcomes are known once `period` is ingested.

        Raises:
            UnknownName: none are known yet.
        """
        until = self.outcomes_period(period)
        if until is None:
            raise UnknownName("period with outcomes", f"by {period}", [])
        return until

    def known(self, version: DataVersion, until: str) -> list[str]:
        """Periods of a version with outcomes, oldest first, through `until`."""
        return [p for p in version.periods if p <= until]

    def read(self, version: DataVersion) -> Callable[..., pa.Table]:
        """`read(kind, periods, columns=None)` of one data version."""
        return partial(versions.read, self.stores, version)

    def pieces(self, version: DataVersion, kind: Literal["rows", "outcomes"], period: str, rows: int) -> Iterator[pa.Table]:
        """A period of one data version, so many rows at a time."""
        return versions.pieces(self.stores, version, kind, period, rows)

    def write(self, path: str, content: bytes) -> None:
        """Write rows to a file under `var`, sealed where the project's are."""
        at_rest.write(self.stores, self.config, path, content)

    def answering(self) -> Rollout | None:
        """Who answers, by the traffic policy as far as the record bears it out; none before the first deployment.

        Raises:
            StoreUnavailable: the policy is unreadable, or not what was put on record.
        """
        recorded = self.past.rollout()  # before the policy, which is written first: somebody may be deploying
        return traffic.held_to(self.stores, traffic.read(self.stores, self.name), recorded, self.past.versions())

    def recall(self, decision: str, inputs: Mapping[str, Json], kind: type[T]) -> T | None:
        """The outcome on record for equal inputs."""
        entry = self.ledger.find(self.name, decision, dict(inputs))
        return facts_of(entry, kind) if entry else None

    def decided(self, decision: str, inputs: Mapping[str, Json]) -> Decision | None:
        """The decision on record for equal inputs."""
        entry = self.ledger.find(self.name, decision, dict(inputs))
        return Decision(outcome_of(entry), entry.reason) if entry else None

    def record(self, decision: str, inputs: Mapping[str, Json], taken: Decision | tuple[str, str], facts: Any) -> Entry:
        """Put a decision (or outcome and reason) on record; an equal one that is there already stays as it is."""
        outcome, reason = (taken.outcome, taken.reason) if isinstance(taken, Decision) else taken
        return _record(self, decision, dict(inputs), outcome, reason, plain(facts))


def open_project(name: str, accept_changes: bool = False) -> Opened:
    """Open `configs/<name>.yaml` and hold it against the one on record; a first one, or an accepted change, is put there.

    Raises:
        ConfigInvalid, UnknownName: see `pillars.project_file.load`.
        ConfigChanged: it differs from the one the history was made with, and `accept_changes` is not set.
    """
    opened = open_as_it_is(name)
    _settle(opened, accept_changes)
    return opened


def open_as_it_is(name: str) -> Opened:
    """Open a project whose settings are in question: going back must not wait for the answer, nor give it.

    Raises:
        ConfigInvalid, UnknownName: see `pillars.project_file.load`.
        LedgerBroken: the record, of all projects, does not hold together; nothing may be decided on it.
    """
    stores = Stores()
    stores.importable()
    opened = Opened(stores, project_file.load(stores.config_file(name)), Ledger(stores))
    opened.ledger.verify()
    return opened


def actor() -> str:
    """Who acts: the user of this process, and the flow run if there is one."""
    run = flow_run.get_id()
    return f"{user_name()} in flow run {run}" if run else user_name()


def plain(value: Any) -> dict[str, Json]:
    """A value of the vocabulary as JSON."""
    return TypeAdapter(type(value)).dump_python(value, mode="json")


def _settle(opened: Opened, accept_changes: bool) -> None:
    """Put the configuration on record; a changed one only when it is accepted."""
    now = opened.config.model_dump(mode="json")
    kept = opened.past.latest("configure")
    changed = config.binding_differences(kept.facts, now) if kept else []
    if changed and not accept_changes:
        raise ConfigChanged(opened.name, changed)
    if kept is None or changed:
        inputs: dict[str, Json] = {"config": config.digest(now), "after": kept.seq if kept else 0}
        reason = "; ".join(changed) or "first run"
        opened.ledger.record(opened.name, "configure", inputs, "accept", reason, now, datetime.now(UTC), actor())


@step("record decision", retries=2)
def _record(opened: Opened, decision: str, inputs: dict[str, Json], outcome: str, reason: str, facts: dict[str, Json]) -> Entry:
    return opened.ledger.record(opened.name, decision, inputs, outcome, reason, facts, datetime.now(UTC), actor())
