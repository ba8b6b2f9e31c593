"""Give a data version a name of one's own, which stays on it: a git tag, known to `dvc` and wherever a version is asked for."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from pillars import project_file
from pillars.answers import resolve
from pillars.data import tags
from pillars.stores import Stores
from pillars.vocabulary import DataTag
from tasks.policy import discreet


@flow(name="tag", flow_run_name="{project} {name}")
@discreet
def tag(project: str, name: str, version: str | None = None, text: str = "", force: bool = False, delete: bool = False) -> DataTag:
    """Name a data version, or take a name away. The same again changes nothing.

    Args:
        project: name of the YAML in configs/
        name: letters, digits and . _ - between them; nothing that looks like a version's id
        version: its id, the beginning of one, or another tag (the newest if not named)
        text: one line for people
        force: move the name from another version
        delete: take the name away (from whatever version has it, if none is named)

    Raises:
        UnknownName: there is no such version, or no such name to take away.
        TagRefused: it is no name, or another version's.
    """
    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    chosen = resolve(stores, opened, version) if version else None
    if delete:
        return tags.remove(stores, opened.project, name, chosen)
    return tags.put(stores, chosen or resolve(stores, opened), name, text, datetime.now(UTC), force=force)
