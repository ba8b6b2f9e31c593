"""What the command says of a training with other settings."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from flows import terminal
from pillars.vocabulary import Experiment, Leakage, Scorecard


def experiment(project: str, period: str | None, settings: Sequence[str], *, as_json: bool) -> None:
    """Train with other settings than the YAML's, and print what that gained. Raises: ConfigInvalid, UnknownName, TooFewRows."""
    found: Experiment | Leakage = terminal.perform("train", {"project": project, "period": period, "settings": tuple(settings)})
    if isinstance(found, Leakage):
        return terminal.show(found, as_json)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2))
        return
    click.echo(f"experiment on {found.project}, outcomes through {found.period}, data {found.data_version[:12]}")
    for change in found.changes:
        click.echo(f"    {change}")
    click.echo(f"recipe {found.recipe.name}, {found.recipe.rounds} rounds; {found.verdict}")
    for gain in found.gains:
        click.echo(f"against {gain.against}: {gain.said}")
    for condition in found.conditions:
        click.echo(f"condition {condition.name}: {condition.decision.outcome}, {condition.decision.reason}")
    scorecards(f"judged on {found.period}", found.scorecards)
    click.echo(f"MLflow run {found.run_id}. Nothing was released; to keep these settings, put them into the YAML and train.")


def scorecards(title: str, cards: Sequence[Scorecard]) -> None:
    """A table with a line per measure and a column per model."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    table.add_column("")
    for card in cards:
        table.add_column(card.model, justify="right")
    for name in dict.fromkeys(name for card in cards for name in card.measures):
        table.add_row(name, *(str(card.measures.get(name, "-")) for card in cards))
    table.add_row("rows", *(f"{card.rows:,} of {card.rows_of}" for card in cards))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
