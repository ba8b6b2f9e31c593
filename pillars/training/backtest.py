"""A rolling origin: how the winner's parameters would have done at earlier moments; and, where it is asked for, the whole search."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pillars.config import Project
from pillars.errors import TooFewRows
from pillars.stores import Stores
from pillars.training import baselines
from pillars.training.fitting import Ground, grounded
from pillars.training.heldout import held_out
from pillars.training.metrics import average, losses, mean
from pillars.training.rows import Read, gather
from pillars.training.splits import Plan, plan
from pillars.training.streamed import newest_of
from pillars.training.trials import Progress
from pillars.training.tuning import tune
from pillars.vocabulary import AtOrigin, Backtest, Recipe, Tuned

Told = Callable[[str], Progress]  # progress of one nested search, by its period


def backtest(stores: Stores, project: Project, read: Read, periods: Sequence[str], until: str, recipe: Recipe) -> tuple[AtOrigin, ...]:
    """`recipe` fitted on what lies before each of the newest `backtest.origins` periods, and judged on that period, oldest first.

    The newest is `until`, whose twin is fitted already; each of the others is what the twin was when that period judged, so a recipe that
    stays costs no fit. Periods that nothing lies before, or whose rows do not suffice, are left out. Early stopping has no part in it.

    Raises:
        UnknownName: `until` has no outcomes.
        ConfigInvalid: XGBoost refuses the recipe.
    """
    chosen_on = _chosen_on(project, plan(project, periods, until))
    found: list[AtOrigin] = []
    for at, parts in _origins(project, periods, until, project.backtest.origins):
        cap = None if at == until else project.backtest.rows
        found += _at(stores, project, read, parts, recipe, cap, at != until and at in chosen_on)
    return tuple(reversed(found))


def nested(
    stores: Stores,
    project: Project,
    read: Read,
    periods: Sequence[str],
    until: str,
    tuned: Tuned,
    stock: Recipe,
    fixed: Sequence[Recipe],
    told: Told = lambda at: lambda done, of, best: None,
) -> tuple[AtOrigin, ...]:
    """What the search finds when it is repeated at each of the newest `backtest.nested` periods, judged on that period; oldest first.

    No outcome of a judged period, nor of a later one, takes part in its search: an estimate of the procedure, not of one recipe. `fixed`
    must be known without data, so a champion's recipe is none. At `until` it is `tuned`. Once searches took `backtest.seconds` (as kept
    with their fits, so a killed run ends alike), no earlier period is begun.

    Raises: as `tune`.
    """
    found: list[AtOrigin] = []
    spent, most = 0.0, project.backtest.seconds
    for at, parts in _origins(project, periods, until, project.backtest.nested):
        if at != until:
            if most is not None and spent >= most:
                break
            try:
                tuned = tune(stores, project, read, periods, at, stock, fixed, told(at))
            except TooFewRows:
                continue
            spent += sum(tried.seconds for tried in tuned.leaderboard)
        found += _at(stores, project, read, parts, tuned.recipe, None, False)
    return tuple(reversed(found))


def joined(project: Project, origins: tuple[AtOrigin, ...], procedure: tuple[AtOrigin, ...]) -> Backtest:
    """Both, in the project's own loss."""
    return Backtest(project.gate.loss, origins, procedure)


def _chosen_on(project: Project, parts: Plan) -> tuple[str, ...]:
    """Periods by whose rows the search compares recipes."""
    folds = project.split.folds
    if folds.by != "time":
        return parts.twin_fit.periods
    return parts.validate.periods if parts.validate.cuts else parts.twin_fit.periods[-folds.count :]


def _origins(project: Project, periods: Sequence[str], until: str, count: int) -> Iterator[tuple[str, Plan]]:
    """The newest `count` periods through `until` that whole periods lie before, newest first; `until` even where it is cut itself."""
    known = sorted({period for period in periods if period <= until})
    for at in reversed(known[max(0, len(known) - count) :]):
        parts = plan(project, known, at)
        if at == until or not parts.twin_fit.cuts:
            yield at, parts


def _at(
    stores: Stores, project: Project, read: Read, parts: Plan, recipe: Recipe, cap: int | None, chosen_on: bool
) -> tuple[AtOrigin, ...]:
    """One origin; none where there are too few rows, or one outcome only to learn from."""
    try:
        judged, ground = gather(read, parts.judge_on), grounded(stores, project, read, parts.twin_fit)
    except TooFewRows:
        return ()
    if project.task != "regression" and len(np.unique(ground.rows.y)) < 2:
        return ()
    if cap is not None and len(ground.rows.y) > cap:
        ground = Ground(project, newest_of(ground.rows, cap))
    p = ground.fair(held_out(stores, ground, judged, recipe, stores.threads).p)
    per_row = losses(project.gate.loss, judged.y, p)
    base = losses(project.gate.loss, judged.y, baselines.constant(project, ground.rows, len(judged.y)))
    return (
        AtOrigin(
            judged=parts.judge_on.periods[-1],
            fitted_through=parts.twin_fit.periods[-1],
            fit_rows=len(ground.rows.y),
            rows=len(judged.y),
            recipe=recipe.name,
            loss=mean(per_row, judged.blocks, project.search.seed, project.gate.resamples, judged.weights),
            base=average(base, judged.weights),
            chosen_on=chosen_on,
        ),
    )
