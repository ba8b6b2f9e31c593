"""Rows to train on, as the reader gives them."""

from __future__ import annotations

from collections.abc import Sequence

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.development import features, models
from pillars.stores import Stores
from pillars.training.judging import judge
from pillars.training.refitting import refit
from pillars.training.rows import Read, Rows, gather
from pillars.training.splits import Part
from pillars.training.tuning import tune
from pillars.vocabulary import Decision, Judged, Recipe, Tuned
from tests.factories import reading, rows_and_outcomes

MONTHS = ["2013-01", "2013-02", "2013-03", "2013-04"]
RECIPE = Recipe("prior", {"eta": 0.2, "max_depth": 3, "max_bin": 32, "subsample": 0.8}, 8, seed=0)


def readable(project: Project, rows: int = 600, seed: int = 0, periods: Sequence[str] = MONTHS) -> Read:
    return features.reader(project, f"{rows}-{seed}-{len(periods)}", reading(*rows_and_outcomes(periods, rows, seed)))


def gathered(project: Project, *periods: str, rows: int = 600, seed: int = 0) -> Rows:
    return gather(readable(project, rows, seed), Part(periods))


def tuned_at(stores: Stores, project: Project, read: Read, until: str, fixed: Sequence[Recipe] = (RECIPE,)) -> Tuned:
    return tune(stores, project, read, MONTHS[: MONTHS.index(until) + 1], until, models.stock_recipe(project), fixed)


def found(recipe: Recipe, until: str = "2013-03") -> Tuned:
    """What a search that found `recipe` best would say."""
    from pillars.vocabulary import Tried

    return Tuned("trams", until, (Tried(recipe, 0.4, True, 0.1),), "no trials", "")


def judged_at(stores: Stores, project: Project, read: Read, until: str, tuned: Tuned, champion: Bundle | None = None) -> Judged:
    through = str(champion.lineage["fitted_through"]) if champion else None
    return judge(stores, project, read, MONTHS[: MONTHS.index(until) + 1], until, tuned, champion, through)


def released(stores: Stores, project: Project, read: Read, until: str, recipe: Recipe = RECIPE, **changes: object) -> Bundle:
    """The bundle of a recipe fitted through `until`."""
    parts = {"calibration": {"kind": "none"}, "threshold": 0.25} | changes
    judged = Judged(
        "trams", until, recipe, Decision.accept(""), Decision.accept(""), (), parts["calibration"], float(str(parts["threshold"])), ""
    )
    path, _, _, _ = refit(stores, project, read, MONTHS[: MONTHS.index(until) + 1], until, judged, {"data": "v1.dir"})
    return Bundle.load(stores.var / path)
