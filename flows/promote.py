"""Decide whether a candidate becomes champion; the registry and its alias follow the ledger."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Decision, Json, Promotion
from tasks import monitoring, show
from tasks.opened import open_project
from tasks.policy import discreet, run_name


@flow(name="promote", flow_run_name=run_name("newest"))
@discreet
def promote(project: str, period: str | None = None) -> Decision:
    """Hold the newest candidate (of `period`, if named) against its gate, register it, and move the alias when it passed.

    Args:
        project: name of the YAML in configs/
        period: period of the candidate; the newest if not named
    """
    opened = open_project(project)
    candidate = opened.past.candidate(period)
    inputs: dict[str, Json] = {"period": candidate.period, "bundle": candidate.digest, "data_version": candidate.data_version}
    if opened.config.registry.dirty_tree == "refuse":
        inputs["code"] = "committed"  # asked for: another question than without
    decision = opened.decided("promote", inputs)
    if decision is None:
        version, decision = monitoring.register(opened, candidate), monitoring.allowed(opened, candidate)
        opened.record("promote", inputs, decision, Promotion(version, candidate.recipe_decision))
    monitoring.follow(opened)
    show.decision("promotion", candidate, decision)
    return decision
