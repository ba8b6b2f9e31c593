"""Give the traffic back to the last good release: policy file and ledger at once, registry and artifacts afterwards."""

from __future__ import annotations

from prefect import flow

from pillars.deployment import traffic
from pillars.vocabulary import Rollout
from tasks import back, monitoring, show
from tasks.opened import actor, open_as_it_is
from tasks.policy import discreet


@flow(name="rollback", flow_run_name="{project}")
@discreet
def rollback(project: str, reason: str = "asked for by hand") -> Rollout:
    """Switch to the previous release, put it on record, and move the alias.

    Args:
        project: name of the YAML in configs/
        reason: why, for the record
    """
    opened = open_as_it_is(project)
    rollout = back.take_back(opened.stores, opened.name, reason, actor())
    monitoring.follow(opened)
    show.rollout(rollout)
    return rollout


@flow(name="rollback", flow_run_name="{project} (reported)")
@discreet
def report(project: str) -> None:
    """After a rollback from the command line: let the alias follow, and show it in the UI."""
    opened = open_as_it_is(project)
    monitoring.follow(opened)
    rollout = traffic.read(opened.stores, project)
    if rollout is not None:
        show.rollout(rollout)
