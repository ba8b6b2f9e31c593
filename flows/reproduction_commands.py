"""What the command says of versions made again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click

from flows import terminal
from pillars.vocabulary import Reproduction


def reproduce(words: Sequence[str], *, every: bool, epsilon: float | None, as_json: bool) -> int:
    """Print a verdict per version; 0 when all are IDENTICAL, or EQUIVALENT within an epsilon that was asked for, else 1.

    Raises: UsageError, UnknownName, DataCorrupt, RebuildFailed, BundleRefused.
    """
    version, project = _asked(words, every)
    given = {} if epsilon is None else {"epsilon": epsilon}
    found: tuple[Reproduction, ...] = terminal.perform("reproduce", {"project": project, "version": version, **given})
    if as_json:
        click.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        for one in found:
            _tell(one)
    enough = ("IDENTICAL",) if epsilon is None else ("IDENTICAL", "EQUIVALENT")
    return 0 if all(one.verdict in enough for one in found) else 1


def _asked(words: Sequence[str], every: bool) -> tuple[str, str]:
    """Version and project. Raises: UsageError."""
    if every:
        if len(words) > 1:
            raise click.UsageError("--all takes a project and no version; nothing was done")
        return "all", words[0] if words else "flights"
    if not words:
        raise click.UsageError("name a version (a number, champion, newest, random), or say --all")
    if len(words) > 2:
        raise click.UsageError("a version and a project, no more; nothing was done")
    return words[0], words[1] if len(words) == 2 else "flights"


def _tell(one: Reproduction) -> None:
    click.echo(f"{one.verdict:<10}  v{one.version}  {one.recorded[:12]}  {one.reason}")
    for factor in one.factors:
        click.echo(f"    not as recorded: {factor}")
    for note in one.notes:
        click.echo(f"    {note}")
