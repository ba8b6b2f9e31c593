"""What the gates cost and what retraining is worth: the loop's own predictions against two plain policies, month by month.

    python -m bench.quality        # after `pillars run`; fits nine models, some minutes

loop      predictions on record, made by the champion of the moment before the outcomes were looked at
ungated   the prior recipe, refitted every month on all earlier months, released without a gate
stock     XGBoost's default parameters, refitted every month likewise
never     the prior recipe, fitted once on all months before the first one compared
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pyarrow as pa

from pillars import project_file
from pillars.answers import history
from pillars.bundle import booster
from pillars.config import Project
from pillars.data import collection, versions
from pillars.development import features, models
from pillars.errors import UnknownName
from pillars.monitoring import performance
from pillars.stores import Stores
from pillars.training.fitting import Ground, fit
from pillars.training.metrics import auc, losses, mean
from pillars.training.rows import Rows, gather
from pillars.training.splits import Part
from pillars.vocabulary import Measure, Recipe, Scored

FIRST = "2013-04"  # the first month compared: three months are there to learn from


@dataclass(frozen=True)
class Month:
    """One month's outcomes, blocks and probabilities by policy; arrays of shape (n,)."""

    period: str
    y: np.ndarray
    blocks: np.ndarray
    p: dict[str, np.ndarray]


def main(arguments: Sequence[str] = ()) -> None:
    """Print the table, or JSON."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--json", action="store_true")
    as_json = asked.parse_args(arguments).json
    months = judged(Stores(), "flights")
    policies = list(months[0].p)
    means = {name: _means(months, name) for name in policies}
    gains = {name: gain(months, "loop", name) for name in policies if name != "loop"}
    if as_json:
        print(json.dumps({"means": means, "gain of the loop": {k: [g.value, g.low, g.high] for k, g in gains.items()}}, indent=1))
        return
    print(f"{'month':8}" + "".join(f"{name + ' LL':>12}{name + ' AUC':>12}" for name in policies))
    for month in months:
        print(f"{month.period:8}" + "".join(f"{_loss(month, n):>12.4f}{auc(month.y, month.p[n]):>12.4f}" for n in policies))
    print(f"{'mean':8}" + "".join(f"{means[n]['log_loss']:>12.4f}{means[n]['auc']:>12.4f}" for n in policies))
    for name, measure in gains.items():
        print(f"the loop's gain in mean log loss over {name}: {measure} (95 %, resampled by day)")


def judged(stores: Stores, name: str) -> list[Month]:
    """Every month from FIRST with the loop's predictions and those of the plain policies.

    Raises:
        UnknownName: the loop has not been through these months.
    """
    project = project_file.load(stores.config_file(name))
    told = history.read(stores, name).chapters
    chapters = {c.period: c.scored for c in told if c.scored is not None and c.scored.rows and c.period >= FIRST}
    version = versions.head(stores, project)
    if version is None or not chapters:
        raise UnknownName("scored period", FIRST, [])
    read = features.reader(project, version.id, partial(versions.read, stores, version))
    known = sorted(version.periods)
    prior, stock = models.prior_recipe(project), models.stock_recipe(project)
    never = _fitted(stores, project, gather(read, Part(tuple(p for p in known if p < FIRST))), prior)
    months = []
    for period in sorted(chapters):
        rows = gather(read, Part((period,)))
        earlier = gather(read, Part(tuple(p for p in known if p < period)))
        refitted = {"ungated": _fitted(stores, project, earlier, prior), "stock": _fitted(stores, project, earlier, stock)}
        loop = _on_record(stores, project, chapters[period], versions.read(stores, version, "outcomes", [period]), rows)
        months.append(
            Month(period, rows.y, rows.blocks, {"loop": loop, **{n: scored(rows) for n, scored in refitted.items()}, "never": never(rows)})
        )
    return months


def _fitted(stores: Stores, project: Project, rows: Rows, recipe: Recipe) -> Callable[[Rows], np.ndarray]:
    """A recipe fitted on rows: a function from rows to probabilities, float64, shape (n,)."""
    ground = Ground(project, rows)
    boosters = booster.load(fit(ground, recipe, stores.threads), stores.threads)
    return lambda asked: booster.scores(boosters, ground.encoder.encode(asked.columns))


def _on_record(stores: Stores, project: Project, scored: Scored, outcomes: pa.Table, rows: Rows) -> np.ndarray:
    """The loop's probabilities in the order of `rows` (both are sorted by key)."""
    table = performance.joined(project, collection.read_collected(stores, scored.path, scored.sha256), outcomes)
    if table.num_rows != len(rows.y):
        raise UnknownName("prediction for every judged row of", scored.period, [])
    return table["score"].to_numpy()


def gain(months: Sequence[Month], ours: str, theirs: str) -> Measure:
    """How much lower the mean of the monthly log losses is, with its interval over days. Months count alike, whatever their rows."""
    total = sum(len(m.y) for m in months)
    per_row = [
        (losses("log_loss", m.y, m.p[theirs]) - losses("log_loss", m.y, m.p[ours])) * total / (len(months) * len(m.y)) for m in months
    ]
    return mean(np.concatenate(per_row), np.concatenate([m.blocks for m in months]), seed=0, resamples=2000)


def _means(months: Sequence[Month], name: str) -> dict[str, float]:
    return {
        "log_loss": float(np.mean([_loss(m, name) for m in months])),
        "auc": float(np.mean([auc(m.y, m.p[name]) for m in months])),
    }


def _loss(month: Month, name: str) -> float:
    return float(losses("log_loss", month.y, month.p[name]).mean())


if __name__ == "__main__":
    main(sys.argv[1:])
