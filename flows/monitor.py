"""Watch a period: drift of its rows now, quality as outcomes land, a release that proved worse back; then say whether to train again."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import DataVersion, Json, Verdict
from tasks import hindsight, monitoring, show
from tasks.opened import Opened, open_project
from tasks.policy import discreet


@flow(name="monitor", flow_run_name="{project} {period}")
@discreet
def monitor(project: str, period: str) -> Verdict:
    """Compare a period with the champion's training rows, and its predictions with the outcomes that are known by now. A champion that is
    surely worse than the release it replaced goes back, where the YAML's `rollout.quality` asks for it.

    Args:
        project: name of the YAML in configs/
        period: a period that was scored
    """
    opened = open_project(project)
    version = opened.past.ingested(period)
    inputs: dict[str, Json] = {"period": period, "data_version": version.id, "policy": opened.config.section_digest("monitoring")}
    if known := opened.recall("monitor", inputs, Verdict):
        return known
    drift = monitoring.drift(opened, period, version)
    quality = monitoring.quality(opened, period, version)
    _look_back(opened, period, version)
    verdict = monitoring.verdict(opened, period, drift, quality)
    opened.record("monitor", inputs, ("retrain" if verdict.retrain else "keep", verdict.reason), verdict)
    show.verdict(verdict)
    return verdict


def _look_back(opened: Opened, period: str, version: DataVersion) -> None:
    if opened.config.rollout.quality is None:
        return
    weighed = hindsight.weigh(opened, period, version)
    now = hindsight.take_back(opened, weighed) if weighed and weighed.decision.outcome == "refuse" else None
    monitoring.follow(opened)  # also for who was killed after a release went back, and before this
    if now:
        show.rollout(now)
