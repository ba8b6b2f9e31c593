"""Hold a data version against the rules of today: every file in both copies, every row by its checks. Nothing is decided."""

from __future__ import annotations

from prefect import flow

from pillars import project_file
from pillars.answers import resolve
from pillars.data.auditing import Audit
from pillars.stores import Stores
from tasks import audit as looking
from tasks import show
from tasks.policy import discreet


@flow(name="audit", flow_run_name="{project} {version}")
@discreet
def audit(project: str, version: str = "newest") -> Audit:
    """Hash both copies of all files, mend a bad one from the other, and check each period again.

    Args:
        project: name of the YAML in configs/
        version: a data version, by its id or the beginning of one

    Raises:
        UnknownName: there is no such version.
        DataCorrupt: a file is bad in both copies.
    """
    stores = Stores()
    opened = project_file.load(stores.config_file(project))
    chosen = resolve(stores, opened, version)
    damage = looking.verify(stores, chosen)
    periods = tuple(looking.examine(stores, opened, chosen, period) for period in chosen.periods)
    found = Audit(opened.project, chosen.id, damage, periods)
    show.audit(found)
    return found
