"""The closing table: one line per period."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pillars.answers import history
from pillars.answers.history import Chapter
from pillars.config import Project
from pillars.config_rollout import BASIS
from pillars.stores import Stores
from pillars.targets import FIGURES
from pillars.vocabulary import Measure, Rollout, Trial


@dataclass(frozen=True)
class PeriodRow:
    """A period in figures; None where there is none (not scored yet, or outcomes not known).

    `figures`: the task's measures by name, as `targets.FIGURES` has them, losses and cost per row; `intervals`: with their intervals.

    `drift` is the share of structural columns that drifted, in [0, 1]; `champion` answers at the period's end, `scored_by` answered
    most of its rows. `rollout`: how the release that was on trial in it went on, None without one.
    """

    period: str
    rows: int
    quarantined: int
    drift: float | None
    figures: dict[str, float | None]
    verdict: str
    champion: str | None
    scored_by: str | None
    intervals: dict[str, Measure]
    rollout: str | None = None


def closing_table(stores: Stores, project: Project) -> tuple[PeriodRow, ...]:
    """All periods on record, oldest first.

    Raises:
        LedgerBroken: a row that was read is not the one that was written.
    """
    chapters = history.read(stores, project.project).chapters
    return tuple(_row(project, chapter, went) for chapter, went in zip(chapters, rollouts_of(chapters), strict=True))


def rollouts_of(chapters: Sequence[Chapter]) -> tuple[str | None, ...]:
    """How the release on trial went on, period by period; None in one without."""
    told, before = [], None
    for chapter in chapters:
        told.append(_went(chapter, before))
        before = max((*chapter.rollouts, *([before] if before else [])), key=lambda change: change.generation, default=None)
    return tuple(told)


def _went(chapter: Chapter, before: Rollout | None) -> str | None:
    """Shares of the entities, then the end, of what was on trial; and which champion went back. `before`: the traffic as the period began.
    A trial that began in it tells its steps in the next one."""
    said: list[str] = []
    named: tuple[int, int] | None = None  # the trial that was told of last: version and first generation

    def name(trial: Trial) -> None:
        nonlocal named
        if named != (mark := (trial.challenger.version, trial.stages[0].generation)):
            said.append(f"v{trial.challenger.version} {_share(trial)}")
            named = mark

    if before is not None and before.trial is not None:
        name(before.trial)
    for now in sorted(chapter.rollouts, key=lambda change: change.generation):
        if before is not None and now.generation > before.generation:
            if (trial := before.trial) is not None and now.trial is None:
                name(trial)
                said.append("all" if now.champion == trial.challenger else "back" if now.rest != before.rest else "over")
            elif trial is not None and now.trial is not None and now.trial.challenger == trial.challenger:
                name(trial)
                said += [_share(now.trial)] if now.trial.stages[-1].weight_bp != trial.stages[-1].weight_bp else []
            elif now.rest != before.rest and now.champion in before.previous:
                its_own = named is not None and named[0] == before.champion.version  # within the period that it was tried in
                said.append("back" if its_own else f"v{before.champion.version} back")
        before = now
    return ", ".join(said) or None


def _share(trial: Trial) -> str:
    return "shadow" if trial.mode == "shadow" else f"{trial.stages[-1].weight_bp / BASIS:.4g}"


def verdict_of(chapter: Chapter) -> str:
    """What came of a period, in two or three words."""
    if chapter.batch and not chapter.batch.decision:
        return "batch rejected"
    if chapter.verdict is None:
        return "unfinished"
    if not chapter.verdict.retrain:
        return "keep"
    if chapter.leakage is not None:
        return "not trained, a leak"
    if chapter.promotion is None:
        return "retrain"
    if chapter.promotion and chapter.version:
        return f"promoted v{chapter.version.version}"
    return "retrained, refused" if chapter.promotion.outcome == "refuse" else f"retrained, {chapter.promotion.outcome}"


def _row(project: Project, chapter: Chapter, went: str | None) -> PeriodRow:
    measures = chapter.quality.measures if chapter.quality else {}
    figures = {f.name: measures[f.name].value if f.name in measures else None for f in FIGURES[project.task]}
    return PeriodRow(
        period=chapter.period,
        rows=chapter.batch.rows if chapter.batch else 0,
        quarantined=chapter.batch.quarantined if chapter.batch else 0,
        drift=chapter.verdict.drift.share if chapter.verdict and chapter.verdict.drift else None,
        verdict=verdict_of(chapter),
        champion=_name(chapter.champion),
        scored_by=_name(chapter.scored.model_version if chapter.scored else None),
        figures=figures,
        intervals=measures,
        rollout=went,
    )


def _name(version: int | None) -> str | None:
    return None if version is None else f"v{version}"
