"""Make a project's data set again from its source: fills an empty cache and remote with the very bytes that are pinned."""

from __future__ import annotations

from prefect import flow
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.ingest import ingest
from pillars.errors import SourceBroken
from pillars.vocabulary import DataVersion
from tasks import progress
from tasks.opened import open_project
from tasks.policy import discreet


@flow(name="rebuild", flow_run_name="{project}")
@discreet
def rebuild(project: str, last: str | None = None) -> DataVersion:
    """Ingest every period of the source, whether it is on record or not.

    Args:
        project: name of the YAML in configs/
        last: last period (the source's last if not named)

    Raises:
        SourceBroken: it has no periods.
    """
    opened = open_project(project)
    periods = opened.between(None, last)
    if not periods:
        raise SourceBroken(opened.config.source.name, "all", "periods() gave none")
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}), progress.counted(f"rebuild of {project}", len(periods)) as count:
        for period in periods:
            ingest(project, period, again=True)
            count(period)
    return opened.past.ingested(periods[-1])
