"""What the ledger says of a project, read back as values: one chapter per period."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter

from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores
from pillars.vocabulary import Batch, Candidate, Decision, Leakage, ModelVersion, Promotion, Rollout, Scorecard, Scored, Verdict

T = TypeVar("T")
TRAFFIC = ("deploy", "rollback", "rollout", "pin", "unpin")  # decisions that change who answers
ASIDE = ("reset", "reproduce")  # decisions that belong to no period


@dataclass(frozen=True)
class Chapter:
    """All that is on record of one period; None where its cycle did not come that far. `entries` are its decisions in their order."""

    period: str
    batch: Batch | None = None
    scored: Scored | None = None
    verdict: Verdict | None = None
    candidate: Candidate | None = None
    leakage: Leakage | None = None  # why nothing was trained, as long as nothing was
    promotion: Decision | None = None
    version: ModelVersion | None = None  # what was registered for the promotion
    rollouts: tuple[Rollout, ...] = ()
    champion: int | None = None  # who answers at the chapter's end
    finished: bool = False
    quality: Scorecard | None = None  # of this period's own predictions, whenever their outcomes came
    entries: tuple[Entry, ...] = field(default=(), repr=False)


@dataclass(frozen=True)
class History:
    """A project's chapters, oldest period first, and the newest traffic change that is on record."""

    project: str
    chapters: tuple[Chapter, ...]
    configured: Entry | None
    rollout: Rollout | None

    @property
    def finished(self) -> tuple[Chapter, ...]:
        """Chapters whose cycle came to its end."""
        return tuple(chapter for chapter in self.chapters if chapter.finished)

    def versions(self) -> dict[int, ModelVersion]:
        """Registered versions by number."""
        return {chapter.version.version: chapter.version for chapter in self.chapters if chapter.version}


def read(stores: Stores, project: str) -> History:
    """The history of a project's current epoch.

    Raises:
        LedgerBroken: a row that was read is not the one that was written.
    """
    told = [entry for entry in Ledger(stores).entries(project) if entry.decision not in ASIDE]
    configured = [entry for entry in told if entry.decision == "configure"]
    chapters: dict[str, Chapter] = {}
    period = ""
    rollout: Rollout | None = None
    for entry in told:
        period = str(entry.inputs.get("period") or period)  # a deployment or rollback belongs to the period it came after
        if entry.decision in TRAFFIC:
            change = facts_of(entry, Rollout)
            rollout = change if rollout is None or change.generation > rollout.generation else rollout  # or it was overtaken
        if period and entry.decision != "configure":
            before = chapters.get(period, Chapter(period))
            chapters[period] = replace(
                _told(before, entry), entries=(*before.entries, entry), champion=rollout.champion.version if rollout else None
            )
    ordered = sorted(chapters.values(), key=lambda chapter: chapter.period)
    return History(project, tuple(_with_quality(ordered)), configured[-1] if configured else None, rollout)


def facts_of(entry: Entry, kind: type[T]) -> T:
    """A value of the vocabulary as it was put on record."""
    adapter: TypeAdapter[T] = _adapter(cast(Any, kind))
    return adapter.validate_python(entry.facts)


def outcome_of(entry: Entry) -> Any:
    """Accept, refuse or inconclusive."""
    return entry.outcome  # the ledger keeps it as text; it was one of the three when it was written


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)  # 5 ms each, for a dozen entries a period


def _told(chapter: Chapter, entry: Entry) -> Chapter:
    """The chapter with one more decision in it; a later one of the same kind takes the earlier one's place."""
    match entry.decision:
        case "ingest":
            return replace(chapter, batch=facts_of(entry, Batch))
        case "score":
            return replace(chapter, scored=facts_of(entry, Scored))
        case "monitor":
            return replace(chapter, verdict=facts_of(entry, Verdict))
        case "train":
            return replace(chapter, candidate=facts_of(entry, Candidate), leakage=None)
        case "leakage":
            return replace(chapter, leakage=facts_of(entry, Leakage))
        case "promote":
            made = facts_of(entry, Promotion)
            return replace(chapter, promotion=Decision(outcome_of(entry), entry.reason), version=made.version)
        case decision if decision in TRAFFIC:
            return replace(chapter, rollouts=(*chapter.rollouts, facts_of(entry, Rollout)))
        case "cycle":
            return replace(chapter, finished=True)
        case _:
            return chapter


def _with_quality(chapters: Iterable[Chapter]) -> Iterable[Chapter]:
    """Chapters with the scorecard of their own predictions, which a later period's verdict may carry."""
    ordered = list(chapters)
    judged = {c.verdict.quality.rows_of: c.verdict.quality for c in ordered if c.verdict and c.verdict.quality}
    return (replace(chapter, quality=judged.get(chapter.period)) for chapter in ordered)
