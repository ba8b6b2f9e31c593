"""What a training's MLflow run says: parameters, measures, leaderboard, the data's pointer. Values in, values out."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

from pillars.config import Project
from pillars.vocabulary import Backtest, Change, DataVersion, Gain, Judged, Tried, Tuned

MOST_SAID = 500  # characters: MLflow takes 6,000 of a parameter, and nobody reads them
Point = tuple[str, float, int]  # metric, value, step


def params(project: Project, version: DataVersion, judged: Judged) -> dict[str, str]:
    """MLflow parameters: the winning recipe, and what the run was a function of."""
    recipe = judged.recipe
    fixed: dict[str, Any] = {
        "period": judged.period,
        "recipe": recipe.name,
        "rounds": recipe.rounds,
        "bags": recipe.bags,
        "seed": recipe.seed,
        **({"threshold": judged.threshold} if project.task == "binary" else {"task": project.task, "loss": project.gate.loss}),
        "calibration": judged.calibration.get("kind", ""),
        "data.version": version.id,
        "data.rows": version.rows,
        "config": project.digest()[:12],
        "features": len(project.features.numeric) + len(project.features.categorical),
        "search.trials": project.search.trials,
        "search.seed": project.search.seed,
    }
    style = {f"recipe.{name}": json.dumps(value)[:MOST_SAID] for name, value in recipe.beyond.items()}
    return {name: str(value) for name, value in {**fixed, **style, **{f"xgboost.{k}": v for k, v in recipe.params.items()}}.items()}


def measures(judged: Judged) -> Iterator[Point]:
    """`<model>/<measure>` with the ends of its interval; what is not finite is not logged (MLflow keeps infinity as 1.8e308)."""
    for card in judged.scorecards:
        for name, measure in card.measures.items():
            for suffix, value in (("", measure.value), (".low", measure.low), (".high", measure.high)):
                if math.isfinite(value):
                    yield _named(f"{card.model}/{name}{suffix}"), value, 0
        yield _named(f"{card.model}/rows"), float(card.rows), 0
    for one in (each for each in judged.slices if each.found == "declared"):  # the names of the others change from run to run
        for name, value in (("loss", one.loss.value), ("increase", one.increase.value), ("rows", float(one.rows))):
            yield _short(f"slice/{one.name}", name), value, 0
    for fairness in judged.fairness:
        for name, measure in fairness.differences.items():
            yield _short(f"fairness/{fairness.by}", name), measure.value, 0
        for group in fairness.groups:
            for name, measure in group.rates.items():
                yield _short(f"fairness/{fairness.by}/{group.name}", name), measure.value, 0


def backtest(found: Backtest) -> Iterator[Point]:
    """`backtest/<loss>` with the ends of its interval, and the loss of one answer for all; step: the period's place, oldest first."""
    for name, ones in (("backtest", found.origins), ("backtest.procedure", found.procedure)):
        for place, one in enumerate(ones):
            measure = one.loss
            for suffix, value in (("", measure.value), (".low", measure.low), (".high", measure.high), (".base", one.base)):
                if math.isfinite(value):
                    yield f"{name}/{found.loss}{suffix}", value, place


def search(tuned: Tuned) -> Iterator[Point]:
    """Loss and seconds of the leaderboard's lines, best first: step is the rank."""
    for rank, tried in enumerate(tuned.leaderboard):
        if math.isfinite(tried.loss):
            yield "search/loss", tried.loss, rank
        yield "search/seconds", tried.seconds, rank


def trial_params(tried: Tried) -> dict[str, str]:
    """MLflow parameters of one line of the leaderboard."""
    recipe = tried.recipe
    fixed = {"recipe": recipe.name, "rounds": recipe.rounds, "seed": recipe.seed, "fitted on": "all rows" if tried.full else "newest rows"}
    return {name: str(value) for name, value in {**fixed, **{f"xgboost.{k}": v for k, v in recipe.params.items()}}.items()}


def trial(tried: Tried, rank: int) -> Iterator[tuple[str, float]]:
    """Measures of one line of the leaderboard: its validation loss, its seconds, its rank (0: the best)."""
    if math.isfinite(tried.loss):
        yield "trial/loss", tried.loss
    yield "trial/seconds", tried.seconds
    yield "trial/rank", float(rank)


def settings(changes: Sequence[Change]) -> dict[str, str]:
    """MLflow parameters of an experiment: `set.<section>.<key>`."""
    return {_named(f"set.{change.key}"): change.now for change in changes}


def changed(changes: Sequence[Change]) -> str:
    """An experiment in one line."""
    return "; ".join(map(str, changes))


def gains(gains: Sequence[Gain]) -> Iterator[Point]:
    """`gain/<against>` with the ends of its interval."""
    for gain in gains:
        if gain.measure:
            for suffix, value in (("", gain.measure.value), (".low", gain.measure.low), (".high", gain.measure.high)):
                yield _named(f"gain/{gain.against}{suffix}"), value, 0


def _short(of: str, name: str) -> str:
    """A metric's name within the 250 characters that MLflow allows."""
    return f"{_named(of)[:200]}/{name}"


def _named(name: str) -> str:
    """As MLflow allows metric names: letters, digits and `_-. :/`."""
    return "".join(c if (c.isascii() and c.isalnum()) or c in "_-. :/" else "_" for c in name)


def leaderboard(tuned: Tuned) -> dict[str, Any]:
    """As MLflow's table viewer reads it (pandas' `split`)."""
    knobs = sorted({name for tried in tuned.leaderboard for name in tried.recipe.said})
    lines = [
        [rank, t.recipe.name, t.loss if math.isfinite(t.loss) else None, t.full, t.recipe.rounds, round(t.seconds, 3)]
        + [t.recipe.said.get(knob) for knob in knobs]
        for rank, t in enumerate(tuned.leaderboard)
    ]
    return {"columns": ["rank", "recipe", "loss", "full", "rounds", "seconds", *knobs], "data": lines}


def data_dvc(version: DataVersion) -> str:
    """The text that, with the remote alone, gives the data back: an empty `dvc init --no-scm` folder, this file, `dvc pull`."""
    return f"outs:\n- md5: {version.id}\n  size: {version.size_bytes}\n  hash: md5\n  path: data\n"


def note(tuned: Tuned, judged: Judged, changes: Sequence[Change] = (), gains: Sequence[Gain] = ()) -> str:
    """What the run's page says first."""
    lines = [
        *([f"**Experiment**: {changed(changes)}"] if changes else []),
        *(f"**Against {gain.against}**: {gain.said}" for gain in gains),
        f"**Recipe**: {judged.recipe_decision.outcome}. {judged.recipe_decision.reason}",
        f"**Refresh**: {judged.refresh_decision.outcome}. {judged.refresh_decision.reason}",
        f"**Search**: {tuned.verdict}",
        *([f"**Backtest**: {judged.backtest.said}"] if judged.backtest.said else []),
    ]
    return "\n\n".join(lines)
