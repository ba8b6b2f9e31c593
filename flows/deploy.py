"""Export the promoted version and give it the traffic."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Json, Rollout
from tasks import deployment, monitoring, show
from tasks.opened import open_project
from tasks.policy import discreet


@flow(name="deploy", flow_run_name="{project}")
@discreet
def deploy(project: str, version: int | None = None) -> Rollout:
    """Export a version that passed its gate and switch the traffic to it.

    Args:
        project: name of the YAML in configs/
        version: a promoted version; the one promoted last if not named
    """
    opened = open_project(project)
    promoted = opened.past.promoted(version)
    release = deployment.export(opened, promoted)
    rollout = deployment.switch(opened, release, f"v{promoted.version}, fitted through {promoted.fitted_through}")
    inputs: dict[str, Json] = {"version": release.version, "sha256": release.sha256, "generation": rollout.generation}
    opened.record("deploy", inputs, ("accept", rollout.reason), rollout)
    monitoring.follow(opened)
    show.rollout(rollout)
    return rollout
