"""The closing table: one line per period."""

from __future__ import annotations

from dataclasses import dataclass

from pillars.answers import history
from pillars.answers.history import Chapter
from pillars.config import Project
from pillars.stores import Stores
from pillars.targets import FIGURES
from pillars.vocabulary import Measure


@dataclass(frozen=True)
class PeriodRow:
    """A period in figures; None where there is none (not scored yet, or outcomes not known).

    `figures`: the task's measures by name, as `targets.FIGURES` has them, losses and cost per row; `intervals`: with their intervals.

    `drift` is the share of structural columns that drifted, in [0, 1]; `champion` answers at the period's end, `scored_by` answered in it.
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


def closing_table(stores: Stores, project: Project) -> tuple[PeriodRow, ...]:
    """All periods on record, oldest first.

    Raises:
        LedgerBroken: a row that was read is not the one that was written.
    """
    return tuple(_row(project, chapter) for chapter in history.read(stores, project.project).chapters)


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


def _row(project: Project, chapter: Chapter) -> PeriodRow:
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
    )


def _name(version: int | None) -> str | None:
    return None if version is None else f"v{version}"
