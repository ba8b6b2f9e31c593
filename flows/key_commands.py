"""What the command says of keys, and their rotation. A key itself is never printed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict

import click

from flows import terminal
from pillars.stores import Stores


def show(*, as_json: bool) -> None:
    """Print which keys there are and how many files each one seals. Raises: StoreUnavailable."""
    from pillars.data import keyring, sealing

    stores = Stores()
    ring = keyring.ring(stores) if (stores.var / keyring.FILE).exists() else None
    counts = Counter(sealing.key_of(stores, path) for path in sealing.files(stores))
    names = [] if ring is None else list(ring.keys)
    unreadable = {name: files for name, files in sorted(counts.items()) if name not in names}
    told = {
        "installation_key": "PILLARS_KEY" if stores.key else "var/keys/secret",
        "file_keys": [{"id": name, "seals": bool(ring and name == ring.newest), "files": counts[name]} for name in names],
        "data_keys": [] if ring is None else [{"project": project, "id": key.id} for project, key in ring.data.items()],
        "unreadable": unreadable,
    }
    if as_json:
        click.echo(json.dumps(told, indent=2))
        return
    click.echo(f"installation's key   {told['installation_key']}")
    for name in names:
        click.echo(f"file key {name}    {counts[name]:>8,} files{', seals what comes' if ring and name == ring.newest else ''}")
    for project, key in ring.data.items() if ring else ():
        click.echo(f"data key {key.id}    seals the data set of {project}; a rotation wraps it anew and changes no version")
    if not names:
        click.echo("file keys            none: no project has personal or sensitive columns yet")
    for name, files in unreadable.items():
        click.echo(f"NOT on the ring: {name}, {files:,} files that nobody can read")


def rotate(*, as_json: bool) -> None:
    """Seal all files anew with a new key and drop the old ones. Raises: StoreUnavailable, DataCorrupt, Busy."""
    from pillars.data import sealing
    from tasks import progress

    stores = Stores()
    with terminal.watched():
        files = sum(1 for _ in sealing.files(stores))
        done = sealing.rotate(stores, lambda n: progress.tell("rotate", n, max(n, files)))
    terminal.show(asdict(done), as_json)


def destroy(project: str, given: str, agreed: Callable[[str], bool], *, as_json: bool) -> None:
    """Destroy the keys of the persons in `given`, a name a line. Raises: UsageError, StoreUnavailable, Busy."""
    from pillars import project_file
    from pillars.data import subjects

    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    if opened.privacy.subject is None:
        raise click.UsageError(
            f"configs/{project}.yaml has no privacy.subject: its persons have no keys of their own. Nothing was changed."
        )
    persons = [line for line in given.splitlines() if line]
    if not agreed(f"Destroy the keys of {len(persons)} persons for ever? What is known of them can be linked to nobody then."):
        raise click.ClickException("nothing was changed. To destroy them without being asked, say --yes.")
    gone = sum(subjects.destroy(stores, project, person) for person in persons)
    told = {"project": project, "asked": len(persons), "destroyed": gone, "destroyed_ever": subjects.destroyed(stores, project)}
    if as_json:
        click.echo(json.dumps(told, indent=2))
    else:
        click.echo(
            f"{gone} of {len(persons)} keys destroyed; {told['destroyed_ever']} in {project} ever. Backups made before still hold them."
        )
