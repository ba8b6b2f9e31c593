"""Hold a version in place: all traffic to it, until a person says otherwise."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Release, Rollout
from tasks import deployment, monitoring, rollouts, show
from tasks.opened import Opened, open_as_it_is
from tasks.policy import discreet


@flow(name="pin", flow_run_name="{project}")
@discreet
def pin(project: str, version: int | None = None, reason: str = "asked for by hand") -> Rollout:
    """Give all traffic to a promoted version, and hold it there. Deployments and trials wait for `unpin`.

    Args:
        project: name of the YAML in configs/
        version: a promoted version; the one that answers now if not named
        reason: why, for the record
    """
    opened = open_as_it_is(project)
    now = rollouts.pin(opened, _release(opened, version), reason)
    monitoring.follow(opened)
    show.rollout(now)
    return now


def _release(opened: Opened, version: int | None) -> Release:
    """Its release: one of those at hand, which needs no registry, or exported from there."""
    now = opened.answering()
    known = (now.champion, *now.previous, *([now.trial.challenger] if now.trial else [])) if now else ()
    at_hand = known[:1] if version is None else tuple(release for release in known if release.version == version)
    return at_hand[0] if at_hand else deployment.export(opened, opened.past.promoted(version))
