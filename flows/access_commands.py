"""What the command says of access: secrets where none may be, rights of files, and who was refused."""

from __future__ import annotations

import json
import os
import syslog
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime

import click

from pillars import masking
from pillars.config_data import BLOCK
from pillars.errors import NotAllowed, PillarsError
from pillars.stores import Stores, user_name
from pillars.vocabulary import Json

SHORTEST = 6  # characters: a shorter secret is a part of words everywhere


def scan(*, fix: bool, as_json: bool) -> int:
    """Print secrets where none may be, and wrong rights (with `fix`, that were mended); 0 when there are none, else 1.

    Raises:
        ConfigInvalid: the waivers cannot be read.
        SettingInvalid, StoreUnavailable: see `pillars.data.modes.mend`.
    """
    from pillars.data import modes, searching, waivers

    stores = Stores()
    allowed = waivers.read(stores)
    rights = modes.mend(stores) if fix else list(modes.wrong(stores))
    secrets, unsearched = _secrets(stores)
    found, unused = waivers.apply(allowed, list(searching.look(stores, secrets)))
    left = searching.left(found)
    if as_json:
        told = {
            "findings": [asdict(one) for one in left],
            "waived": [asdict(one) for one in found if one.waived],
            "rights": [asdict(one) for one in rights],
            "mended": fix,
            "not_searched_for": unsearched,
            "unused_waivers": [one.model_dump() for one in unused],
        }
        click.echo(json.dumps(told, indent=2))
        return 1 if left or (rights and not fix) else 0
    for one in left:
        click.echo(f"SECRET  {one.file}  {one.place}  {one.kind}")
    for mode in rights:
        click.echo(f"{'mended' if fix else 'RIGHTS'}  {mode.path}  {mode.found}, promised is {mode.promised}: {mode.why}")
    for name, why in unsearched.items():
        click.echo(f"note    not searched for the value of {name}: {why}")
    for waiver in unused:
        click.echo(f"note    nothing was found that this waiver is for: {waiver.file}, {waiver.kind}")
    said = f"{len(left)} secrets where none may be, {len(found) - len(left)} waived; {0 if fix else len(rights)} places with wrong rights"
    click.echo(f"{said}{f', {len(rights)} mended' if fix else ''}")
    return 1 if left or (rights and not fix) else 0


def require(stores: Stores, project: str, folder: str) -> None:
    """Refuse a user who may not read a folder of what came in, and put that on record where this user can: the ledger, the system's log.

    Raises:
        NotAllowed: this user may not.
    """
    from pillars.data import modes

    try:
        modes.require(stores, folder)
    except NotAllowed as refused:
        _record(stores, project, refused)
        raise


def sees_the_record(stores: Stores) -> bool:
    """Whether this user has the installation's key; a mere reader of what came in has not."""
    return stores.key is not None or os.access(stores.var / "keys", os.X_OK)


def _record(stores: Stores, project: str, refused: NotAllowed) -> None:
    from pillars.monitoring.ledger import Ledger

    who, now = user_name(), datetime.now(UTC)
    with suppress(OSError):  # where `sudo`, too, says who was refused
        syslog.openlog("pillars", syslog.LOG_PID, syslog.LOG_AUTH)
        syslog.syslog(syslog.LOG_WARNING, f"{who} (uid {os.getuid()}) was refused to {refused.deed} {refused.what} of {project}")
    with suppress(PillarsError, OSError):  # who may not read what came in can seldom write the record
        inputs: dict[str, Json] = {"deed": refused.deed, "what": refused.what, "user": who, "at": now.isoformat(timespec="seconds")}
        Ledger(stores, wait_s=5.0).record(project, "access", inputs, "refuse", str(refused), {}, now, who)


def _secrets(stores: Stores) -> tuple[dict[str | bytes, str], dict[str, str]]:
    """Values that are searched for, by name; and what is not searched for, and why."""
    unsearched = _reveal_all(stores)
    secrets: dict[str | bytes, str] = {}
    if stores.key is not None or (stores.var / "keys" / "secret").exists():  # or asking for it would make one
        secrets[stores.secret] = "the installation's key"
    for value, name in masking.known().items():
        if len(value) < SHORTEST:
            unsearched[name] = f"it is shorter than {SHORTEST} characters, and a part of words everywhere"
        else:
            secrets[value] = name
    return secrets, unsearched


def _reveal_all(stores: Stores) -> dict[str, str]:
    """Have the secrets of all sources looked up; those that cannot be, and why."""
    from flows import terminal
    from pillars import project_file

    references: set[str] = set()
    unsearched: dict[str, str] = {}
    for name in project_file.names(stores.configs):
        try:
            references |= set(project_file.load(stores.configs / f"{name}.yaml").source.references)
        except PillarsError:
            unsearched[f"secrets of {name}"] = "its YAML is no valid project"
    if any(one.startswith(BLOCK) for one in references):
        terminal.choose_prefect(stores)
    for reference in sorted(references):
        from tasks.secrets import reveal

        try:
            if not reveal(reference):
                unsearched[reference] = "it is not set here"
        except PillarsError as err:
            unsearched[reference] = str(err)
    return unsearched
