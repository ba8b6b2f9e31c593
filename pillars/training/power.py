"""What the gate finds of gains that are there: true gains of known size, planted, and rows drawn from a population that is known whole.

The rows of a judged period are the population, so a gain over them is known and not estimated. A champion is made worse by a dose: its
scores are mixed with its own scores of other rows, drawn blindly, on every row; convex losses grow with the dose once they grow. The
dose of a gain is the one at which that recipe, its models' mean, loses just so much. The gate then judges another model against one of the
worse ones on rows of its own: blocks of the period drawn anew with replacement, as many as it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pillars.config import Gate
from pillars.training.gate import outcome, paired_gain
from pillars.training.metrics import average, losses, pooled
from pillars.training.noise import Field, clustered
from pillars.vocabulary import Power

DOSES = np.linspace(0, 1, 41) ** 2  # dense where the losses begin to grow
PLANTS = 60  # questions for each gain
STEPS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0)  # gains, in margins


@dataclass(frozen=True)
class _Population:
    """One period's field, with what each model says of other rows."""

    field: Field
    other: tuple[np.ndarray, ...]
    mean_loss: np.ndarray  # of the recipe at each dose

    def worse(self, model: int, dose: float) -> np.ndarray:
        """A model's scores at a dose."""
        return (1 - dose) * self.field.p[model] + dose * self.other[model]


def power(gate: Gate, fields: Sequence[Field], targets: Sequence[float], margin: float, seed: int) -> tuple[Power, ...]:
    """For each gain in `targets` (units of the loss, 0 or more): how often a challenger that is so much better is promoted.

    A gain that no dose reaches is left out.
    """
    populations = [_population(gate, field, seed + place) for place, field in enumerate(fields)]
    models = len(fields[0].p)
    found = []
    for place, target in enumerate(targets):
        doses = [dose for one in populations if (dose := _dose(one.mean_loss, target)) is not None]
        if len(doses) < len(populations):
            continue
        random = np.random.default_rng([seed, 6, place])
        chosen, said = np.empty((PLANTS, 2), dtype=np.int64), []
        for plant in range(PLANTS):
            one, dose = populations[plant % len(populations)], doses[plant % len(populations)]
            i, j = chosen[plant] = random.choice(models, 2, replace=False)
            rows, blocks = _sample(one.field, random)
            weights = None if one.field.weights is None else one.field.weights[rows]
            gain = paired_gain(gate, one.field.y[rows], one.worse(i, dose)[rows], one.field.p[j][rows], blocks, seed, weights)
            said.append(outcome(gain, margin))
        accepted, refused = (np.array([one == what for one in said], dtype=np.float64) for what in ("accept", "refuse"))
        rate = clustered(chosen, accepted, models, seed)
        true = float(np.mean([_true(gate, one, dose) for one, dose in zip(populations, doses, strict=True)]))
        found.append(Power(true, float(np.mean(doses)), PLANTS, rate, float(refused.mean())))
    return tuple(found)


def _population(gate: Gate, field: Field, seed: int) -> _Population:
    random = np.random.default_rng([seed, 7])
    other = tuple(p[random.permutation(len(p))] for p in field.p)
    one = _Population(field, other, np.empty(0))
    return _Population(field, other, np.array([_true(gate, one, float(dose)) for dose in DOSES]))


def _true(gate: Gate, one: _Population, dose: float) -> float:
    """What the recipe loses by a dose, over the whole population, mean of its models."""
    field = one.field
    lost = [average(losses(gate.loss, field.y, one.worse(k, dose)) - own, field.weights) for k, own in enumerate(field.losses(gate.loss))]
    return float(np.mean(lost))


def _dose(mean_loss: np.ndarray, target: float) -> float | None:
    """The dose at which the recipe has lost `target`; None where it never does."""
    if target == 0:
        return 0.0
    beyond = np.flatnonzero(mean_loss >= target)
    if len(beyond) == 0:
        return None
    at = int(beyond[0])
    return float(np.interp(target, mean_loss[at - 1 : at + 1], DOSES[at - 1 : at + 1]))


def _sample(field: Field, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the field's blocks, drawn with replacement, and the block of each: one drawn twice is two."""
    group, groups = pooled(field.blocks, 0)
    order = np.argsort(group, kind="stable")
    members = np.split(order, np.cumsum(np.bincount(group))[:-1])
    taken = [members[place] for place in random.integers(groups, size=groups)]
    return np.concatenate(taken), np.repeat(np.arange(groups), [len(one) for one in taken])
