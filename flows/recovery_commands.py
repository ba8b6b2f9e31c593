"""What the command does to keep an installation: one file with everything, checked, and put somewhere else."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import click

from flows import terminal
from pillars.stores import Stores


def backup(file: Path, *, as_json: bool) -> None:
    """Write a backup. Raises: StoreUnavailable, Busy."""
    from pillars.recovery.backup import backup as make
    from tasks import progress

    with terminal.watched():
        made = make(Stores(), file.resolve(), datetime.now(UTC), lambda done, total: progress.tell("backup", done, total))
    terminal.show(asdict(made), as_json)
    _say_elsewhere(made.elsewhere)


def check(file: Path, *, as_json: bool) -> None:
    """Verify a backup. Raises: ArchiveRefused, StoreUnavailable."""
    from pillars.recovery.restore import check as verify
    from tasks import progress

    with terminal.watched():
        found = verify(file.resolve(), progress.tell)
    told = {"file": str(file), "created": found.created, "members": len(found.members), "bytes": found.bytes}
    terminal.show(told | {"branches": sorted(found.branches), "tags": sorted(found.tags), "elsewhere": list(found.elsewhere)}, as_json)


def restore(file: Path, *, as_json: bool) -> None:
    """Restore a backup here. Raises: ArchiveRefused, StoreUnavailable, LedgerBroken, Busy."""
    from pillars.recovery.restore import restore as place
    from tasks import progress

    with terminal.watched():
        done = place(Stores(), file.resolve(), progress.tell)
    terminal.show(asdict(done), as_json)
    _say_elsewhere(done.elsewhere)


def _say_elsewhere(elsewhere: tuple[str, ...]) -> None:
    for what in elsewhere:
        click.echo(f"not in it: {what}", err=True)
