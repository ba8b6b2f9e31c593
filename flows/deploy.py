"""Export the promoted version and give it the traffic."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Json, Rollout
from tasks import deployment, monitoring, rollouts, show
from tasks.opened import open_project
from tasks.policy import discreet


@flow(name="deploy", flow_run_name="{project}")
@discreet
def deploy(project: str, version: int | None = None) -> Rollout:
    """Export a version that passed its gate and switch the traffic to it, or put it on trial, as the YAML's `rollout` says.

    Args:
        project: name of the YAML in configs/
        version: a promoted version; the one promoted last if not named. One that is named is asked for by a person: neither rest after a
            rollback nor harm done before holds it back, only a pin does
    """
    opened = open_project(project)
    promoted = opened.past.promoted(version)
    release = deployment.export(opened, promoted)
    may, mended = rollouts.allowed(opened, release, by_hand=version is not None), rollouts.in_question(opened)
    if not mended:
        rollouts.settle(opened, but=release)  # its own half is finished below
    now = None if mended and may else opened.answering()
    if now is None or (may and opened.config.rollout.strategy == "direct"):
        now = deployment.switch(opened, release, f"v{promoted.version}, fitted through {promoted.fitted_through}")
    elif may:
        now = rollouts.begin(opened, release, version is not None)
    inputs: dict[str, Json] = {"version": release.version, "sha256": release.sha256, "generation": now.generation}
    opened.record("deploy", inputs, ("accept", now.reason) if may else may, now)
    monitoring.follow(opened)
    show.rollout(now)
    return now
