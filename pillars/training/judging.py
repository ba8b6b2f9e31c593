"""Judging on the rows of t, which neither side has trained on: is the new recipe better, and may the winner be released?"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pillars.bundle.answers import bounds
from pillars.bundle.bundle import Bundle
from pillars.bundle.calibration import NONE, apply
from pillars.config import Project
from pillars.errors import BundleRefused
from pillars.stores import Stores, Write, as_it_is, parquet_bytes
from pillars.training import baselines, intervals
from pillars.training.calibrating import Outlook, asked, chosen, theoretical, threshold
from pillars.training.conditions import conditions, policy
from pillars.training.fairness import compared, held
from pillars.training.fitting import Ground, grounded
from pillars.training.gate import judge_recipe, judge_refresh
from pillars.training.heldout import HeldOut, held_out, held_out_ends, keep
from pillars.training.metrics import card
from pillars.training.rows import Read, Rows, gather, subset
from pillars.training.slices import sliced, worst
from pillars.training.splits import Plan, folds, plan
from pillars.training.tuning import same
from pillars.vocabulary import Calibration, Decision, Interval, Judged, Recipe, Scorecard, Tuned

FOLDS = 5  # of rows that are predicted out of fold


@dataclass(frozen=True)
class Side:
    """One model's scores of the judged rows, float64, shape (n,) or (n, classes), and the threshold at which it acts (binary only)."""

    p: np.ndarray
    threshold: float
    bounds: np.ndarray | None = None  # low and high of each row, (n, 2), where numbers have intervals


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
    live_read: Read | None = None,
    gone: Sequence[str] = (),
) -> Judged:
    """Both decisions on the rows of `until`, scorecards of all sides there, and calibration and threshold from earlier rows.

    recipe: twins of both recipes, fitted through t - 1, compared paired; without a champion the base rate is the one to beat. The live
    champion is its recipe's twin when it was fitted on those very rows. refresh: the winner's twin against the live champion; refused when
    the live champion (`champion_fitted_through`) has seen the judged rows. `write` puts the sides' scores on the disk. `live_read` gives
    the same rows with what the champion takes, where it takes other features than today's; `gone`: those that no row has any more.

    Raises:
        UnknownName: `until` has no outcomes.
        TooFewRows: see `rows.lacking`.
        ConfigInvalid: a comparator is not installed.
    """
    parts = plan(project, periods, until)
    ground, judged = grounded(stores, project, read, parts.twin_fit), gather(read, parts.judge_on)
    defending = recipe_of(champion) if champion else None
    unseen = champion_fitted_through is None or champion_fitted_through < parts.judge_on.periods[0]
    live = _live(champion, gather(live_read, parts.judge_on) if live_read else judged) if champion and unseen and not gone else None
    if champion:
        _keep_the_live_champion_as_twin(stores, project, champion, ground, judged)
    winner, twin, recipe_decision = _recipe(stores, project, ground, judged, tuned.recipe, defending)
    calibration, acting = _learned(stores, project, read, periods, parts, winner)
    laid, interval = _bounded(stores, project, read, parts, ground, judged, twin)
    challenger = Side(apply(calibration, twin.p), acting, laid)
    unasked = _unasked(champion_fitted_through, gone) if champion and not live else None
    sides = {"challenger": challenger} | ({"champion": live} if live else {})
    for one in project.gate.comparators:
        sides[baselines.called(project, one)] = Side(baselines.said(stores, project, one, ground.rows, judged), theoretical(project.cost))
    scorecards = tuple(_card(project, until, judged, name, side) for name, side in sides.items())
    slices, many = sliced(project, judged, {name: side.p for name, side in sides.items()})
    groups = compared(project, judged, challenger.p, acting) if project.fairness.groups else ()
    further = (*worst(project, slices, many), *held(project, groups, until), *policy(project, scorecards))
    return Judged(
        project=project.project,
        period=until,
        recipe=winner,
        recipe_decision=recipe_decision,
        refresh_decision=_refresh(project, judged, live, challenger.p, recipe_decision) if unasked is None else unasked,
        scorecards=scorecards,
        calibration=calibration,
        threshold=acting,
        path=_write_predictions(write or as_it_is(stores), project, until, judged, sides),
        conditions=(*conditions(project, scorecards[0]), *further),
        interval=interval,
        slices=slices,
        fairness=groups,
    )


def recipe_of(bundle: Bundle) -> Recipe:
    """The recipe that a bundle's lineage names.

    Raises:
        BundleRefused: it names none.
    """
    try:
        return Recipe.from_json(bundle.lineage["recipe"])
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
        return challenging, twin, judge_recipe(project.gate, rows[0], base, ground.fair(twin.p), rows[1], seed, against, judged.weights)
    other = held_out(stores, ground, judged, defending, stores.threads)
    said, against = (ground.fair(other.p), ground.fair(twin.p)), f"the champion's recipe ({defending.name})"
    decision = judge_recipe(project.gate, rows[0], *said, rows[1], seed, against, judged.weights)
    return (challenging, twin, decision) if decision else (defending, other, decision)


def _unasked(through: str | None, gone: Sequence[str]) -> Decision:
    """Of a champion that was not asked: it has seen the rows, or it cannot answer any more, and then a refresh is right."""
    if gone:
        return Decision.accept(f"the live champion cannot answer: it takes {gone[0]}, which the rows have no more")
    return Decision.refuse(f"the live champion was fitted through {through}: it has seen the judged rows")


def _refresh(project: Project, judged: Rows, live: Side | None, twin: np.ndarray, recipe_decision: Decision) -> Decision:
    if not live:
        return Decision(recipe_decision.outcome, f"no champion yet; {recipe_decision.reason}")
    return judge_refresh(project.gate, judged.y, live.p, twin, judged.blocks, project.search.seed, judged.weights)


def _learned(
    stores: Stores, project: Project, read: Read, periods: Sequence[str], parts: Plan, recipe: Recipe
) -> tuple[Calibration, float]:
    """Calibration and threshold, from predictions of rows before the judged ones by models that had not seen them.

    A calibration that the YAML names is learned on the newest whole period; where there is none, on folds of the rows that are fitted on.
    Of several classes there is no threshold, of numbers neither.
    """
    method, task = project.calibration.method, project.task
    named = method in ("sigmoid", "isotonic")
    if task == "regression" or (task == "multiclass" and not named):
        return dict(NONE), 0.5
    folded = named and bool(parts.validate.cuts)
    newest = _out_of_fold(stores, project, read, parts, recipe) if folded else _outlook(stores, project, read, parts, recipe)
    if named:
        calibration = asked(method, newest.y, newest.p, newest.weights)
    elif method == "none":
        calibration = dict(NONE)
    else:
        calibration = chosen(project.gate, _outlooks(stores, project, read, periods, parts, recipe), project.search.seed)
    if task == "multiclass":
        return calibration, 0.5
    return calibration, threshold(project.cost, project.gate.min_rows, newest.y, apply(calibration, newest.p), newest.weights)


def _out_of_fold(stores: Stores, project: Project, read: Read, parts: Plan, recipe: Recipe) -> Outlook:
    """Predictions of the twins' rows, each by a model fitted on the other folds: consecutive blocks, `FOLDS` of them."""
    rows = gather(read, parts.twin_fit)
    fold, p = folds(rows.blocks, FOLDS), None
    for one in np.unique(fold):
        its, others = (np.flatnonzero(which) for which in (fold == one, fold != one))
        if len(others) == 0:  # one block: nothing is held out
            return Outlook(rows.y[:0], np.zeros((0, *([len(project.classes)] if project.classes else []))), rows.blocks[:0])
        found = held_out(stores, Ground(project, subset(rows, others)), subset(rows, its), recipe, stores.threads).p
        p = np.empty((len(rows.y), *found.shape[1:])) if p is None else p
        p[its] = found
    assert p is not None  # gathered rows are never none
    return Outlook(rows.y, p, rows.blocks, rows.weights)


def _live(champion: Bundle, judged: Rows) -> Side:
    score = champion.scores(judged.columns)
    return Side(score, champion.threshold, champion.predict(judged.columns).bounds if champion.interval else None)


def _bounded(
    stores: Stores, project: Project, read: Read, parts: Plan, ground: Ground, judged: Rows, twin: HeldOut
) -> tuple[np.ndarray | None, Interval]:
    """The judged rows' intervals, as wide as the validation rows ask for, (n, 2); and the interval to release, as the judged rows ask for.

    Neither model has seen the rows that its width is learned on, and the coverage on the scorecard is of rows that no width has seen.
    """
    if project.intervals.method == "none":
        return None, {}
    before, valid = grounded(stores, project, read, parts.search_fit), gather(read, parts.validate)
    earlier = held_out(stores, before, valid, twin.recipe, stores.threads).p
    width = intervals.learn(project, valid, earlier, held_out_ends(stores, before, valid, twin.recipe, stores.threads))
    ends = held_out_ends(stores, ground, judged, twin.recipe, stores.threads)
    groups = judged.columns[project.intervals.by] if project.intervals.by else None
    laid = bounds(width, twin.p, ends, groups) if width else None
    return laid, intervals.learn(project, judged, twin.p, ends)


def _outlooks(stores: Stores, project: Project, read: Read, periods: Sequence[str], parts: Plan, recipe: Recipe) -> Iterator[Outlook]:
    """Predictions on the validation period, the one before it, and so on, by models fitted on what lies before; whole periods only."""
    while not parts.validate.cuts:
        yield _outlook(stores, project, read, parts, recipe)
        parts = plan(project, periods, parts.validate.periods[-1])


def _outlook(stores: Stores, project: Project, read: Read, parts: Plan, recipe: Recipe) -> Outlook:
    valid = gather(read, parts.validate)
    found = held_out(stores, grounded(stores, project, read, parts.search_fit), valid, recipe, stores.threads)
    return Outlook(valid.y, found.p, valid.blocks, valid.weights)


def _keep_the_live_champion_as_twin(stores: Stores, project: Project, champion: Bundle, ground: Ground, judged: Rows) -> None:
    """Spares its fit, when the live champion was fitted on the twin's very rows, with the settings of now and to lose the same loss."""
    settings = project.section_digest(*project.learning, *project.choices)
    told = (champion.lineage.get("fit_digest"), champion.lineage.get("settings"), champion.objective)
    if told == (ground.rows.digest, settings, ground.objective["objective"]):
        keep(stores, project, HeldOut(recipe_of(champion), champion.raw(judged.columns), 0.0), ground.rows.digest, judged.digest)


def _card(project: Project, until: str, judged: Rows, name: str, side: Side) -> Scorecard:
    return card(project, name, until, judged.y, side.p, judged.blocks, side.threshold, judged.weights, side.bounds)


def _write_predictions(write: Write, project: Project, until: str, judged: Rows, sides: dict[str, Side]) -> str:
    """Key, outcome and every side's score of the judged rows (of several classes: a list for each row), named by their content."""
    table = judged.keys.append_column("outcome", pa.array(judged.y))
    for name, side in sides.items():
        table = table.append_column(f"score_{name}", pa.array(side.p if side.p.ndim == 1 else list(side.p)))
    content = parquet_bytes(table)
    path = f"judged/{project.project}/{until}-{hashlib.sha256(content).hexdigest()[:16]}.parquet"
    write(path, content)
    return path
