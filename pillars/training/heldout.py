"""Held-out scores, kept by what they are a function of: the recipe, the rows fitted on, the rows predicted.

This period's twin, fitted through t - 1 and judged on t, is the next one's candidate, so it is found here; and a killed run repeats no fit.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import numpy as np

from pillars.bundle import booster
from pillars.config import Project, digest
from pillars.errors import PillarsError
from pillars.stores import Stores, write_atomically
from pillars.training.fitting import Ground, fit_ends, fit_scores, fit_until_stopped
from pillars.training.rows import Rows
from pillars.training.sealing import seal, sealed
from pillars.vocabulary import Recipe


@dataclass(frozen=True)
class HeldOut:
    """`p`: scores of rows that `recipe` was not fitted on, float64, shape (n,) or (n, classes), uncalibrated; `seconds` of the fit."""

    recipe: Recipe
    p: np.ndarray
    seconds: float


def held_out(stores: Stores, on: Ground, judged: Rows, recipe: Recipe, threads: int, patience: int | None = None) -> HeldOut:
    """Fit a recipe on `on` and predict `judged`; with `patience`, early stopping on `judged` sets the rounds.

    Of several boosters each is kept alone, too, so that an average of known ones costs no fit.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    path = _path(stores, on.project, recipe, on.rows.digest, judged.digest, patience)
    found = _kept(stores, path, recipe)
    if found is None:
        start = time.perf_counter()
        if patience is None and len(recipe.parts) > 1:
            parts = [held_out(stores, on, judged, one, threads) for one in recipe.parts]
            return mean_of(recipe, parts)
        encoded = on.encoder.encode(judged.columns)
        if patience is None:
            p = booster.scores(booster.load(fit_scores(on, recipe, threads)), encoded, len(on.project.classes))
            found = HeldOut(recipe, p, time.perf_counter() - start)
        else:
            stopped, p = fit_until_stopped(on, encoded, judged.y, recipe, patience, threads, on.weights_of(judged))
            found = HeldOut(stopped, p, time.perf_counter() - start)
        _write(stores, path, found)
    return found


def held_out_ends(stores: Stores, on: Ground, judged: Rows, recipe: Recipe, threads: int) -> np.ndarray | None:
    """What the quantiles' booster, fitted on `on`, says of `judged`: float64, shape (n, 2); None unless the YAML asks for `cqr`."""
    said = on.project.intervals
    if said.method != "cqr":
        return None
    path = _path(stores, on.project, recipe, on.rows.digest, judged.digest, None, of=f"ends {said.coverage!r}")
    found = _kept(stores, path, recipe)
    if found is None:
        start = time.perf_counter()
        fitted = booster.load(fit_ends(on, recipe, threads))
        p = booster.scores(fitted, on.encoder.encode(judged.columns), 2)
        found = HeldOut(recipe, p, time.perf_counter() - start)
        _write(stores, path, found)
    return found.p


def mean_of(recipe: Recipe, parts: Sequence[HeldOut]) -> HeldOut:
    """What the boosters of `recipe` say together, one part each, in their order: the bits of `pillars.bundle.booster.scores`."""
    total = np.zeros_like(parts[0].p)
    for one in parts:
        total += one.p
    return HeldOut(recipe, total / len(parts), sum(one.seconds for one in parts))


def keep(stores: Stores, project: Project, found: HeldOut, fitted_on: str, judged: str) -> None:
    """Write what is known without a fit of its own, unless it is there; `fitted_on` and `judged` are digests of rows."""
    path = _path(stores, project, found.recipe, fitted_on, judged, None)
    if _kept(stores, path, found.recipe) is None:
        _write(stores, path, found)


def kept(stores: Stores, project: Project, how: Sequence[str], fitted_on: str, judged: str, made: Callable[[], np.ndarray]) -> np.ndarray:
    """Scores of another kind of model than a recipe's, made once; `how` is all that they depend on beside the rows and the project."""
    given = [*how, project.section_digest(*project.learning), project.gate.loss]
    path = stores.folder("search", project.project, "heldout") / f"{digest([given, fitted_on, judged])[:32]}.npz"
    other = Recipe(how[0], {}, 0, 0)
    found = _kept(stores, path, other)
    if found is None:
        start = time.perf_counter()
        p = made()
        found = HeldOut(other, p, time.perf_counter() - start)
        _write(stores, path, found)
    return found.p


def _path(stores: Stores, project: Project, recipe: Recipe, fitted_on: str, judged: str, patience: int | None, of: str = "") -> Path:
    how = [dict(recipe.params), recipe.rounds, recipe.seed, recipe.bags, patience, project.section_digest("features"), version("xgboost")]
    if recipe.beyond:
        how.append(recipe.beyond)
    if project.task != "binary":
        how += [project.task, list(project.classes), project.gate.loss]
    if project.fitting:
        how.append(project.section_digest(*project.fitting))
    if of:
        how.append(of)
    return stores.folder("search", project.project, "heldout") / f"{digest([how, fitted_on, judged])[:32]}.npz"


def _kept(stores: Stores, path: Path, recipe: Recipe) -> HeldOut | None:
    try:
        with np.load(path, allow_pickle=False) as stored:  # zip checks its CRC, the seal who wrote it
            found = HeldOut(replace(recipe, rounds=int(stored["rounds"])), stored["p"], float(stored["seconds"]))
            return found if sealed(stores, path.name, _content(found), str(stored["seal"])) else None
    except PillarsError:  # no key to check the seal with
        raise
    except Exception:  # a cache: what cannot be read is made again; a changed byte is any error: of zip, of a header, of a seek
        return None


def _content(found: HeldOut) -> bytes:
    return f"{found.recipe.rounds} {found.seconds!r} ".encode() + found.p.tobytes()


def _write(stores: Stores, path: Path, found: HeldOut) -> None:
    content = io.BytesIO()
    kept_by = seal(stores, path.name, _content(found))
    np.savez(content, p=found.p, rounds=found.recipe.rounds, seconds=found.seconds, seal=kept_by)
    write_atomically(path, content.getvalue())
