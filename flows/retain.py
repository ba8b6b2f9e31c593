"""Delete what is older than its time: what came in, rows of the data set, answered requests. What a live or held model needs stays."""

from __future__ import annotations

from prefect import flow

from tasks import retention, show
from tasks.opened import open_project
from tasks.policy import discreet
from tasks.retention import Retained


@flow(name="retain", flow_run_name="{project}")
@discreet
def retain(project: str, dry_run: bool = False) -> Retained | None:
    """Apply the YAML's `retention`: by periods before the newest one; of requests alone by the clock.

    Args:
        project: name of the YAML in configs/
        dry_run: only say what would go and what is held back
    """
    opened = open_project(project)
    plan = retention.plan(opened)
    if plan is None:
        return None
    if dry_run:
        return show.retained(Retained(plan, "", 0))
    version = retention.drop(opened, plan)  # a version without the rows
    row = retention.record(opened, plan, version)  # before anything is deleted: what is gone can be explained
    return show.retained(Retained(retention.delete(opened, plan, row), version.id if version else "", row))
