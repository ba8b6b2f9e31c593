"""What the gate says of pairs that are equal in truth: models of one recipe that differ in seed and in the luck of their rows.

A model k has a seed of its own and is fitted on the fit rows with their blocks drawn anew, with replacement (Efron 1979, over blocks). No
model of two is better than the other but by that luck, so each promotion among them is a false one. Every pair asks two questions, one in
each direction: a challenger is as likely to be the one as the other, and both together vary less than one drawn at random.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pillars.config import Gate, Project, digest
from pillars.errors import TooFewRows
from pillars.stores import Stores
from pillars.training.fitting import Ground
from pillars.training.gate import outcome, too_few
from pillars.training.heldout import held_out
from pillars.training.metrics import LEVEL, Resampled, drawn, losses
from pillars.training.rows import Read, Rows, gather, newest, subset
from pillars.training.splits import Part, plan
from pillars.vocabulary import Measure, Recipe

MODELS = 40
LEAST_PAIRS = 200  # fewer say too little of a rate of 5 %
RESAMPLES = 2000  # of the models


@dataclass(frozen=True)
class Field:
    """The judged rows of one period, and what every model says of them: `p` has one array per model, as `metrics.losses` takes it.

    weights: how much each row counts, (n,); None where all count alike.
    """

    period: str
    y: np.ndarray
    blocks: np.ndarray
    p: tuple[np.ndarray, ...]
    weights: np.ndarray | None = None

    def losses(self, loss: str) -> list[np.ndarray]:
        """Loss of each row by model, each of shape (n,)."""
        return [losses(loss, self.y, p) for p in self.p]


def settings(project: Project, recipe: Recipe) -> str:
    """Digest of what the noise depends on beside the rows: features, split, target, the gate less its margins and limits, the recipe."""
    gate = project.gate.model_dump(mode="json", include={"loss", "min_rows", "resamples"})
    fits = project.section_digest(*project.learning, *project.fitting)
    how = [fits, gate, dict(recipe.params), recipe.rounds, recipe.bags, *([recipe.beyond] if recipe.beyond else [])]
    return digest(how)[:16]


def fields(
    stores: Stores,
    project: Project,
    read: Read,
    known: Sequence[str],
    judged: Sequence[str],
    recipe: Recipe,
    models: int,
    rows: int | None,
    tell: Callable[[str], None],
) -> tuple[Field, ...]:
    """Fit `models` models on what lies before the first judged period (its `rows` newest rows, where given), and score each period.

    `tell` is called once a model. A model that was scored before is not fitted again, whoever was killed since.

    Raises:
        UnknownName: a judged period has no outcomes.
        TooFewRows: no period lies before the judged ones, or one of those has too few rows for the gate to decide anything.
    """
    wanted = tuple(sorted(set(judged)))
    parts = [plan(project, known, period) for period in wanted]  # all of them, so that an unknown one is named
    if parts[0].twin_fit.cuts:
        raise TooFewRows(wanted[0], "no period with outcomes lies before it, to fit on")
    each = [gather(read, Part((period,))) for period in wanted]
    for period, part in zip(wanted, each, strict=True):
        if few := too_few(project.gate, part.blocks):
            raise TooFewRows(period, few)
    fit_rows = gather(read, parts[0].twin_fit)
    fit_rows, together = newest(fit_rows, rows) if rows else fit_rows, gather(read, Part(wanted))
    ends = np.cumsum([len(part.y) for part in each])[:-1]
    scores = []
    for model in range(models):
        seed = int(np.random.default_rng([project.search.seed, model, 3]).integers(2_000_000_000))
        ground = Ground(project, resampled(fit_rows, seed))
        one = replace(recipe, name=f"a/a {model}", seed=seed)
        scores.append(np.split(ground.fair(held_out(stores, ground, together, one, stores.threads).p), ends))
        tell(f"model {model + 1}")
    return tuple(
        Field(period, part.y, part.blocks, tuple(of[place] for of in scores), part.weights)
        for place, (period, part) in enumerate(zip(wanted, each, strict=True))
    )


def resampled(rows: Rows, seed: int) -> Rows:
    """The rows with their blocks drawn with replacement, as many as there are; in the order they had."""
    distinct, of = np.unique(rows.blocks, return_inverse=True)
    times = np.random.default_rng([seed, 4]).multinomial(len(distinct), np.full(len(distinct), 1 / len(distinct)))
    return subset(rows, np.repeat(np.arange(len(rows.y)), times[of]))


def pairs(models: int, most: int, seed: int) -> np.ndarray:
    """Distinct pairs of models, int64, shape (pairs, 2); all of them, or `most` drawn at random where `most` is above 0 and fewer."""
    found = np.array([(i, j) for i in range(models) for j in range(i + 1, models)], dtype=np.int64).reshape(-1, 2)
    if not 0 < most < len(found):
        return found
    return found[np.sort(np.random.default_rng([seed, 5]).permutation(len(found))[:most])]


def gains(gate: Gate, fields: Sequence[Field], chosen: np.ndarray, seed: int, by_row: bool = False) -> np.ndarray:
    """What the gate measures of each pair in each period: value, low and high of the second over the first, shape (pairs, periods, 3)."""
    found = np.empty((len(chosen), len(fields), 3))
    for place, field in enumerate(fields):
        of_model, resampled = (
            field.losses(gate.loss),
            Resampled.of(np.arange(len(field.y)) if by_row else field.blocks, seed, gate.resamples),
        )
        for pair, (i, j) in enumerate(chosen):
            gain = resampled.mean(of_model[i] - of_model[j], field.weights)
            found[pair, place] = gain.value, gain.low, gain.high
    return found


def promoted(found: np.ndarray, margin: float) -> np.ndarray:
    """Share of the questions of each pair and period that the gate answers with a promotion, 0, 1/2 or 1, shape (pairs, periods)."""
    there, back = (
        np.array([[outcome(Measure(*gain), margin) == "accept" for gain in pair] for pair in way]) for way in (found, turned(found))
    )
    return (there.astype(np.float64) + back) / 2


def turned(found: np.ndarray) -> np.ndarray:
    """The gains of the first over the second."""
    return np.stack([-found[..., 0], -found[..., 2], -found[..., 1]], axis=-1)


def plain(found: np.ndarray) -> np.ndarray:
    """As `promoted`, by a gate that asks only whether the loss is no higher; of two, one always is."""
    return ((found[..., 0] >= 0).astype(np.float64) + (found[..., 0] <= 0)) / 2


def clustered(chosen: np.ndarray, share: np.ndarray, models: int, seed: int) -> Measure:
    """The mean of a figure of pairs, in [0, 1], with its interval over models: two pairs that share a model are not independent.

    Models are drawn with replacement, a pair counts as often as the product of its two models' counts, and a model with itself not at all
    (Owen 2007, the pigeonhole bootstrap; Snijders and Borgatti 1999 for pairs of one set). Where all pairs agree a bootstrap knows no
    width: the interval is then Clopper and Pearson's (1934) of `models // 2` pairs that share none.
    """
    value, alone = float(share.mean()), max(1, min(models // 2, len(share)))
    width = 1 - ((1 - LEVEL) / 2) ** (1 / alone)
    if value in (0.0, 1.0):
        return Measure(value, 0.0 if value == 0 else 1 - width, width if value == 0 else 1.0, LEVEL)
    times = drawn(models, seed, RESAMPLES)
    weights = times[:, chosen[:, 0]] * times[:, chosen[:, 1]]
    total = weights.sum(axis=1)
    rates = (weights @ share)[total > 0] / total[total > 0]
    low, high = np.quantile(rates, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Measure(value, min(float(low), value), max(float(high), value), LEVEL)


def smallest_margin(found: np.ndarray, rate: float) -> float:
    """The smallest margin, 0 or more, at which at most `rate` of all questions promote, in units of the loss."""
    lows = np.sort(np.concatenate([found[..., 1].ravel(), turned(found)[..., 1].ravel()]))[::-1]
    return max(0.0, float(lows[int(rate * len(lows))]))


def sure_margin(chosen: np.ndarray, found: np.ndarray, models: int, rate: float, seed: int) -> float | None:
    """The smallest margin, of some, at which even the upper end of the rate is no higher than `rate`; None where there is none."""
    lows = np.concatenate([found[..., 1].ravel(), turned(found)[..., 1].ravel()])
    start = smallest_margin(found, rate)
    tried = (
        np.unique(np.concatenate([[start], np.quantile(lows[lows >= start], np.linspace(0, 1, 40))])) if (lows >= start).any() else [start]
    )
    return next(
        (float(m) for m in tried if clustered(chosen, promoted(found, float(m)).mean(axis=1), models, seed).high <= rate),
        None,
    )
