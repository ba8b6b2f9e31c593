"""Many cycles, one after the other, as if in production."""

from __future__ import annotations

from prefect import flow
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

from flows.cycle import cycle
from tasks import progress
from tasks.opened import open_project
from tasks.policy import discreet


@flow(name="replay", flow_run_name="{project}")
@discreet
def replay(project: str, first: str | None = None, last: str | None = None, accept_changes: bool = False) -> list[str]:
    """Run the cycle for each unfinished period; finished ones are left as they are.

    Args:
        project: name of the YAML in configs/
        first: first period (the source's first if not named)
        last: last period (the source's last if not named)
        accept_changes: go on although the YAML changed since the last run
    """
    opened = open_project(project, accept_changes)
    periods = opened.unfinished(first, last)
    with (
        # a flow waits about 1 s at its end for its heartbeat thread; within a replay the parent's heart is enough
        temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}),
        progress.counted(f"replay of {project}", len(periods)) as count,
    ):
        for period in periods:
            cycle(project, period)
            count(period)
    return periods
