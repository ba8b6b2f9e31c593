"""The gate held against pairs that are equal in truth and gains that are there, in one value with its picture."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace

import numpy as np

from pillars.config import Project, digest
from pillars.stores import Stores, write_atomically
from pillars.training import noise
from pillars.training.power import STEPS, power
from pillars.training.rows import Read
from pillars.vocabulary import GateNoise, Measure, Recipe

CURVE = 21  # margins of the curve


def measure(
    stores: Stores,
    project: Project,
    read: Read,
    known: Sequence[str],
    judged: Sequence[str],
    recipe: Recipe,
    data_version: str,
    *,
    models: int = noise.MODELS,
    pairs: int = 0,
    rate: float = 0.05,
    rows: int | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> GateNoise:
    """Rates of false promotions by four gates, the margin that holds `rate`, and the power there; nothing is written but fits.

    `pairs`: 0 takes all. Raises: as `noise.fields`.
    """
    gate, seed = project.gate, project.search.seed
    fields = noise.fields(stores, project, read, known, judged, recipe, models, rows, tell)
    chosen = noise.pairs(models, pairs, seed)
    found, by_row = noise.gains(gate, fields, chosen, seed), noise.gains(gate, fields, chosen, seed, by_row=True)
    tell("pairs")

    def over_models(share: np.ndarray) -> Measure:
        return noise.clustered(chosen, share.mean(axis=1), models, seed)

    smallest, now = noise.smallest_margin(found, rate), noise.promoted(found, gate.margin)
    held = max(gate.margin, smallest)
    unit = held or float(np.abs(found[..., 0]).mean())
    margins = np.linspace(0, 2 * unit, CURVE)
    at = [over_models(noise.promoted(found, float(m))) for m in margins]
    planted = power(gate, fields, [step * unit for step in STEPS], held, seed)
    tell("planted gains")
    return GateNoise(
        project=project.project,
        settings=noise.settings(project, recipe),
        data_version=data_version,
        periods=tuple(field.period for field in fields),
        models=models,
        pairs=len(chosen),
        rows=rows or 0,
        loss=gate.loss,
        rate=rate,
        margin=gate.margin,
        plain=over_models(noise.plain(found)),
        by_row=over_models(noise.promoted(by_row, 0.0)),
        by_block=over_models(noise.promoted(found, 0.0)),
        at_margin=over_models(now),
        by_period={field.period: float(now[:, place].mean()) for place, field in enumerate(fields)},
        smallest=smallest,
        at_smallest=over_models(noise.promoted(found, smallest)),
        sure=noise.sure_margin(chosen, found, models, rate, seed),
        curve=tuple((float(m), one.value, one.low, one.high) for m, one in zip(margins, at, strict=True)),
        power=planted,
    )


def write(stores: Stores, found: GateNoise) -> GateNoise:
    """The value as JSON and as a picture under `var`; equal values write the same files."""
    name = f"{found.settings}-{digest(asdict(replace(found, path='', picture='')))[:12]}"
    folder = stores.folder("gate", found.project)
    said = replace(found, path=stores.relative(folder / f"{name}.json"), picture=stores.relative(folder / f"{name}.png"))
    write_atomically(folder / f"{name}.png", drawn(found))
    write_atomically(folder / f"{name}.json", json.dumps(asdict(said), indent=2).encode())
    return said


def drawn(found: GateNoise) -> bytes:
    """Two pictures in one PNG: false promotions over the margin, promotions over the true gain."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), dpi=90, layout="constrained")
    FigureCanvasAgg(figure)
    false, true = figure.subplots(1, 2)
    margins, rates, lows, highs = np.array(found.curve).T
    false.fill_between(margins, lows, highs, color="#1f6feb", alpha=0.15, linewidth=0, label="95 % over models")
    false.plot(margins, rates, color="#1f6feb", label="by the gate")
    false.axhline(found.rate, color="#9ca3af", linewidth=1, linestyle=":", label=f"asked for: {found.rate:g}")
    false.axvline(found.margin, color="#d97706", linewidth=1, linestyle="--", label=f"margin of the YAML: {found.margin:g}")
    false.set(title=f"False promotions, {found.pairs} pairs of {found.models} models", xlabel=f"margin, {found.loss}", ylabel="share")
    false.set_ylim(bottom=0)
    if found.power:
        gain = [one.gain for one in found.power]
        rate = np.array([one.promoted.value for one in found.power])
        bars = np.abs(np.array([(one.promoted.low, one.promoted.high) for one in found.power]).T - rate)
        true.errorbar(gain, rate, bars, color="#1f6feb", marker="o", markersize=3, linewidth=1, capsize=2, label="promoted")
    held = max(found.margin, found.smallest)
    true.axvline(held, color="#d97706", linewidth=1, linestyle="--", label=f"margin: {held:.2g}")
    plants = sum(one.plants for one in found.power)
    true.set(title=f"Promotions of true gains, {plants} planted", xlabel=f"true gain, {found.loss}", ylabel="share", ylim=(-0.02, 1.02))
    for axes in (false, true):
        axes.locator_params(axis="x", nbins=5)
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, fontsize=8)
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
