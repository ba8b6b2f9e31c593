"""Pillar 3, beside the cycle: the gate held against its own noise."""

from __future__ import annotations

from pillars.data import versions
from pillars.development import models
from pillars.errors import UnknownName
from pillars.training import measuring, noise
from pillars.vocabulary import DataVersion, GateNoise, Json
from tasks import progress
from tasks.opened import Opened
from tasks.policy import step
from tasks.training import labelled


def newest(opened: Opened) -> tuple[DataVersion, list[str]]:
    """The newest data version, and its periods with outcomes. Raises: UnknownName."""
    version = versions.head(opened.stores, opened.config)
    if version is None:
        raise UnknownName("data version", "newest", [])
    known = sorted(versions.with_outcomes(opened.stores, version))
    if not known:
        raise UnknownName("period with outcomes", "newest", [])
    return version, known


def asked(
    opened: Opened, version: DataVersion, periods: list[str], models_: int, pairs: int, rate: float, rows: int | None
) -> dict[str, Json]:
    """What a calibration is a function of."""
    return {
        "data_version": version.id,
        "settings": noise.settings(opened.config, models.prior_recipe(opened.config)),
        "seed": opened.config.search.seed,
        "margin": opened.config.gate.margin,
        "periods": list(periods),
        "models": models_,
        "pairs": pairs,
        "rate": rate,
        "rows": rows or 0,
    }


@step("calibrate gate")
def measure(
    opened: Opened, version: DataVersion, known: list[str], periods: list[str], count: int, pairs: int, rate: float, rows: int | None
) -> GateNoise:
    """Fit, pair, plant. Fits that a killed run has finished are not repeated."""
    recipe, read = models.prior_recipe(opened.config), labelled(opened, version)
    with progress.counted(f"calibrate {opened.name}", count + 2) as told:
        return measuring.measure(
            opened.stores,
            opened.config,
            read,
            known,
            periods,
            recipe,
            version.id,
            models=count,
            pairs=pairs,
            rate=rate,
            rows=rows,
            tell=told,
        )


@step("write calibration", retries=2)
def write(opened: Opened, found: GateNoise) -> GateNoise:
    """As JSON and as a picture."""
    return measuring.write(opened.stores, found)
