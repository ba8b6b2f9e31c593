"""The search of one retraining: which recipe is best on the newest period that the judges will not use."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pillars.config import Project, Range, digest
from pillars.stores import Stores, locked, write_atomically
from pillars.training.fitting import Ground
from pillars.training.gate import paired_gain
from pillars.training.heldout import HeldOut, held_out, keep
from pillars.training.metrics import losses
from pillars.training.rows import Read, Rows, gather, newest
from pillars.training.splits import plan
from pillars.training.study import Params, search
from pillars.vocabulary import Recipe, Tried, Tuned

Progress = Callable[[int, int, float], None]
SPACE = {  # used where the project names none: around the parameters that did well on four data sets
    "eta": Range(low=0.05, high=0.3, log=True),
    "max_depth": Range(low=4, high=9),
    "min_child_weight": Range(low=1.0, high=100.0, log=True),
    "subsample": Range(low=0.6, high=1.0),
    "colsample_bytree": Range(low=0.3, high=1.0),
    "reg_lambda": Range(low=0.5, high=50.0, log=True),
}


def tune(
    stores: Stores,
    project: Project,
    read: Read,
    periods: Sequence[str],
    until: str,
    stock: Recipe,
    fixed: Sequence[Recipe],
    progress: Progress = lambda done, of, best: None,
) -> Tuned:
    """Search with outcomes known through `until`, of which the search sees what lies before it; `periods` are those with outcomes.

    Trials run on the newest `search.rows` rows. The best of them then competes with `stock` and the `fixed` recipes (the project's prior,
    the champion's) at full fidelity: fitted on all rows of the search, judged on the validation period. There `stock` and the best trial
    stop early, which flatters them a little; fixed recipes keep their rounds. `progress` gets fits done, fits in all, the best loss so far.
    The result is kept by what it is a function of (rows, settings, recipes, versions): asked again it is read, and a killed search goes on.

    Raises:
        UnknownName: `until` has no outcomes.
        TooFewRows: see `rows.lacking`.
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
        Busy: somebody else runs this very search for longer than ten minutes.
    """
    parts = plan(project, periods, until)
    fit_rows, valid = gather(read, parts.search_fit), gather(read, parts.validate)
    named = _name(project, fit_rows, valid, [stock, *fixed])
    path = stores.folder("search", project.project) / f"{until}-{named}.json"
    with locked(path.with_suffix(".lock"), f"search {path.stem}", wait_s=600):
        if not path.exists():
            found = _found(stores, project, fit_rows, valid, stock, fixed, path.with_suffix(".log"), progress)
            content = {"rows": {"fit": asdict(parts.search_fit), "validate": asdict(parts.validate)}, **found}
            write_atomically(path, json.dumps(content, indent=1).encode())
    return _read(stores, project, until, path)


def _found(
    stores: Stores, project: Project, fit_rows: Rows, valid: Rows, stock: Recipe, fixed: Sequence[Recipe], journal: Path, progress: Progress
) -> dict[str, Any]:
    """The leaderboard, full fidelity first, and the verdict, as JSON."""
    patience = project.search.early_stopping
    full = Ground(project, fit_rows)
    competing = [(stock, patience), *((recipe, None) for recipe in _distinct(fixed))]
    total = len(competing) + project.search.trials + (project.search.trials > 0)
    sampled = _sampled(stores, project, newest(fit_rows, project.search.rows), valid, journal, lambda n, _, best: progress(n, total, best))
    if sampled:
        best = min(sampled, key=lambda tried: tried.loss).recipe
        competing.append((replace(best, name="searched", rounds=project.search.max_rounds), patience))
    standing: list[tuple[float, HeldOut]] = []
    for recipe, its_patience in competing:
        candidate = held_out(stores, full, valid, recipe, stores.threads, its_patience)
        keep(stores, project, candidate, fit_rows.digest, valid.digest)  # the judge asks for it with its rounds
        standing.append((_loss(project, valid, candidate), candidate))
        progress(total - len(competing) + len(standing), total, min(loss for loss, _ in standing))
    verdict = _verdict(project, valid, standing)
    board = sorted((Tried(_scaled(project, one.recipe), loss, True, one.seconds) for loss, one in standing), key=lambda tried: tried.loss)
    return {"verdict": verdict, "leaderboard": [asdict(tried) for tried in (*board, *sorted(sampled, key=lambda tried: tried.loss))]}


def _sampled(stores: Stores, project: Project, sample: Rows, valid: Rows, journal: Path, progress: Progress) -> list[Tried]:
    """The trials, in the order they were asked for."""
    settings, on = project.search, Ground(project, sample)
    if not settings.trials:
        return []

    def tried(params: Params) -> HeldOut:
        recipe = Recipe("trial", {"max_bin": settings.max_bin, **params}, settings.max_rounds, settings.seed)
        return held_out(stores, on, valid, recipe, threads=1, patience=settings.early_stopping)

    on.matrix(Recipe("", {"max_bin": settings.max_bin}, 1, 0), stores.threads)
    found = search(
        journal,
        settings.space or SPACE,
        settings.trials,
        settings.batch,
        settings.workers,
        settings.seed,
        lambda params: _loss(project, valid, tried(params)),
        progress,
    )
    held = [(place, tried(params)) for place, params in enumerate(found)]  # read back: each was fitted once
    return [Tried(replace(one.recipe, name=f"trial {place}"), _loss(project, valid, one), False, one.seconds) for place, one in held]


def _verdict(project: Project, valid: Rows, standing: Sequence[tuple[float, HeldOut]]) -> str:
    """Whether the searched recipe beat the best of the others by more than the noise of the validation period."""
    searched = [one for _, one in standing if one.recipe.name == "searched"]
    best = min(((loss, one) for loss, one in standing if one.recipe.name != "searched"), key=lambda pair: pair[0])[1]
    if not searched:
        return f"no trials; {best.recipe.name} is best"
    gain = paired_gain(project.gate, valid.y, best.p, searched[0].p, valid.blocks, project.search.seed)
    beat = "tuning beat" if gain.low > 0 else "tuning did not beat"
    return f"{beat} the {best.recipe.name} recipe beyond noise: {project.gate.loss} gain {gain} on {len(valid.y)} rows"


def _scaled(project: Project, recipe: Recipe) -> Recipe:
    """What a search found, ready for more rows; fixed recipes are as they are."""
    if recipe.name != "searched":
        return recipe
    rounds = max(1, round(recipe.rounds * project.search.final_rounds_scale))
    return replace(recipe, name=f"searched {digest([dict(recipe.params), rounds])[:6]}", rounds=rounds)


def same(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes give the same model on the same rows."""
    return replace(one, name="") == replace(other, name="")


def _distinct(recipes: Sequence[Recipe]) -> list[Recipe]:
    return [recipe for place, recipe in enumerate(recipes) if not any(same(recipe, earlier) for earlier in recipes[:place])]


def _loss(project: Project, valid: Rows, one: HeldOut) -> float:
    return float(losses(project.gate.loss, valid.y, one.p).mean())


def _name(project: Project, fit_rows: Rows, valid: Rows, recipes: Sequence[Recipe]) -> str:
    settings = project.section_digest("features", "search", "gate")
    versions = [version(package) for package in ("xgboost", "optuna", "numpy")]
    return digest([fit_rows.digest, valid.digest, settings, [asdict(recipe) for recipe in recipes], versions])[:12]


def _read(stores: Stores, project: Project, until: str, path: Path) -> Tuned:
    content = json.loads(path.read_bytes())
    board = tuple(Tried(Recipe(**tried.pop("recipe")), **tried) for tried in content["leaderboard"])
    return Tuned(project.project, until, board, content["verdict"], stores.relative(path))
