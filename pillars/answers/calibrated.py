"""Whether the gate's margin stands on a calibration, and on one of the settings of today."""

from __future__ import annotations

from dataclasses import dataclass

from pillars.answers.history import facts_of
from pillars.config import Project
from pillars.development.models import prior_recipe
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.training import noise
from pillars.vocabulary import GateNoise


@dataclass(frozen=True)
class Standing:
    """`holds`: the margin is at or above the calibrated one, which was found with the settings of today."""

    holds: bool
    said: str


def gate(stores: Stores, project: Project) -> tuple[GateNoise | None, Standing]:
    """The newest calibration since the project was last reset, and what it says of the YAML of today."""
    name, margin = project.project, project.gate.margin
    entry = Ledger(stores).latest(name, "gate")
    if entry is None:
        return None, Standing(False, f"margin {margin:g}, never calibrated; pillars gate calibrate {name}")
    found = facts_of(entry, GateNoise)
    if found.settings != (today := noise.settings(project, prior_recipe(project))):
        said = (
            f"calibrated for settings {found.settings}, now {today} (features, split, gate or prior): stale; pillars gate calibrate {name}"
        )
        return found, Standing(False, f"margin {margin:g}, {said}")
    said = f"calibrated {found.smallest:.2g} {found.loss} for settings {found.settings} on {', '.join(found.periods)}"
    if margin < found.smallest:
        return found, Standing(False, f"margin {margin:g} is below it: {said}; pillars gate calibrate {name} --write")
    few = "" if found.pairs >= noise.LEAST_PAIRS else f"; {found.pairs} pairs, {noise.LEAST_PAIRS} say enough"
    return found, Standing(not few, f"margin {margin:g} is at or above it: {said}{few}")
