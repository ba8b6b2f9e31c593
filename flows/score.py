"""Score a period with the live champion, before its outcomes are looked at."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Json, Scored
from tasks import deployment, monitoring, rollouts, show
from tasks.opened import Opened, open_project
from tasks.policy import discreet


@flow(name="score", flow_run_name="{project} {period}")
@discreet
def score(project: str, period: str) -> Scored:
    """Write the live champion's predictions for a period; once for each state of its rows. A release on trial goes its steps meanwhile.

    Args:
        project: name of the YAML in configs/
        period: a period that was ingested

    Raises:
        DataCorrupt: predictions on record are lost or changed, and cannot be made again.
    """
    opened = open_project(project)
    version = opened.past.ingested(period)
    inputs: dict[str, Json] = {"period": period, "data_version": version.id}
    known = opened.recall("score", inputs, Scored)
    if known and deployment.kept(opened, known):
        _move(opened, known)  # what a run that died did not
        return known
    scored = deployment.score(opened, period, version, lost=known)
    opened.record("score", inputs, ("accept" if scored.rows else "inconclusive", scored.reason), scored)
    _move(opened, scored)
    show.scored(scored)
    return scored


def _move(opened: Opened, scored: Scored) -> None:
    if scored.moves and (now := rollouts.carry_out(opened, scored)):
        monitoring.follow(opened)
        show.rollout(now)
