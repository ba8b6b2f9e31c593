"""How the release on trial does, by what is logged. Asks nobody, changes nothing."""

from __future__ import annotations

from datetime import datetime

from pillars.config import Project
from pillars.deployment import evidence, rollout, traffic
from pillars.deployment.evidence import Evidence
from pillars.deployment.judge import judge
from pillars.deployment.logged import Logged
from pillars.stores import Stores
from pillars.vocabulary import Judgement, Trial


def verdict(stores: Stores, project: Project, at: datetime) -> Judgement:
    """The verdict on what is on trial now; inconclusive where nothing is.

    Raises:
        StoreUnavailable: policy or log cannot be read.
    """
    now = traffic.read(stores, project.project)
    if now is None or now.trial is None:
        return Judgement("inconclusive", "nothing is on trial")
    return judged(project, now.trial, logged(stores, project), at)


def judged(project: Project, trial: Trial, log: Evidence, at: datetime) -> Judgement:
    """The verdict on a trial by a log."""
    policy = project.rollout.judge
    counted = evidence.tally(policy, trial, log.events(trial.stages[0].generation), bounds(project))
    return judge(policy, counted, rollout.baked(project.rollout, trial, at))


def logged(stores: Stores, project: Project) -> Logged:
    """The request log of the project's server."""
    column = project.rollout.entity
    return Logged(stores, project.project, (column,) if column else tuple(project.key))


def bounds(project: Project) -> tuple[float, float]:
    """Where a score lies: as the YAML says, else probabilities in 0 to 1, and numbers anywhere."""
    if (said := project.rollout.judge.score) is not None:
        return said
    return (float("-inf"), float("inf")) if project.task == "regression" else (0.0, 1.0)
