"""Give the traffic back to the last good release: policy file and ledger at once, registry and artifacts afterwards."""

from __future__ import annotations

from datetime import UTC, datetime

from prefect import flow

from pillars.deployment import rollback as policy
from pillars.deployment import traffic
from pillars.vocabulary import Json, Rollout
from tasks import monitoring, show
from tasks.opened import Opened, actor, open_as_it_is, plain
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
    rollout = take_back(opened, reason)
    monitoring.follow(opened)
    show.rollout(rollout)
    return rollout


def take_back(opened: Opened, reason: str) -> Rollout:
    """What needs neither Prefect nor MLflow: the policy file, then the ledger. One that died in between is finished, not gone beyond."""
    recorded, now = opened.past.rollout(), opened.answering()
    half_done = now is not None and now.generation > (recorded.generation if recorded else 0) and now.reason == reason
    rollout = now if now is not None and half_done else policy.roll_back(opened.stores, opened.name, reason)
    inputs: dict[str, Json] = {"version": rollout.champion.version, "generation": rollout.generation}
    opened.ledger.record(opened.name, "rollback", inputs, "accept", reason, plain(rollout), datetime.now(UTC), actor())
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
