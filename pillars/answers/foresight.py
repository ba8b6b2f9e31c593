"""Whether what was asked about by a moment depends on what came after it: the source is given another future, and must not notice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.bundle import booster
from pillars.config import Project
from pillars.data import source as sources
from pillars.data.future import changed
from pillars.data.ready import make_ready
from pillars.data.source import Source, ask, whole
from pillars.data.sources.references import Reveal, of_environment
from pillars.deployment import release, traffic
from pillars.development import features, models
from pillars.errors import SourceBroken, TooFewRows, UnknownName
from pillars.stores import Stores
from pillars.training.fitting import Ground, fit_scores
from pillars.training.rows import gather, newest
from pillars.training.splits import Part
from pillars.vocabulary import Decision, Foreseen, Foresight

ROWS = 20_000  # newest, of the model that predicts where there is no champion
MIDDLE = (0.1, 0.9)  # share of a period's moments that are tried: something lies before and after
Predict = Callable[[Mapping[str, np.ndarray]], np.ndarray]


def foresight(
    stores: Stores, project: Project, period: str | None = None, moments: int = 5, seed: int = 0, reveal: Reveal = of_environment
) -> Foresight:
    """Rows of a period (the newest if not named) and the one before it, and their predictions, held against those under other futures.

    `moments` are drawn from the period's own times. What is compared of the rows asked about by then: every declared column, bit for bit,
    as it comes from the source and is repaired, and what the champion says; where there is none, a model fitted on these rows. Nothing
    is written.

    Raises:
        UnknownName: the source has no such period.
        TooFewRows: there is no champion, and nothing to fit a model on.
        SourceBroken, ConfigInvalid, StoreUnavailable: the source, or what it says of another future, fails.
    """
    if not project.time:
        return Foresight(project.project, (), 0, "", 0, Decision.inconclusive("rows have no time: nothing comes before anything else"))
    source = sources.open_source(stores, project, reveal)
    known = sources.periods(source, project)
    at = period or (known[-1] if known else "newest")
    if at not in known:
        raise UnknownName("period", at, known)
    compared = known[max(0, known.index(at) - 1) : known.index(at) + 1]
    told = {one: _ready(project, source, one) for one in compared}
    times = np.unique(told[at].column(project.time).drop_null().to_numpy())
    middle = times[int(len(times) * MIDDLE[0]) : max(1, int(len(times) * MIDDLE[1]))]
    if not len(middle):
        return Foresight(project.project, (), 0, "", 0, Decision.inconclusive(f"{at} has no rows"))
    drawn = sorted(np.random.default_rng(seed).choice(middle, min(moments, len(middle)), replace=False))
    predicted_by, predict = _predictor(stores, project, source, compared)
    found, rows, differ, blind = list[Foreseen](), 0, 0, list[str]()
    for place, now in enumerate(value.astype("datetime64[us]").astype(datetime) for value in drawn):
        other = sources.open_scrambled(stores, project, now, seed + place, source)
        if other is None:
            return Foresight(project.project, (), 0, predicted_by, 0, Decision.inconclusive(_lacking(project)))
        under = {one: _ready(project, other, one) for one in compared}
        one, two = (_asked(project, [given[name] for name in compared], now) for given in (told, under))
        rows += one.num_rows
        leaked = _foreseen(project, one, two, str(now))
        found += leaked
        if one.num_rows == two.num_rows:
            said = [predict(features.design(project, table)) for table in (one, two)]
            differ += int((said[0] != said[1]).reshape(one.num_rows, -1).any(axis=1).sum())
        if not leaked and _all_alike(project, source, other, at, told[at], under[at]):
            blind.append(str(now))
    return Foresight(
        project=project.project,
        moments=tuple(str(value.astype("datetime64[s]").astype(datetime)) for value in drawn),
        rows=rows,
        predicted_by=predicted_by,
        predictions=differ,
        decision=_decision(project, found, differ, rows, blind, predicted_by, len(drawn)),
        foreseen=tuple(found),
    )


def _decision(project: Project, found: Sequence[Foreseen], differ: int, rows: int, blind: Sequence[str], by: str, moments: int) -> Decision:
    if found:
        named = "; ".join(dict.fromkeys(f"{one.column}: {one.rows} of {one.of} rows asked about by {one.moment}" for one in found))
        return Decision.refuse(f"another future changes {named}; {differ} predictions of {by} differ")
    if differ:
        return Decision.refuse(f"another future changes no column, and {differ} of {rows} predictions of {by}")
    if blind:
        return Decision.inconclusive(f"nothing at all changes under another future than that after {blind[0]}: it was not scrambled")
    if not rows:
        return Decision.inconclusive("no rows to compare")
    return Decision.accept(
        f"{rows} rows asked about by {moments} moments are the same under another future, and so is what {by} says of them"
    )


def _ready(project: Project, source: Source, period: str) -> pa.Table:
    """Rows of a period as ingest repairs them, before anything is checked."""
    table = make_ready(project, "rows", whole(ask(project, source, "rows", period)), None).table
    assert isinstance(table, pa.Table)  # in memory
    if lost := [name for name in (project.time, *project.key) if name not in table.column_names]:
        raise SourceBroken(project.source.name, period, f"rows() gave no column {lost[0]}")
    if not pa.types.is_timestamp(kind := table.column(project.time).type) or kind.tz is not None:
        raise SourceBroken(project.source.name, period, f"rows() gave {project.time} as {kind}; it must be a timestamp without a zone")
    return table


def _asked(project: Project, tables: Sequence[pa.Table], now: datetime) -> pa.Table:
    """Rows asked about by a moment, sorted by key."""
    rows = pa.concat_tables(tables, promote_options="permissive")
    kept = rows.filter(pc.less_equal(rows.column(project.time), pa.scalar(now, pa.timestamp("us")).cast(rows.column(project.time).type)))
    return kept.sort_by([(name, "ascending") for name in project.key])


def _foreseen(project: Project, one: pa.Table, two: pa.Table, moment: str) -> list[Foreseen]:
    """What differs, by column; where not even the same rows are there, that alone."""
    keys = [table.select(list(project.key)) for table in (one, two)]
    if one.num_rows != two.num_rows or any(changed(keys[0][name], keys[1][name]) for name in project.key):
        return [Foreseen("which rows there are", moment, abs(one.num_rows - two.num_rows), one.num_rows)]
    names = [name for name in project.row_columns if name in one.column_names and name not in project.key]
    counted = {name: changed(one[name], two[name]) if name in two.column_names else one.num_rows for name in names}
    return [Foreseen(name, moment, count, one.num_rows) for name, count in counted.items() if count]


def _all_alike(project: Project, source: Source, other: Source, period: str, one: pa.Table, two: pa.Table) -> bool:
    """Whether another future shows nowhere in a period: neither in its later rows nor in its outcomes."""
    if one.num_rows != two.num_rows or any(changed(one[name], two[name]) for name in one.column_names if name in two.column_names):
        return False
    outcomes = [whole(ask(project, each, "outcomes", period)) for each in (source, other)]
    return outcomes[0].equals(outcomes[1])


def _predictor(stores: Stores, project: Project, source: Source, periods: Sequence[str]) -> tuple[str, Predict]:
    """Who predicts, in words, and the function from columns to scores: (n,) or (n, classes)."""
    answering = traffic.read(stores, project.project)
    if answering:
        bundle = release.load(stores, answering.champion)
        if set(bundle.encoder.feature_names) <= {*project.features.numeric, *project.features.categorical}:
            return f"champion v{answering.champion.version}", bundle.scores

    def read(kind: str, names: Sequence[str]) -> pa.Table:
        given = [make_ready(project, kind, whole(ask(project, source, kind, name)), None).table for name in names]  # type: ignore[arg-type]
        return pa.concat_tables(given, promote_options="permissive")

    rows = newest(gather(features.reader(project, f"foresight {uuid4()}", read), Part(tuple(periods))), ROWS)
    local = project.model_copy(update={"fit": project.fit.model_copy(update={"engine": "local", "device": "cpu"})})
    if project.task != "regression" and len(np.unique(rows.y)) < 2:
        raise TooFewRows(periods[-1], f"all {len(rows.y)} rows have the same outcome, and there is no champion to predict with")
    ground, recipe = Ground(local, rows), models.stock_recipe(project)  # the prior may be too careful to split so few rows
    fitted = booster.load(fit_scores(ground, recipe, stores.threads))

    def predict(columns: Mapping[str, np.ndarray]) -> np.ndarray:
        return booster.scores(fitted, ground.encoder.encode(columns), len(project.classes))

    return f"a model of {len(rows.y)} rows", predict


def _lacking(project: Project) -> str:
    hint = "define scrambled(now, seed, **options) there, which returns the source under another future (docs/validation.md)"
    return f"{project.source.python} does not say what another future would be: {hint}"
