"""Runs that a killed stack left: nobody runs them any more, and each holds its deployment's only slot."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

from deployments.settings import POOL

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

MESSAGE = "left by a pillars up that was killed"


def crash_left_runs() -> int:
    """Set every unfinished run of our pool to Crashed, with the runs inside it; returns how many. For a server with no worker yet.

    Without it such a run stays Running, or Pending, for ever, and the schedule is dead: the slot is taken, every new run is cancelled.
    """
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        left = _unfinished(client)
        for run in left:
            _crash(client, run)
    return len(left)


def _crash(client: SyncPrefectClient, run: FlowRun) -> None:
    from prefect.states import Crashed

    for inner in _unfinished(client, inside=run.id):
        _crash(client, inner)
    client.set_flow_run_state(run.id, Crashed(message=MESSAGE))


def _unfinished(client: SyncPrefectClient, inside: UUID | None = None) -> list[FlowRun]:
    from prefect.client.schemas import filters
    from prefect.client.schemas.objects import StateType

    state = filters.FlowRunFilterState(type=filters.FlowRunFilterStateType(any_=[StateType.RUNNING, StateType.PENDING]))
    if inside is not None:
        parent = filters.FlowRunFilterParentFlowRunId(any_=[inside])
        return client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(state=state, parent_flow_run_id=parent))
    pool = filters.WorkPoolFilter(name=filters.WorkPoolFilterName(any_=[POOL]))
    return client.read_flow_runs(flow_run_filter=filters.FlowRunFilter(state=state), work_pool_filter=pool)
