"""Hold a data version against the rules of today: every file in both copies, every row by its checks. Nothing is decided."""

from __future__ import annotations

from prefect import flow

from pillars import project_file
from pillars.answers import resolve
from pillars.answers.datasets import NEWEST
from pillars.data import versions
from pillars.data.auditing import Audit
from pillars.stores import Stores
from tasks import audit as looking
from tasks import show
from tasks.policy import discreet


@flow(name="audit", flow_run_name="{project} {version}")
@discreet
def audit(project: str, version: str = NEWEST) -> Audit | None:
    """Hash both copies of all files, mend a bad one from the other, and check each period again.

    The run is Failed, and says so in a sentence, when a file is lost or a period breaks the rules of today: nobody reads the table of a run
    that is green. What was mended is said, too, and is no failure. None, and Completed, before the first version.

    Args:
        project: name of the YAML in configs/
        version: a data version, by its id, the beginning of one, or a tag

    Raises:
        UnknownName: there is no such version.
        DataCorrupt: a file is bad in both copies.
    """
    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    if version == NEWEST and versions.head(stores, opened) is None:
        return looking.nothing_yet(project)
    chosen = resolve(stores, opened, version)
    damage = looking.verify(stores, chosen)
    periods = tuple(looking.examine(stores, opened, chosen, period) for period in chosen.periods)
    found = Audit(opened.project, chosen.id, damage, periods)
    show.audit(found)
    return looking.ended(found)


def look(project: str, version: str = NEWEST) -> Audit | None:
    """The audit as a value, whatever it found; its run ends as `audit` says. Raises: UnknownName, DataCorrupt."""
    found = audit(project, version, return_state=True).result(raise_on_failure=False)
    if isinstance(found, Exception):
        raise found
    return found
