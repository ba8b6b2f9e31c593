"""Start a project over, on record. Nothing is deleted: its history is kept and no longer counts."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from pillars.deployment import traffic
from pillars.monitoring import registry, reports
from tasks.opened import actor, open_as_it_is
from tasks.policy import discreet


@flow(name="reset", flow_run_name="{project}")
@discreet
def reset(project: str, reason: str = "asked for by hand") -> int:
    """Let nobody answer and open the ledger's next epoch; returns its number. Data and model versions stay, named by their content.

    Args:
        project: name of the YAML in configs/
        reason: why, for the record
    """
    opened = open_as_it_is(project)
    registry.unpoint(opened.stores, project)  # first, as what may not answer: then nothing has changed
    traffic.withdraw(opened.stores, project)
    reports.clear(opened.stores, project)
    return opened.ledger.reset(project, reason, datetime.now(UTC), actor()).epoch
