"""From the judged recipe to the bundle that may be released: fitted on all rows known, and checked as far as seen rows allow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pillars.bundle.bundle import Bundle, identity, outputs, write_bundle
from pillars.config import Loss, Project, digest
from pillars.errors import BundleRefused
from pillars.stores import Stores
from pillars.training.fitting import fit, fit_scores, grounded
from pillars.training.metrics import average, middle
from pillars.training.rows import Read, Rows, gather, subset
from pillars.training.splits import Part, plan
from pillars.vocabulary import Decision, Judged

GOLDEN_ROWS = 32  # whose scores are kept in the bundle: wherever it is loaded they must come out equal bit for bit
WIDEST_BIAS = 0.05  # of the mean probability on the newest period, which was fitted on: more means that something broke
WIDEST_SHIFT = 0.25  # of the mean or median number, in standard deviations of the outcomes there


def refit(
    stores: Stores,
    project: Project,
    read: Read,
    periods: Sequence[str],
    until: str,
    judged: Judged,
    lineage: Mapping[str, Any],
) -> tuple[str, str, str, Decision]:
    """Fit the winner on all periods through `until` and write its bundle.

    Returns the bundle's path relative to `var`, its identity (sha256), the period it was fitted through, and whether it passed: golden rows
    equal bit for bit, every score a number in its range, their mean near that of the newest period's outcomes. The bundle's lineage is
    `lineage` with what the fit depends on; equal inputs give equal bytes, and a bundle that is there already is left as it is.

    Raises:
        UnknownName: `until` has no outcomes.
        ConfigInvalid: XGBoost refuses the recipe.
        StoreUnavailable: the disk refuses.
    """
    parts = plan(project, periods, until)
    ground = grounded(stores, project, read, parts.refit)
    newest = gather(read, Part((until,)))
    boosters = (fit if judged.interval else fit_scores)(ground, judged.recipe, stores.threads)
    origin = {
        **lineage,
        "recipe": judged.recipe.to_json(),
        "fitted_through": until,
        "fit_periods": list(parts.refit.periods),
        "fit_rows": len(ground.rows.y),
        "fit_digest": ground.rows.digest,
        "settings": project.section_digest(*project.learning, *project.choices),
        **({"engine": project.fit.engine, "device": ground.device} if project.fitting else {}),
        **({"ends": bool(judged.interval)} if project.intervals.method == "cqr" else {}),
    }
    said = decision(project, judged)
    named = digest(
        [
            identity(boosters),
            judged.calibration,
            judged.threshold,
            origin,
            schema(project, judged),
            *([said] if project.choices or project.cost.matrix else []),
        ]
    )[:8]
    path = stores.folder("candidates", project.project) / f"{until}-{named}"
    golden = _golden(newest)
    sha256 = write_bundle(
        path, project.project, boosters, ground.encoder, judged.calibration, said, schema(project, judged), golden, origin
    )
    return stores.relative(path), sha256, until, _passed(Bundle.load(path, stores.threads), newest, project.gate.loss)


def schema(project: Project, judged: Judged) -> dict[str, Any]:
    """What the bundle takes and gives: each input's name and type (`double` or `string`), in the order of the features; `columns`, what a
    request's row may hold by the YAML that it was trained with, and `entity`, whom a row is about, so that who serves it asks no YAML."""
    inputs = [{"name": name, "type": "double"} for name in project.features.numeric]
    inputs += [{"name": name, "type": "string"} for name in project.features.categorical]
    given = [{"name": name, "type": kind} for name, kind in outputs(project.task, project.classes, bounded=bool(judged.interval)).items()]
    told = {"key": list(project.key), "entity": list(project.entity), "columns": project.asked}
    return {"inputs": inputs, "outputs": given, "target": project.target, **told}


def decision(project: Project, judged: Judged) -> dict[str, Any]:
    """What turns scores into answers, as the bundle keeps it."""
    match project.task:
        case "multiclass":
            costs = {"costs": project.cost.table(project.classes)} if project.cost.matrix else {}
            return {"task": "multiclass", "classes": list(project.classes), **costs}
        case "regression":
            return {"task": "regression", **({"interval": dict(judged.interval)} if judged.interval else {})}
        case _:
            return {"threshold": float(judged.threshold)}


def _golden(newest: Rows) -> dict[str, np.ndarray]:
    """Rows spread evenly over the newest period."""
    places = np.unique(np.linspace(0, len(newest.y) - 1, GOLDEN_ROWS).astype(np.int64))
    return dict(subset(newest, places).columns)


def _passed(bundle: Bundle, newest: Rows, loss: Loss) -> Decision:
    try:
        bundle.check_golden()
    except BundleRefused as err:
        return Decision.refuse(err.problem)
    scores = bundle.scores(newest.columns)
    if bundle.task == "regression":
        return _near(loss, scores, newest.y, newest.weights)
    outside = int((~((scores >= 0) & (scores <= 1))).reshape(len(scores), -1).any(axis=1).sum())
    if outside:
        return Decision.refuse(f"{outside} of {len(scores)} scores are no number in [0, 1]")
    if bundle.task == "multiclass":
        counted = np.bincount(newest.y.astype(np.int64), weights=newest.weights, minlength=len(bundle.classes))
        rates, means = counted / counted.sum(), np.array([average(of_class, newest.weights) for of_class in scores.T])
        worst = int(np.abs(means - rates).argmax())
        mean, rate, of = float(means[worst]), float(rates[worst]), f" of {bundle.classes[worst]}"
    else:
        mean, rate, of = average(scores, newest.weights), average(newest.y, newest.weights), ""
    reason = f"golden rows equal, {len(scores)} scores in [0, 1], their mean {mean:.4f} for an outcome rate{of} of {rate:.4f}"
    return Decision.by(abs(mean - rate) <= WIDEST_BIAS, reason)


def _near(loss: Loss, scores: np.ndarray, y: np.ndarray, weights: np.ndarray | None) -> Decision:
    """Whether a regression's numbers lie where the newest period's do: by the mean, or the median where absolute errors count."""
    if lost := int((~np.isfinite(scores)).sum()):
        return Decision.refuse(f"{lost} of {len(scores)} scores are no finite number")
    name, of = ("median", middle) if loss == "absolute_error" else ("mean", average)
    said, came, spread = of(scores, weights), of(y, weights), float(y.std())
    reason = (
        f"golden rows equal, {len(scores)} finite scores, their {name} {said:.6g}, that of the outcomes {came:.6g} (deviation {spread:.4g})"
    )
    return Decision.by(abs(said - came) <= WIDEST_SHIFT * spread + 1e-6 * abs(came), reason)
