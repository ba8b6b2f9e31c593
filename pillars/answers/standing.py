"""Where a project stands: who answers, from which data, and whether anything is stale or broken."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pillars import config
from pillars.answers import calibrated, history, retained
from pillars.answers.history import Chapter, History
from pillars.bundle import folder
from pillars.config import Project
from pillars.config_rollout import BASIS
from pillars.deployment import rollout, traffic
from pillars.errors import BundleRefused, LedgerBroken, StoreUnavailable
from pillars.monitoring.alerts import alerts
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Batch, Rollout


@dataclass(frozen=True)
class Status:
    """A project's state. `problems` are sentences that say what to do; `healthy`: there are none. Alerts are news, not problems."""

    project: str
    champion: str | None
    sha256: str | None
    fitted_through: str | None
    generation: int
    trial: str | None  # what is beside the champion
    pinned: str | None  # who holds the champion in place, and why
    data_version: str | None
    last_period: str | None  # the newest whose cycle finished
    next_period: str | None  # begun and not finished; None also when only the source knows
    last_verdict: str | None
    freshness: str
    gate: str  # what its margin stands on
    alerts: tuple[str, ...]
    problems: tuple[str, ...]
    healthy: bool


def status(stores: Stores, project: Project) -> Status:
    """Read ledger, traffic policy and the champion's release; no server, registry or source is asked.

    Raises:
        LedgerBroken: a row that was read is not the one that was written.
    """
    told = history.read(stores, project.project)
    answering, unreadable = _traffic(stores, project.project)
    version = told.versions().get(answering.champion.version) if answering else None
    verdicts = [chapter.verdict for chapter in told.chapters if chapter.verdict]
    begun = [chapter.period for chapter in told.chapters if not chapter.finished]
    problems = (*unreadable, *_problems(stores, project, told, answering))
    return Status(
        project=project.project,
        champion=f"v{answering.champion.version}" if answering else None,
        sha256=answering.champion.sha256 if answering else None,
        fitted_through=version.fitted_through if version else None,
        generation=answering.generation if answering else 0,
        trial=_trial(answering),
        pinned=rollout.pinned(answering.pin) if answering and answering.pin else None,
        data_version=_data_version(told),
        last_period=told.finished[-1].period if told.finished else None,
        next_period=begun[0] if begun else None,
        last_verdict=f"{verdicts[-1].period}: {'retrain' if verdicts[-1].retrain else 'keep'}, {verdicts[-1].reason}" if verdicts else None,
        freshness=_freshness(told, version.fitted_through if version else None),
        gate=calibrated.gate(stores, project)[1].said,
        alerts=tuple(str(alert) for alert in alerts(verdicts[-1])) if verdicts else (),
        problems=problems,
        healthy=not problems,
    )


def _trial(answering: Rollout | None) -> str | None:
    if answering is None or answering.trial is None:
        return None
    trial = answering.trial
    return f"v{trial.challenger.version} ({trial.mode}, {trial.stages[-1].weight_bp / BASIS:.4g} since {trial.stages[-1].since})"


def _traffic(stores: Stores, name: str) -> tuple[Rollout | None, list[str]]:
    try:
        return traffic.read(stores, name), []
    except StoreUnavailable as err:
        return None, [str(err)]


def _problems(stores: Stores, project: Project, told: History, answering: Rollout | None) -> Iterator[str]:
    name = project.project
    try:
        Ledger(stores).verify()
    except LedgerBroken as err:
        yield str(err)
    if not told.chapters:
        yield f"nothing has run yet; pillars run {name}"
        return
    if told.configured and (changed := config.binding_differences(told.configured.facts, project.model_dump(mode="json"))):
        yield f"configs/{name}.yaml changed since the last run ({'; '.join(changed)}); pillars run {name} --continue"
    yield from (_of_chapter(name, chapter) for chapter in told.chapters if not chapter.finished or _rejected(chapter))
    trained = [chapter for chapter in told.chapters if chapter.candidate or chapter.leakage is not None]
    if trained and (leak := trained[-1].leakage) is not None:
        yield f"nothing was trained in {leak.period} ({leak.decision.reason}); then: pillars run {name} --continue, pillars train {name}"
    yield from _of_traffic(stores, name, told, answering)


def _rejected(chapter: Chapter) -> bool:
    return chapter.batch is not None and not chapter.batch.decision


def _of_chapter(name: str, chapter: Chapter) -> str:
    if chapter.batch and _rejected(chapter):
        kept = f"kept at {chapter.batch.kept_at}; mend it and run pillars ingest {name} {chapter.period}"
        return f"the batch of {chapter.period} was rejected ({chapter.batch.decision.reason}), {kept}"
    return f"{chapter.period} was begun and not finished: it still runs, or it goes on with pillars cycle {name} {chapter.period}"


def _of_traffic(stores: Stores, name: str, told: History, answering: Rollout | None) -> Iterator[str]:
    """Whether the policy is the one on record, and the release it names loads."""
    recorded = told.rollout
    if answering is None:
        yield (
            f"nobody answers: no version was deployed; pillars deploy {name}"
            if recorded is None
            else "the traffic policy on record is gone"
        )
        return
    if recorded is None or recorded.generation != answering.generation or recorded.champion != answering.champion:
        known = f"v{recorded.champion.version} (generation {recorded.generation})" if recorded else "nobody"
        yield f"v{answering.champion.version} answers (generation {answering.generation}), on record is {known}"
    try:
        folder.read(stores.var / answering.champion.path)
    except BundleRefused as err:
        yield str(err)


def _data_version(told: History) -> str | None:
    """The newest version, whichever period it came with, or retention made it; a rejected batch after it changes nothing."""
    made = [
        e for chapter in told.chapters for e in chapter.entries if e.decision in ("ingest", retained.DECISION) and e.outcome == "accept"
    ]
    if not made:
        return None
    newest = max(made, key=lambda e: e.seq)
    if newest.decision == retained.DECISION:
        return str(newest.facts["version"]) or None
    version = history.facts_of(newest, Batch).version
    return version.id if version else None


def _freshness(told: History, fitted_through: str | None) -> str:
    """How far the model lags behind the data, in finished periods."""
    if not told.finished:
        return "no period finished yet"
    newest = told.finished[-1].period
    if fitted_through is None:
        return f"data through {newest}, no model"
    behind = sum(chapter.period > fitted_through for chapter in told.finished)
    lag = "up to date" if not behind else f"{behind} period{'' if behind == 1 else 's'} behind"
    return f"data through {newest}, model fitted through {fitted_through}, {lag}"
