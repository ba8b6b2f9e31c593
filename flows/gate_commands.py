"""What the command says of the gate's own noise."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path

import click
import yaml

from flows import terminal
from pillars.errors import ConfigInvalid
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import GateNoise


def calibrate(
    project: str, periods: list[str], models: int, pairs: int, rate: float, rows: int | None, *, write: bool, as_json: bool
) -> None:
    """Calibrate, print, and put the margin into the YAML where that was asked for. Raises: UnknownName, TooFewRows, ConfigInvalid."""
    given = {"project": project, "periods": periods or None, "models": models, "pairs": pairs, "rate": rate, "rows": rows}
    found: GateNoise = terminal.perform("calibrate", given)
    wanted = rounded_up(found.smallest)
    written = write and found.margin < wanted and _put(Stores().config_file(project), wanted)
    if as_json:
        click.echo(json.dumps(asdict(found) | {"accepted": bool(found.asked), "written": written}, indent=2))
        return
    _tell(found)
    if written:
        click.echo(f"\nwritten: gate.margin {wanted:g}; the next run asks for --continue")
    elif found.margin < wanted:
        click.echo(f"\nnothing was written; with --write: gate.margin {wanted:g}")


def show(project: str, *, as_json: bool) -> int:
    """Print the newest calibration and whether it still holds; 0 when the margin stands on it, else 1."""
    from pillars import answers, project_file

    stores = Stores()
    found, standing = answers.gate(stores, project_file.load(stores.config_file(project)))
    if as_json:
        click.echo(json.dumps({"calibrated": asdict(found) if found else None, **asdict(standing)}, indent=2))
    else:
        if found:
            _tell(found)
            click.echo()
        click.echo(standing.said)
    return 0 if standing.holds else 1


def rounded_up(margin: float) -> float:
    """To two figures, never down: what a person writes into a YAML."""
    if margin <= 0:
        return 0.0
    unit = 10.0 ** (math.floor(math.log10(margin)) - 1)
    return float(f"{math.ceil(margin / unit - 1e-9) * unit:.12g}")


def with_margin(name: str, text: str, margin: float) -> str:
    """The YAML's text with another `gate.margin`; every other character stays. Raises: ConfigInvalid, where it has none to replace."""
    at: yaml.Node | None = yaml.compose(text)
    for key in ("gate", "margin"):
        pairs = at.value if isinstance(at, yaml.MappingNode) else []
        at = next((value for known, value in pairs if known.value == key), None)
    if not isinstance(at, yaml.ScalarNode):
        raise ConfigInvalid(name, [f"gate.margin: the file does not name it; add margin: {margin:g} under gate"])
    return f"{text[: at.start_mark.index]}{margin:g}{text[at.end_mark.index :]}"


def _put(file: Path, margin: float) -> bool:
    from pillars import project_file

    before = file.read_bytes().decode()
    write_atomically(file, with_margin(file.name, before, margin).encode())
    try:
        project_file.load(file)
    except ConfigInvalid:
        write_atomically(file, before.encode())
        raise
    return True


def _tell(found: GateNoise) -> None:
    rows = f"{found.rows} newest rows" if found.rows else "all rows"
    click.echo(
        f"{found.pairs} pairs of {found.models} models, fitted on {rows} before {found.periods[0]}, judged on {', '.join(found.periods)}"
    )
    click.echo(f"\n{'promoted, of two that are equal':<44}{'share':>8}   95 % over models")
    for what, rate in found.rates.items():
        click.echo(f"{what:<44}{rate.value:>8.3f}   [{rate.low:.3f}, {rate.high:.3f}]")
    sure = f"{found.sure:.2g}" if found.sure is not None else "none that was tried"
    click.echo(f"\nsmallest margin for a rate of {found.rate:g}: {found.smallest:.2g} {found.loss}; for its upper end: {sure}")
    click.echo(f"\n{'true gain, ' + found.loss:<44}{'promoted':>8}   95 % over models   refused")
    for one in found.power:
        rate = one.promoted
        click.echo(f"{one.gain:<44.5f}{rate.value:>8.3f}   [{rate.low:.3f}, {rate.high:.3f}]     {one.refused:.3f}")
    click.echo(f"\n{found.asked.reason}\nvar/{found.path}, var/{found.picture}")
