"""What the command says of two registered versions."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import click

from flows import terminal
from flows.experiment_commands import scorecards
from pillars.vocabulary import Attribution


def compare(words: Sequence[str], *, attribute: bool, as_json: bool) -> None:
    """Print two versions side by side, and with `attribute` what moved the loss from one to the other.

    Raises: UsageError, UnknownName, BundleRefused, RebuildFailed, DataCorrupt, TooFewRows, StoreUnavailable.
    """
    from pillars import project_file
    from pillars.answers import compared
    from pillars.stores import Stores

    if len(words) not in (2, 3):
        raise click.UsageError("name two versions (numbers, champion, newest) and at most a project; nothing was done")
    stores = Stores()
    project = project_file.load(stores.config_file(words[2] if len(words) == 3 else "flights"))
    one, other = (compared.numbered(stores, project, word) for word in words[:2])
    if one == other:
        raise click.UsageError(f"{words[0]} and {words[1]} are one version, v{one}; nothing was done")
    found = compared.compared(stores, project, one, other)
    moved = _attributed(project.project, one, other) if attribute else None
    if as_json:
        click.echo(json.dumps(asdict(found) | ({"attribution": asdict(moved)} if moved else {}), indent=2))
        return
    _tell(found)
    if moved:
        _tell_moved(moved)


def _attributed(project: str, one: int, other: int) -> Attribution:
    found: Attribution = terminal.perform("compare", {"project": project, "one": str(one), "other": str(other)})
    return found


def _tell(found: object) -> None:
    from pillars.answers.compared import Compared

    assert isinstance(found, Compared)
    one, other = f"v{found.one}", f"v{found.other}"
    rows = [(fact.name, fact.one, fact.other, "differs" if fact.differs else "") for fact in found.facts]
    _table(f"{found.project} {one} and {other}", ("", one, other, ""), rows)
    for change in found.changes:
        click.echo(f"    {change}")
    if found.trained:
        scorecards("each in its own training", found.trained)
    if found.judged:
        scorecards("on the same rows, which neither was fitted on", found.judged)
    click.echo(f"{other} against {one}: {found.gain.said}")
    for note in found.notes:
        click.echo(f"    {note}")


def _tell_moved(moved: Attribution) -> None:
    one, other = f"v{moved.one}", f"v{moved.other}"
    rows = [(each.factor, each.one, each.other, str(each.forward), str(each.backward), each.said) for each in moved.factors]
    rows.append(("interaction", "", "", str(moved.interaction_forward), str(moved.interaction_backward), ""))
    heads = ("factor", one, other, f"{one} takes {other}'s", f"{other} without it", f"{other}'s is")
    click.echo()
    _table(f"{moved.loss} gain {one} to {other}: {moved.total}, {moved.rows:,} rows of {moved.judged_on}", heads, rows)
    for note in moved.notes:
        click.echo(f"    {note}")


def _table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        table.add_row(*row)
    Console(width=None if sys.stdout.isatty() else 140, markup=False, highlight=False).print(table)
