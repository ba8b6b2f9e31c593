"""How a cycle ends: on record, and said so."""

from __future__ import annotations

from typing import cast

from prefect.states import Completed

from pillars.vocabulary import Batch, Json, Looked, Verdict
from tasks.opened import Opened


def nothing_new(project: str) -> Verdict | None:
    """A Completed run that says so: every period has been through the loop."""
    return cast("Verdict | None", Completed(message=f"nothing new: every period of {project} has been through the loop"))


def nobody_answers(project: str) -> Looked | None:
    """A Completed run that says so: a look every minute begins before the first deployment."""
    return cast("Looked | None", Completed(message=f"nothing of {project} is deployed yet: there is nothing to look at"))


def rejected(opened: Opened, batch: Batch) -> Verdict | None:
    """A batch that broke its contract ends its period: nothing is scored, the data set is as it was."""
    facts: dict[str, Json] = {"period": batch.period, "rejected": batch.decision.reason, "kept_at": batch.kept_at}
    opened.record("cycle", {"period": batch.period}, ("rejected", batch.decision.reason), facts)
    return None


def finished(opened: Opened, batch: Batch, verdict: Verdict) -> Verdict:
    """The period has been through all five pillars."""
    facts = {"period": batch.period, "champion": opened.past.champion(), "retrained": verdict.retrain}
    opened.record("cycle", {"period": batch.period}, ("finished", verdict.reason), facts)
    return verdict
