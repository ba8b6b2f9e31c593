"""Judging on the rows of t, which neither side has trained on: is the new recipe better, and may the winner be released?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pillars.bundle.bundle import Bundle
from pillars.bundle.calibration import NONE, apply
from pillars.config import Project
from pillars.errors import BundleRefused
from pillars.stores import Stores, Write, as_it_is, parquet_bytes
from pillars.training import baselines
from pillars.training.calibrating import Outlook, chosen, theoretical, threshold
from pillars.training.conditions import conditions, policy
from pillars.training.fairness import compared, held
from pillars.training.fitting import Ground
from pillars.training.gate import judge_recipe, judge_refresh
from pillars.training.heldout import HeldOut, held_out, keep
from pillars.training.metrics import card
from pillars.training.rows import Read, Rows, gather
from pillars.training.slices import sliced, worst
from pillars.training.splits import Plan, plan
from pillars.training.tuning import same
from pillars.vocabulary import Calibration, Decision, Judged, Recipe, Scorecard, Tuned


@dataclass(frozen=True)
class Side:
    """One model's scores of the judged rows, float64, shape (n,) or (n, classes), and the threshold at which it acts (binary only)."""

    p: np.ndarray
    threshold: float


def judge(
    stores: Stores,
    project: Project,
    read: Read,
    periods: Sequence[str],
    until: str,
    tuned: Tuned,
    champion: Bundle | None,
    champion_fitted_through: str | None,
    write: Write | None = None,
) -> Judged:
    """Both decisions on the rows of `until`, scorecards of all sides there, and calibration and threshold from earlier rows.

    recipe: twins of both recipes, fitted through t - 1, compared paired; without a champion the base rate is the one to beat. The live
    champion is its recipe's twin when it was fitted on those very rows. refresh: the winner's twin against the live champion; refused when
    the live champion (`champion_fitted_through`) has seen the judged rows. `write` puts the sides' scores on the disk.

    Raises:
        UnknownName: `until` has no outcomes.
        TooFewRows: see `rows.lacking`.
    """
    parts = plan(project, periods, until)
    ground, judged = Ground(project, gather(read, parts.twin_fit)), gather(read, parts.judge_on)
    defending = recipe_of(champion) if champion else None
    unseen = champion_fitted_through is None or champion_fitted_through < parts.judge_on.periods[0]
    live = Side(champion.scores(judged.columns), champion.threshold) if champion and unseen else None
    if champion:
        _keep_the_live_champion_as_twin(stores, project, champion, ground.rows, judged)
    winner, twin, recipe_decision = _recipe(stores, project, ground, judged, tuned.recipe, defending)
    calibration, acting = _learned(stores, project, read, periods, parts, winner)
    challenger = Side(apply(calibration, twin.p), acting)
    if champion and not live:
        refresh_decision = Decision.refuse(f"the live champion was fitted through {champion_fitted_through}: it has seen the judged rows")
    else:
        refresh_decision = _refresh(project, judged, live, challenger.p, recipe_decision)
    sides = {"challenger": challenger} | ({"champion": live} if live else {})
    simple, same_for_all = ("linear", "mean") if project.task == "regression" else ("logistic", "majority")
    sides |= {
        simple: Side(baselines.linear(project, ground.rows, judged), theoretical(project.cost)),
        same_for_all: Side(baselines.constant(project, ground.rows, len(judged.y)), theoretical(project.cost)),
    }
    scorecards = tuple(_card(project, until, judged, name, side) for name, side in sides.items())
    slices, many = sliced(project, judged, {name: side.p for name, side in sides.items()})
    groups = compared(project, judged, challenger.p, acting) if project.fairness.groups else ()
    asked = (*worst(project, slices, many), *held(project, groups, until), *policy(project, scorecards))
    return Judged(
        project=project.project,
        period=until,
        recipe=winner,
        recipe_decision=recipe_decision,
        refresh_decision=refresh_decision,
        scorecards=scorecards,
        calibration=calibration,
        threshold=acting,
        path=_write_predictions(write or as_it_is(stores), project, until, judged, sides),
        conditions=(*conditions(project, scorecards[0]), *asked),
        slices=slices,
        fairness=groups,
    )


def recipe_of(bundle: Bundle) -> Recipe:
    """The recipe that a bundle's lineage names.

    Raises:
        BundleRefused: it names none.
    """
    try:
        return Recipe(**bundle.lineage["recipe"])
    except (KeyError, TypeError) as err:
        raise BundleRefused(str(bundle.path), "its lineage names no recipe") from err


def _recipe(
    stores: Stores, project: Project, ground: Ground, judged: Rows, challenging: Recipe, defending: Recipe | None
) -> tuple[Recipe, HeldOut, Decision]:
    """The winner, its twin, and the decision."""
    seed, rows = project.search.seed, (judged.y, judged.blocks)
    if defending and same(challenging, defending):
        twin = held_out(stores, ground, judged, defending, stores.threads)
        return defending, twin, Decision.refuse(f"the best recipe is the champion's own ({defending.name}): there is nothing to promote")
    twin = held_out(stores, ground, judged, challenging, stores.threads)
    if not defending:
        base = baselines.constant(project, ground.rows, len(judged.y))
        against = {"binary": "the base rate", "multiclass": "the base rates", "regression": "one number for all"}[project.task]
        return challenging, twin, judge_recipe(project.gate, rows[0], base, twin.p, rows[1], seed, against)
    other = held_out(stores, ground, judged, defending, stores.threads)
    decision = judge_recipe(project.gate, rows[0], other.p, twin.p, rows[1], seed, f"the champion's recipe ({defending.name})")
    return (challenging, twin, decision) if decision else (defending, other, decision)


def _refresh(project: Project, judged: Rows, live: Side | None, twin: np.ndarray, recipe_decision: Decision) -> Decision:
    if not live:
        return Decision(recipe_decision.outcome, f"no champion yet; {recipe_decision.reason}")
    return judge_refresh(project.gate, judged.y, live.p, twin, judged.blocks, project.search.seed)


def _learned(
    stores: Stores, project: Project, read: Read, periods: Sequence[str], parts: Plan, recipe: Recipe
) -> tuple[Calibration, float]:
    """Calibration and threshold, from predictions of rows before the judged ones; a target that is not binary has neither."""
    if project.task != "binary":
        return dict(NONE), 0.5
    newest = _outlook(stores, project, read, parts, recipe)
    calibration = chosen(project.gate, _outlooks(stores, project, read, periods, parts, recipe), project.search.seed)
    return calibration, threshold(project.cost, project.gate.min_rows, newest.y, apply(calibration, newest.p))


def _outlooks(stores: Stores, project: Project, read: Read, periods: Sequence[str], parts: Plan, recipe: Recipe) -> Iterator[Outlook]:
    """Predictions on the validation period, the one before it, and so on, by models fitted on what lies before; whole periods only."""
    while not parts.validate.cuts:
        yield _outlook(stores, project, read, parts, recipe)
        parts = plan(project, periods, parts.validate.periods[-1])


def _outlook(stores: Stores, project: Project, read: Read, parts: Plan, recipe: Recipe) -> Outlook:
    valid = gather(read, parts.validate)
    found = held_out(stores, Ground(project, gather(read, parts.search_fit)), valid, recipe, stores.threads)
    return Outlook(valid.y, found.p, valid.blocks)


def _keep_the_live_champion_as_twin(stores: Stores, project: Project, champion: Bundle, fit_rows: Rows, judged: Rows) -> None:
    """Spares its fit, when the live champion was fitted on the twin's very rows."""
    if champion.lineage.get("fit_digest") == fit_rows.digest:
        keep(stores, project, HeldOut(recipe_of(champion), champion.raw(judged.columns), 0.0), fit_rows.digest, judged.digest)


def _card(project: Project, until: str, judged: Rows, name: str, side: Side) -> Scorecard:
    return card(project, name, until, judged.y, side.p, judged.blocks, side.threshold)


def _write_predictions(write: Write, project: Project, until: str, judged: Rows, sides: dict[str, Side]) -> str:
    """Key, outcome and every side's score of the judged rows (of several classes: a list for each row), named by their content."""
    table = judged.keys.append_column("outcome", pa.array(judged.y))
    for name, side in sides.items():
        table = table.append_column(f"score_{name}", pa.array(side.p if side.p.ndim == 1 else list(side.p)))
    content = parquet_bytes(table)
    path = f"judged/{project.project}/{until}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    write(path, content)
    return path
