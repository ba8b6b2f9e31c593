"""What the command says of a drill."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from flows import terminal
from pillars.drill.faults import STRATEGIES, false_alarms, holds, problems
from pillars.vocabulary import Drilled, Played


def drill(project: str, strategies: Sequence[str], faults: Sequence[str], controls: int, *, every: bool, as_json: bool) -> int:
    """Play, and print what it came to; 0 where all holds, else 1. Raises: UnknownName, StoreUnavailable, BundleRefused."""
    from pillars import project_file
    from pillars.drill import place
    from pillars.stores import Stores

    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    place.champion(stores, opened)  # before a Prefect server is started for nothing
    chosen = list(STRATEGIES) if every else list(dict.fromkeys(strategies)) or None
    given = {"project": project, "strategies": chosen, "faults": list(dict.fromkeys(faults)) or None, "controls": controls}
    drilled: Drilled = terminal.perform("drill", given)
    well = holds(drilled, opened.rollout.judge.alpha)
    if as_json:
        alarms, clean = false_alarms(drilled.plays)
        plays = [asdict(played) | {"problems": problems(played)} for played in drilled.plays]
        click.echo(json.dumps(asdict(drilled) | {"plays": plays, "false_alarms": alarms, "clean_runs": clean, "holds": well}, indent=2))
    else:
        _tell(drilled, well)
    return 0 if well else 1


def _tell(drilled: Drilled, well: bool) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{drilled.project}: v{drilled.version} under {len(drilled.plays)} plays", title_justify="left")
    for name in ("strategy", "fault", "end", "after s", "harmed", "seen of it, noticed by"):
        table.add_column(name, justify="right" if name in ("after s", "harmed") else "left")
    for played in drilled.plays:
        table.add_row(*cells(played))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    alarms, clean = false_alarms(drilled.plays)
    click.echo(f"\n{alarms} of {clean} clean runs were taken back; {drilled.seconds:.0f} s")
    for played in drilled.plays:
        for wrong in problems(played):
            click.echo(f"NOT HELD  {played.strategy}, {played.fault}: {wrong}")
    click.echo("all of it held" if well else "not all of it held")


def cells(played: Played) -> tuple[str, ...]:
    """A play as a row of the table."""
    name = "(no fault)" if played.fault == "none" else played.fault
    if played.expected.outcome == "not judged":
        return played.strategy, name, "not judged", "", "", played.expected.why
    after = "" if played.seconds is None else f"{played.seconds:.1f}"
    by = f"; {played.detected}" if played.detected else f"; harmless: {played.expected.why}" if played.end != "taken back" else ""
    return played.strategy, name, played.end, after, f"{played.harmed} of {played.requests}", f"{played.injected or 'NOT SEEN'}{by}"
