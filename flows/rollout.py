"""One look at the release on trial: the next share, the end, back, or nothing yet."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Looked
from tasks import closing, monitoring, rollouts, show
from tasks.opened import open_as_it_is
from tasks.policy import discreet


@flow(name="rollout", flow_run_name="{project}")
@discreet
def rollout(project: str) -> Looked | None:
    """Judge the release on trial by the request log, and make the one transition that follows. Run it as often as you like.

    Args:
        project: name of the YAML in configs/
    """
    opened = open_as_it_is(project)  # settings in question are no reason to let a harmful release answer
    if opened.answering() is None:
        return closing.nobody_answers(project)
    looked = rollouts.look(opened)
    if looked.moved:
        monitoring.follow(opened)
        show.rollout(looked.rollout)
    return looked
