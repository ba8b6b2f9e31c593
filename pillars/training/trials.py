"""The trials of a search: fits with sampled parameters on the newest rows, with early stopping."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from pillars.config import Project, Range
from pillars.stores import Stores
from pillars.training.fitting import Ground
from pillars.training.heldout import HeldOut, held_out
from pillars.training.metrics import average, losses
from pillars.training.rows import Rows
from pillars.training.streamed import Streamed, newest_of
from pillars.training.study import Params, asked_again, search
from pillars.vocabulary import Recipe, Tried

Progress = Callable[[int, int, float], None]
SPACE = {  # used where the project names none: around the parameters that did well on four data sets
    "eta": Range(low=0.05, high=0.3, log=True),
    "max_depth": Range(low=4, high=9),
    "min_child_weight": Range(low=1.0, high=100.0, log=True),
    "subsample": Range(low=0.6, high=1.0),
    "colsample_bytree": Range(low=0.3, high=1.0),
    "reg_lambda": Range(low=0.5, high=50.0, log=True),
}


def sampled(stores: Stores, project: Project, fit_rows: Rows | Streamed, valid: Rows, journal: Path, progress: Progress) -> list[Tried]:
    """All trials in the order they were asked for; one core each, on one shared matrix.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    settings = project.search
    if not settings.trials:
        return []
    on = Ground(project, newest_of(fit_rows, settings.rows))
    on.matrix(_recipe(project, {}), stores.threads)  # before the threads share it

    def tried(params: Params) -> HeldOut:
        return held_out(stores, on, valid, _recipe(project, params), threads=1, patience=settings.early_stopping)

    def loss_of(params: Params) -> float:
        return average(losses(project.gate.loss, valid.y, on.fair(tried(params).p)), valid.weights)

    space, budget = settings.space or SPACE, (settings.trials, settings.batch, settings.workers, settings.seed)
    params = search(journal, space, *budget, loss_of, progress)
    if params != asked_again(space, settings.batch, settings.seed, [loss_of(one) for one in params]):
        journal.unlink()  # somebody has been at it: no search with these losses would have asked for these parameters
        params = search(journal, space, *budget, loss_of, progress)
    done = [(place, tried(one), loss_of(one)) for place, one in enumerate(params)]  # read back: each was fitted once
    return [Tried(replace(one.recipe, name=f"trial {place}"), loss, False, one.seconds) for place, one, loss in done]


def _recipe(project: Project, params: Params) -> Recipe:
    settings = project.search
    return Recipe("trial", {"max_bin": settings.max_bin, **params}, settings.max_rounds, settings.seed)
