"""Check again what was set aside, after a rule was mended: what passes now joins the data set as a revision of its period."""

from __future__ import annotations

from prefect import flow

from flows.ingest import ingest
from pillars.answers.quarantined import held
from pillars.vocabulary import Batch
from tasks.opened import open_project
from tasks.policy import discreet


@flow(name="readmit", flow_run_name="{project}")
@discreet
def readmit(project: str, period: str | None = None, accept_changes: bool = False) -> list[Batch]:
    """Ingest again, from what was collected then, each period of which other rules had set rows aside, or rejected the batch.

    Args:
        project: name of the YAML in configs/
        period: this one only (all such periods if not named)
        accept_changes: go on although the YAML changed since the last run, which a mended rule is

    Raises:
        UnknownName: the period has no rows in quarantine.
    """
    opened = open_project(project, accept_changes)
    return [ingest(project, aside.period, kept=True) for aside in held(opened.stores, project, period) if aside.rules != opened.rules]
