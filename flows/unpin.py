"""Let automation go on with the traffic."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Rollout
from tasks import rollouts, show
from tasks.opened import open_as_it_is
from tasks.policy import discreet


@flow(name="unpin", flow_run_name="{project}")
@discreet
def unpin(project: str, reason: str = "asked for by hand") -> Rollout:
    """Take the pin off; who answers stays as it is until the next deployment.

    Args:
        project: name of the YAML in configs/
        reason: why, for the record
    """
    now = rollouts.unpin(open_as_it_is(project), reason)
    show.rollout(now)
    return now
