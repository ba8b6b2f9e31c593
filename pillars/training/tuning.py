"""The search of one retraining: which recipe is best on rows that the judges will not use."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pillars.config import Project, digest
from pillars.stores import Stores, locked, write_atomically
from pillars.training.budget import for_trials
from pillars.training.contest import Contest, contest
from pillars.training.gate import paired_gain
from pillars.training.heldout import HeldOut, mean_of
from pillars.training.rows import Read
from pillars.training.sealing import seal, sealed
from pillars.training.splits import plan
from pillars.training.trials import Progress, sampled, seconds_of
from pillars.vocabulary import Json, Measure, Member, Recipe, Tried, Tuned

SEARCHED = "searched"


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
    the champion's) at full fidelity: fitted on all rows of the search, judged on the validation period (or as `split.folds` says). There
    `stock` and the best trial stop early, which flatters them a little; fixed recipes keep their rounds. The searched recipe leads the
    board only where it won beyond noise. `progress` gets fits done, fits in all, the best loss so far.

    The result is kept by what it is a function of (rows, settings, recipes, versions): asked again it is read, and a killed search goes on.

    Raises:
        UnknownName: `until` has no outcomes.
        TooFewRows: see `rows.lacking`.
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
        Busy: somebody else runs this very search for longer than ten minutes.
    """
    parts = plan(project, periods, until)
    on = contest(stores, project, read, parts)
    named = _name(project, on, [stock, *fixed])
    path = stores.folder("search", project.project) / f"{until}-{named}.json"
    with locked(path.with_suffix(".lock"), f"search {path.stem}", wait_s=600):
        content = _kept(stores, path)
        if content is None:
            found = _found(stores, on, stock, fixed, path.with_suffix(".log"), progress)
            content = {"rows": on.told or {"fit": asdict(parts.search_fit), "validate": asdict(parts.validate)}, **found}
            kept_by = seal(stores, path.name, json.dumps(content).encode())
            write_atomically(path, json.dumps({**content, "seal": kept_by}, indent=1).encode())
    board = tuple(Tried(**{**tried, "recipe": Recipe.from_json(tried["recipe"])}) for tried in content["leaderboard"])
    return Tuned(project.project, until, board, content["verdict"], stores.relative(path))


def _found(stores: Stores, full: Contest, stock: Recipe, fixed: Sequence[Recipe], journal: Path, progress: Progress) -> dict[str, Json]:
    """The leaderboard, full fidelity first, the verdict, and what the budget came to, as JSON."""
    project, settings = full.project, full.project.search
    known = [(stock, settings.early_stopping), *((recipe, None) for recipe in _distinct(fixed))]
    planned = len(known) + settings.trials + (settings.average if settings.trials else 0) + settings.bags - 1
    standing: list[HeldOut] = []

    def fitted(recipe: Recipe, patience: int | None, done: int, of: int) -> float:
        made = full.held_out(stores, recipe, stores.threads, patience)
        full.keep(stores, made)  # the judge asks for it by its rounds
        standing.append(made)
        progress(done + len(standing), of, min(full.loss(one.p) for one in standing))
        return made.seconds

    fixed_s = [fitted(recipe, patience, 0, planned) for recipe, patience in known]

    def counted(done: int, of: int, best: float) -> None:
        progress(len(known) + done, planned, best)

    sample = sampled(stores, full, journal, counted, for_trials(settings, fixed_s))
    finalists = [replace(one, rounds=settings.max_rounds) for one in _best(sample.tried, settings.average)]
    total = len(sample.tried) + len(known) + len(finalists) + settings.bags - 1
    taken_s = sum(fixed_s) + seconds_of(settings, sample.tried)
    finals: list[float] = []
    for one in finalists:
        if settings.seconds is not None and finals and taken_s + sum(finals) + max(finals) > settings.seconds:
            break
        finals.append(fitted(one, settings.early_stopping, len(sample.tried), total))
    ranked, verdict = _ranked(full, standing)
    best, said = _averaged(stores, full, ranked)
    progress(total, total, min(full.loss(one.p) for one in (*standing, best)))
    ranked = ranked if best is ranked[0] else [best, *ranked]
    board = [Tried(_scaled(project, one.recipe), full.loss(one.p), True, one.seconds) for one in ranked]
    lines: list[Json] = [
        {**asdict(one), "recipe": one.recipe.to_json()} for one in (*board, *sorted(sample.tried, key=lambda one: one.loss))
    ]
    budget: Json = {"trials": settings.trials, "done": len(sample.tried), "finalists": len(finals), "ended_by": sample.ended_by}
    ended = f"; {settings.trials} trials were asked for, search.{sample.ended_by} ended them after {len(sample.tried)}"
    return {"verdict": verdict + said + (ended if sample.ended_by else ""), "budget": budget, "leaderboard": lines}


def _best(tried: Sequence[Tried], count: int) -> list[Recipe]:
    """The best distinct ones, named as what a search found."""
    by_loss = sorted(tried, key=lambda one: one.loss)
    return [
        replace(recipe, name=f"{SEARCHED} {place}" if place else SEARCHED)
        for place, recipe in enumerate(_distinct([replace(one.recipe, rounds=0) for one in by_loss])[:count])
    ]


def _ranked(full: Contest, standing: Sequence[HeldOut]) -> tuple[list[HeldOut], str]:
    """Best first, and whether tuning won.

    A searched recipe is first only where its gain over the best other one is surely above the gate's margin: a known recipe is worth
    more than luck, and a twin less has to be fitted. With `search.lead: best` its estimate suffices.
    """
    project = full.project
    by_loss = sorted(standing, key=lambda one: full.loss(one.p))
    known = next(one for one in by_loss if not _is_searched(one.recipe))
    searched = next((one for one in by_loss if _is_searched(one.recipe)), None)
    if searched is None:
        return by_loss, f"no trials; the {known.recipe.name} recipe is best"
    gain = _gain(full, known, searched)
    won = _leads(project, gain)
    first = searched if won else known
    surely = "beyond noise" if gain.low > project.gate.margin or not won else "by its estimate"
    verdict = f"tuning {'beat' if won else 'did not beat'} the {known.recipe.name} recipe {surely}"
    return [first, *(one for one in by_loss if one is not first)], f"{verdict}: {project.gate.loss} gain {gain} on {len(full.y)} rows"


def _averaged(stores: Stores, full: Contest, ranked: Sequence[HeldOut]) -> tuple[HeldOut, str]:
    """What leads, and what to add to the verdict: an average of the best recipes, or of seeds of the first, where it surely won.

    Averages of what stands cost no fit here. But each of their boosters is fitted again for every twin and refit, so luck does not suffice:
    they must win by the margin.
    """
    project, settings, first = full.project, full.project.search, ranked[0]
    alone = [first, *(one for one in sorted(ranked, key=lambda one: full.loss(one.p)) if one is not first)]
    alone = [one for one in alone if len(one.recipe.parts) == 1]
    tried = [
        mean_of(_together(project, [one.recipe for one in alone[:count]]), alone[:count])
        for count in range(2, settings.average + 1)
        if count <= len(alone)
    ]
    if settings.bags > 1 and len(first.recipe.parts) == 1:
        bagged = replace(first.recipe, bags=settings.bags)
        tried.append(replace(full.held_out(stores, bagged, stores.threads), recipe=_named(project, bagged)))
    if not tried:
        return first, ""
    best = min(tried, key=lambda one: full.loss(one.p))
    gain = _gain(full, first, best)
    won = _leads(project, gain)
    return best if won else first, f"; an average of {len(best.recipe.parts)} {'beat' if won else 'did not beat'} it: gain {gain}"


def _leads(project: Project, gain: Measure) -> bool:
    """Whether what gained so much may lead: surely by the margin, or by its estimate where `search.lead` says so."""
    return (gain.value if project.search.lead == "best" else gain.low) > project.gate.margin


def _gain(full: Contest, known: HeldOut, other: HeldOut) -> Measure:
    sides = (full.fair(known.p), full.fair(other.p))
    return paired_gain(full.project.gate, full.y, *sides, full.blocks, full.project.search.seed, full.weights)


def _together(project: Project, recipes: Sequence[Recipe]) -> Recipe:
    """The first recipe with the others as its members, all as they are fitted on more rows."""
    first, *others = (_scaled(project, one) for one in recipes)
    return _named(project, replace(first, members=tuple(Member(o.params, o.rounds, o.seed, o.encoding, o.columns) for o in others)))


def _named(project: Project, recipe: Recipe) -> Recipe:
    """An average, under a name that tells it from others."""
    scaled = _scaled(project, recipe)
    return replace(scaled, name=f"average {digest(replace(scaled, name='').to_json())[:6]}")


def _is_searched(recipe: Recipe) -> bool:
    """Whether a search found it just now; recipes that an earlier one found bear another name."""
    return recipe.name == SEARCHED or bool(re.fullmatch(rf"{SEARCHED} \d", recipe.name))


def _scaled(project: Project, recipe: Recipe) -> Recipe:
    """What a search found, ready for more rows; fixed recipes are as they are."""
    if not _is_searched(recipe):
        return recipe
    rounds = max(1, round(recipe.rounds * project.search.final_rounds_scale))
    style = [recipe.beyond] if recipe.beyond else []
    return replace(recipe, name=f"{SEARCHED} {digest([dict(recipe.params), rounds, *style])[:6]}", rounds=rounds)


def same(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes give the same model on the same rows."""
    return replace(one, name="") == replace(other, name="")


def _distinct(recipes: Sequence[Recipe]) -> list[Recipe]:
    return [recipe for place, recipe in enumerate(recipes) if not any(same(recipe, earlier) for earlier in recipes[:place])]


def _name(project: Project, on: Contest, recipes: Sequence[Recipe]) -> str:
    settings = project.section_digest("features", "search", "gate", *project.fitting)
    versions = [version(package) for package in ("xgboost", "optuna", "numpy")]
    return digest([*on.digests, settings, [recipe.to_json() for recipe in recipes], versions])[:12]


def _kept(stores: Stores, path: Path) -> dict[str, Any] | None:
    """What a finished search found; None where there is none, or somebody else has been at it: it is searched again."""
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
        kept_by = found.pop("seal")
        return found if sealed(stores, path.name, json.dumps(found).encode(), kept_by) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        return None
