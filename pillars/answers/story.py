"""The whole story of a project as one static page: what came in, who answered how well, what was decided, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from pillars.answers import history, standing
from pillars.answers.charts import Line, chart, short
from pillars.answers.closing import rollouts_of, verdict_of
from pillars.answers.history import Chapter, History
from pillars.config import Project
from pillars.stores import Stores, write_atomically
from pillars.targets import FIGURES, decimal
from pillars.vocabulary import Measure, Scorecard

TILES = ("auc", "log_loss", "cost", "accuracy", "r2", "rmse")  # measures whose mean over the periods is told at the top
SIDES = ("challenger", "champion")  # scorecards of a judgement that are no baselines
BASELINE_TONES = ("b", "c", "d")
BLIND = {"auc": 0.5, "r2": 0.0}  # nearly, of one answer for all: known beforehand, and its line would flatten the others


def write_story(stores: Stores, project: Project) -> Path:
    """Write `report/<project>.html` and the same page as `report/index.html`; the latter's path.

    Pages of other projects in that folder are linked. Nothing on the page asks another host for anything.

    Raises:
        LedgerBroken: a row that was read is not the one that was written.
        StoreUnavailable: the disk refuses.
    """
    folder = stores.folder("report")
    others = sorted(path.stem for path in folder.glob("*.html") if path.stem not in ("index", project.project))
    page = render(stores, project, others).encode()
    for name in (project.project, "index"):
        write_atomically(folder / f"{name}.html", page)
    return folder / "index.html"


def render(stores: Stores, project: Project, others: Sequence[str] = ()) -> str:
    """The page as HTML; links are relative to a folder under `var`."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    told = history.read(stores, project.project)
    shown = Environment(
        loader=PackageLoader("pillars.answers"), autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined
    )
    return shown.get_template("story.html").render(
        project=project,
        others=others,
        standing=standing.status(stores, project),
        told=told,
        span=_span(told),
        tiles=_tiles(project, told),
        figures=FIGURES[project.task],
        decimal=decimal,
        charts=[(title, note, Markup(svg)) for title, note, svg in _charts(project, told) if svg],
        heat=_heat(project, told),
        verdict_of=verdict_of,
        went=rollouts_of(told.chapters),
        links=_linker(stores),
        short=lambda period: short(period, [c.period for c in told.chapters]),
    )


def _span(told: History) -> str:
    if not told.chapters:
        return "nothing has run yet"
    first, last = told.chapters[0].period, told.chapters[-1].period
    return first if first == last else f"{first} to {last}"


def _tiles(project: Project, told: History) -> list[tuple[str, str]]:
    """Figures of the whole history, each with its words."""
    batches = [chapter.batch for chapter in told.chapters if chapter.batch]
    judged = [chapter.quality for chapter in told.chapters if chapter.quality]
    promoted = sum(bool(chapter.promotion) for chapter in told.chapters)
    tiles = [
        (f"{len(told.finished)}", "periods finished"),
        (f"{sum(batch.rows for batch in batches):,}", "rows in the data set"),
        (f"{sum(batch.quarantined for batch in batches):,}", "rows in quarantine"),
        (f"{sum(chapter.scored.rows for chapter in told.chapters if chapter.scored):,}", "rows scored before their outcome"),
        (f"{promoted} of {sum(chapter.candidate is not None for chapter in told.chapters)}", "retrainings promoted"),
    ]
    for figure in FIGURES[project.task]:
        found = [card.measures[figure.name].value for card in judged if figure.name in card.measures]
        if found and figure.name in TILES:
            per_row = " per row" if figure.name == "cost" else ""
            tiles.append((decimal(sum(found) / len(found)), f"mean realized {figure.title}{per_row}"))
    return tiles


def _charts(project: Project, told: History) -> list[tuple[str, str, str]]:
    """Title, note and SVG of each chart."""
    chapters = told.chapters
    periods = [chapter.period for chapter in chapters]
    under = [f"v{c.scored.model_version}" if c.scored and c.scored.model_version else "" for c in chapters]
    drawn = []
    for figure in FIGURES[project.task]:
        title = figure.title[0].upper() + figure.title[1:]
        live = Line("live model", "a", _points(chapters, figure.name, lambda c: c.quality), band=True)
        note = f"{project.cost.unit}, {figure.note}" if figure.name == "cost" else figure.note
        drawn.append((title, note, chart(title, periods, [live, *_baselines(chapters, figure.name)], under)))
    if project.task == "binary":
        rate = tuple(_exact(c.quality.positives / c.quality.rows) if c.quality and c.quality.rows else None for c in chapters)
        base = chart("base rate", periods, [Line("base rate", "a", rate)], under)
        drawn.append((f"Base rate of {project.target}", "share of positives among rows with an outcome", base))
    share = tuple(_exact(c.verdict.drift.share) if c.verdict and c.verdict.drift else None for c in chapters)
    drift = chart("drift", periods, [Line("drift", "a", share)], [""] * len(periods), project.monitoring.drift.alarm_share)
    return [*drawn, ("Drift", "share of structural columns beyond the threshold", drift)]


def _baselines(chapters: Sequence[Chapter], measure: str) -> list[Line]:
    """Lines of the models that were judged beside on the same rows."""
    names = dict.fromkeys(
        card.model for c in chapters if c.candidate for card in c.candidate.scorecards if not card.model.startswith(SIDES)
    )
    lines = [
        Line(name, tone, _points(chapters, measure, lambda c, name=name: _card(c, name)))  # type: ignore[misc]
        for name, tone in zip(names, BASELINE_TONES, strict=False)
    ]
    return [line for line in lines if not all(p is None or abs(p.value - BLIND.get(measure, np.inf)) < 0.01 for p in line.points)]


def _card(chapter: Chapter, model: str) -> Scorecard | None:
    cards = chapter.candidate.scorecards if chapter.candidate else ()
    return next((card for card in cards if card.model == model and card.rows_of == chapter.period), None)


def _points(chapters: Sequence[Chapter], measure: str, card_of: Callable[[Chapter], Scorecard | None]) -> tuple[Measure | None, ...]:
    cards = [card_of(chapter) for chapter in chapters]
    return tuple(card.measures.get(measure) if card else None for card in cards)


def _exact(value: float) -> Measure:
    return Measure(value, value, value)


def _heat(project: Project, told: History) -> list[tuple[str, str, list[tuple[float, str] | None]]]:
    """Column, its kind, and per period how far it moved: heat in [0, 1] (1: twice the threshold or more) and words."""
    declared = project.monitoring.drift
    seen = [chapter.verdict.drift if chapter.verdict else None for chapter in told.chapters]
    rows = []
    for kind, columns in (("structural", declared.structural), ("seasonal", declared.seasonal)):
        for column in columns:
            scores = [(d.scores.get(column), d.scores.get(f"{column} nulls", 0.0)) if d and d.scores else None for d in seen]
            cells = [None if s is None else _cell(s[0], s[1], declared.threshold) for s in scores]
            rows.append((column, kind, cells))
    return rows if any(seen) else []


def _cell(distance: float | None, nulls: float, threshold: float) -> tuple[float, str]:
    words = f"{'no values' if distance is None else f'{distance:.3f}'}{f', share of nulls moved by {nulls:.3f}' if nulls >= 0.001 else ''}"
    return min(max(distance or 0.0, nulls) / (2 * threshold), 1.0), words


def _linker(stores: Stores) -> Callable[[Chapter], list[tuple[str, str]]]:
    """Name and relative address of a period's files that are there."""

    def links(chapter: Chapter) -> list[tuple[str, str]]:
        drift = chapter.verdict.drift if chapter.verdict else None
        project = chapter.batch.project if chapter.batch else ""
        named = [
            ("validation", chapter.batch.page if chapter.batch else ""),
            ("drift", (drift.page or drift.report) if drift else ""),
            ("quality", f"reports/{project}/{chapter.period}/quality.json"),
            ("predictions", chapter.scored.path if chapter.scored else ""),
        ]
        return [(name, f"../{path}") for name, path in named if path and (stores.var / path).is_file()]

    return links
