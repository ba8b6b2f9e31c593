"""What the ledger knows of a project's periods, batches, versions and champions. Read-only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pillars.answers.history import TRAFFIC, facts_of
from pillars.errors import UnknownName
from pillars.monitoring.ledger import Entry, Ledger
from pillars.vocabulary import Batch, Candidate, Collected, DataVersion, Json, ModelVersion, Promotion, Rollout, Scorecard, Verdict


@dataclass(frozen=True)
class Past:
    """A project's entries since it was last reset."""

    project: str
    ledger: Ledger

    def latest(self, decision: str, period: str | None = None, outcome: str | None = None) -> Entry | None:
        """The newest entry of a decision, of one period where it is named."""
        if period is None:
            return self.ledger.latest(self.project, decision, outcome)
        found = [e for e in self.ledger.entries(self.project, decision) if e.inputs["period"] == period and outcome in (None, e.outcome)]
        return found[-1] if found else None

    def ingested(self, period: str) -> DataVersion:
        """The data version that a period's newest accepted batch made.

        Raises:
            UnknownName: the period was never ingested, or rejected each time.
        """
        entry = self.latest("ingest", period, "accept")
        version = facts_of(entry, Batch).version if entry else None
        if version is None:
            raise UnknownName("ingested period", period, self.periods("ingest", "accept"))
        return version

    def collected(self, period: str) -> Collected | None:
        """What was kept of the source when the period was ingested last; None where that is not on record."""
        entry = self.latest("ingest", period)
        return facts_of(entry, Batch).collected if entry else None

    def newest(self) -> str:
        """The newest ingested period.

        Raises:
            UnknownName: there is none.
        """
        found = self.periods("ingest", "accept")
        if not found:
            raise UnknownName("ingested period", "newest", [])
        return found[-1]

    def periods(self, decision: str, outcome: str | None = None) -> list[str]:
        """Periods that have such an entry, oldest first."""
        return sorted({str(e.inputs["period"]) for e in self.ledger.entries(self.project, decision) if outcome in (None, e.outcome)})

    def candidate(self, period: str | None) -> Candidate:
        """The newest candidate, of one period where it is named.

        Raises:
            UnknownName: nothing was trained.
        """
        entry = self.latest("train", period)
        if entry is None:
            raise UnknownName("candidate", period or "newest", self.periods("train"))
        return facts_of(entry, Candidate)

    def trained_on(self, inputs: Mapping[str, Json]) -> Candidate | None:
        """The candidate of these inputs; the newest one, where an earlier was lost and what was made again is another."""
        entries = self.ledger.entries(self.project, "train")
        found = [e for e in entries if {name: value for name, value in e.inputs.items() if name != "replaces"} == inputs]
        return facts_of(found[-1], Candidate) if found else None

    def judged(self, candidate: Candidate) -> bool:
        """Whether a candidate was held against its gate: its bundle is in the registry since."""
        return any(e.inputs["bundle"] == candidate.digest for e in self.ledger.entries(self.project, "promote"))

    def trained(self, version: ModelVersion) -> Candidate | None:
        """The newest candidate that a version was registered from; the boosters alone do not tell."""
        found = [facts_of(e, Candidate) for e in self.ledger.entries(self.project, "train") if e.facts["sha256"] == version.sha256]
        return next((candidate for candidate in reversed(found) if candidate.digest == version.digest), None)

    def promoted(self, version: int | None = None) -> ModelVersion:
        """A version that passed its gate; the last one if not named.

        Raises:
            UnknownName: none did, or not this one.
        """
        passed = self.versions()
        found = [v for v in passed if version in (None, v.version)]
        if not found:
            raise UnknownName("promoted version", str(version or "newest"), [str(v.version) for v in passed])
        return found[-1]

    def versions(self) -> list[ModelVersion]:
        """Versions that passed their gate, oldest first."""
        return [facts_of(e, Promotion).version for e in self.ledger.entries(self.project, "promote") if e.outcome == "accept"]

    def rollout(self) -> Rollout | None:
        """The newest change of the traffic, by its generation: of two that raced the earlier may be on record later."""
        changes = [facts_of(e, Rollout) for e in self.ledger.entries(self.project) if e.decision in TRAFFIC]
        return max(changes, key=lambda change: change.generation, default=None)

    def champion(self) -> int | None:
        """The version that the newest promotion, deployment or rollback made champion."""
        return next(iter(self.champions()), None)

    def champions(self) -> list[int]:
        """Versions as promotions, deployments and rollbacks made them champion, newest first."""
        made, newest = [], 0
        for entry in self.ledger.entries(self.project):
            if entry.decision == "promote" and entry.outcome == "accept":
                made.append(facts_of(entry, Promotion).version.version)
            elif entry.decision in TRAFFIC and facts_of(entry, Rollout).generation >= newest:  # or it was overtaken, and is on record later
                now = facts_of(entry, Rollout).champion.version
                again = facts_of(entry, Rollout).generation == newest or entry.decision not in ("deploy", "rollback")
                made += [] if again and [now] == made[-1:] else [now]  # a step of a trial, or a deployment that was refused, changes nobody
                newest = facts_of(entry, Rollout).generation
        return made[::-1]

    def realized(self, before: str) -> list[Scorecard]:
        """Realized scorecards of the periods before one, oldest first."""
        entries = {str(e.inputs["period"]): e for e in self.ledger.entries(self.project, "monitor")}
        cards = [facts_of(entries[p], Verdict).quality for p in sorted(entries) if p < before]
        return [card for card in cards if card is not None]
