"""The whole story of a project as one static page: what came in, who answered how well, what was decided, and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from pillars.answers import history, standing
from pillars.answers.charts import Line, chart, short
from pillars.answers.closing import verdict_of
from pillars.answers.history import Chapter, History
from pillars.config import Project
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import Measure, Scorecard

FIGURES = (  # measure, title, note
    ("auc", "AUC", "share of pairs ranked right; higher is better"),
    ("log_loss", "Log loss", "per row, in nats; lower is better"),
    ("brier", "Brier score", "squared error of the probability; lower is better"),
    ("cost", "Cost", "per row; lower is better"),
)
SIDES = ("challenger", "champion")  # scorecards of a judgement that are no baselines
BASELINE_TONES = ("b", "c", "d")
BLIND = {"auc": 0.5}  # of a constant answer: known beforehand, and its line would flatten the others


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
        tiles=_tiles(told),
        charts=[(title, note, Markup(svg)) for title, note, svg in _charts(project, told) if svg],
        heat=_heat(project, told),
        verdict_of=verdict_of,
        links=_linker(stores),
        short=lambda period: short(period, [c.period for c in told.chapters]),
    )


def _span(told: History) -> str:
    if not told.chapters:
        return "nothing has run yet"
    first, last = told.chapters[0].period, told.chapters[-1].period
    return first if first == last else f"{first} to {last}"


def _tiles(told: History) -> list[tuple[str, str]]:
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
    for name, words in (("auc", "mean realized AUC"), ("log_loss", "mean realized log loss"), ("cost", "mean realized cost per row")):
        if found := [card.measures[name].value for card in judged if name in card.measures]:
            tiles.append((f"{sum(found) / len(found):.4f}", words))
    return tiles


def _charts(project: Project, told: History) -> list[tuple[str, str, str]]:
    """Title, note and SVG of each chart."""
    chapters = told.chapters
    periods = [chapter.period for chapter in chapters]
    under = [f"v{c.scored.model_version}" if c.scored and c.scored.model_version else "" for c in chapters]
    drawn = []
    for name, title, note in FIGURES:
        live = Line("live model", "a", _points(chapters, name, lambda c: c.quality), band=True)
        unit = f"{project.cost.unit}, {note}" if name == "cost" else note
        drawn.append(
            (
                title,
                unit,
                chart(title, periods, [live, *_baselines(chapters, name)], under),
            )
        )
    rate = tuple(_exact(c.quality.positives / c.quality.rows) if c.quality and c.quality.rows else None for c in chapters)
    drawn.append(
        (
            f"Base rate of {project.target}",
            "share of positives among rows with an outcome",
            chart("base rate", periods, [Line("base rate", "a", rate)], under),
        )
    )
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
    return [line for line in lines if not all(p is None or p.value == BLIND.get(measure) for p in line.points)]


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
