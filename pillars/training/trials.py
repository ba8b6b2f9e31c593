"""The trials of a search: fits with sampled parameters on the newest rows, with early stopping, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pillars.config import Project, Range, Search
from pillars.stores import Stores
from pillars.training.budget import Budget, most_rows, took
from pillars.training.contest import Contest
from pillars.training.fitting import form_of
from pillars.training.heldout import HeldOut
from pillars.training.spaces import Dimension, Params, size, styles
from pillars.training.study import asked_again, search
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
ALL = ""  # the set of all columns
DEPTH = 6  # XGBoost's default


@dataclass(frozen=True)
class Sample:
    """The trials in the order they were asked for, and which budget ended them before their number did ("" where none)."""

    tried: tuple[Tried, ...]
    ended_by: str = ""


def sampled(stores: Stores, full: Contest, journal: Path, progress: Progress, most_s: float | None = None) -> Sample:
    """All trials in the order they were asked for; one core each, on the contest's newest rows and one shared matrix per form.

    In `most_s` seconds of fitting, if that is a number.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    project, settings = full.project, full.project.search
    if not settings.trials:
        return Sample(())
    space = space_of(project)
    budget = Budget(stores, settings, journal, most_s)
    forms = {form_of(project, one): one for one in (recipe_of(project, style) for style in styles(space))}
    on = full.newest(most_rows(project, len(full.y), len(forms) * len(full.bouts)))
    for one in forms.values():
        on.prepare(one, stores.threads)  # before the threads share it

    def tried(params: Params) -> HeldOut:
        return on.held_out(stores, recipe_of(project, params), threads=1, patience=settings.early_stopping)

    def loss_of(params: Params) -> float:
        return on.loss(tried(params).p)

    trials = min(settings.trials, size(space)) if settings.sampler == "grid" else settings.trials

    def searched() -> list[Params]:
        return search(
            journal,
            space,
            trials,
            settings.batch,
            settings.workers,
            settings.seed,
            loss_of,
            progress,
            settings.sampler,
            lambda told: budget.ends([tried(one).seconds for one in told]),
        )

    params = searched()
    if params != asked_again(space, settings.batch, settings.seed, [loss_of(one) for one in params], settings.sampler):
        journal.unlink()  # somebody has been at it: no search with these losses would have asked for these parameters
        params = searched()
    done = [(place, tried(one), loss_of(one)) for place, one in enumerate(params)]  # read back: each was fitted once
    board = tuple(Tried(replace(one.recipe, name=f"trial {place}"), loss, False, one.seconds) for place, one, loss in done)
    return Sample(board, budget.said[-1] if len(board) < trials else "")


def seconds_of(settings: Search, tried: Sequence[Tried]) -> float:
    """What the trials took together."""
    return sum(took(settings, [one.seconds for one in tried]))


def space_of(project: Project) -> dict[str, Dimension]:
    """What is searched: ranges of parameters, and the styles of which there is more than one."""
    settings = project.search
    encodings = settings.encodings if project.features.categorical else settings.encodings[:1]  # without categories they are all one
    choices = {"encoding": encodings, "growth": settings.growth, "set": (ALL, *settings.sets)}
    return {**(settings.space or SPACE), **{name: values for name, values in choices.items() if len(values) > 1}}


def recipe_of(project: Project, params: Params) -> Recipe:
    """The recipe of a point of the space, with the most rounds that it may take."""
    settings = project.search
    chosen = {"encoding": settings.encodings[0], "growth": settings.growth[0], "set": ALL, **params}
    given = {"max_bin": settings.max_bin, **{name: value for name, value in params.items() if name not in ("encoding", "growth", "set")}}
    if chosen["growth"] == "leaves":
        depth = int(given.pop("max_depth", DEPTH))
        given = {"max_leaves": max(2, 2 ** (depth - 1)), **given, "grow_policy": "lossguide", "max_depth": 0}
    columns = project.features.sets[str(chosen["set"])] if chosen["set"] else ()
    encoding = chosen["encoding"] if project.features.categorical else "codes"
    return Recipe("trial", given, settings.max_rounds, settings.seed, encoding=encoding, columns=columns)  # type: ignore[arg-type]
