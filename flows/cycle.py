"""The loop: one period through all five pillars."""

from __future__ import annotations

import sys

from prefect import flow

from flows.deploy import deploy
from flows.ingest import ingest
from flows.monitor import monitor
from flows.promote import promote
from flows.score import score
from flows.train import train
from pillars.vocabulary import Verdict
from tasks import closing
from tasks.opened import open_project
from tasks.policy import discreet, run_name


@flow(name="cycle", flow_run_name=run_name("next"))
@discreet
def cycle(project: str, period: str | None = None) -> Verdict | None:
    """Take one period through the loop: data in, scored, watched; trained, judged and released when the verdict says so.

    Args:
        project: name of the YAML in configs/
        period: a period of the source; the oldest unfinished one if not named
    """
    opened = open_project(project)
    period = next(iter(opened.unfinished(period, period)), None)
    if period is None:
        return closing.nothing_new(project)
    batch = ingest(project, period)  # collected, checked, protected, versioned
    if not batch.decision:
        return closing.rejected(opened, batch)  # kept whole; a corrected one is a new revision
    score(project, period)  # the champion answers before the truth is looked at
    verdict = monitor(project, period)  # drift now, quality as outcomes land
    if verdict.retrain and train(project, period) and promote(project, period):
        deploy(project)  # reversible: pillars rollback
    return closing.finished(opened, batch, verdict)


if __name__ == "__main__":  # with Prefect's own settings: python -m flows.cycle flights
    cycle(*sys.argv[1:])
