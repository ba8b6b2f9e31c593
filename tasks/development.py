"""Pillar 2: the experiment on record in MLflow."""

from __future__ import annotations

from dataclasses import replace

from prefect.runtime import flow_run

from pillars.bundle.bundle import Bundle
from pillars.data import sealing
from pillars.development import experiments
from pillars.monitoring import lineage
from pillars.training import explaining, plots, rows
from pillars.training.splits import Part
from pillars.vocabulary import Candidate, DataVersion, Decision, Judged, Tuned
from tasks import show
from tasks.opened import Opened
from tasks.policy import step
from tasks.training import Fitted, labelled


@step("log to MLflow", retries=2)
def log_training(opened: Opened, version: DataVersion, tuned: Tuned, judged: Judged, fitted: Fitted) -> Candidate:
    """One run with everything a reader asks for; the candidate carries its id."""
    experiments.sweep(opened.stores, opened.config)  # a killed run would say RUNNING for ever
    if not fitted.passed:
        judged = replace(judged, refresh_decision=Decision.refuse(f"refitted model: {fitted.passed.reason}"))
    bundle = opened.stores.var / fitted.path
    loaded = Bundle.load(bundle)
    with sealing.open_file(opened.stores, judged.path) as predictions:
        pictures = plots.draw(predictions, tuned, judged, loaded)
    explained = explaining.explain(opened.config, loaded, rows.gather(labelled(opened, version), Part((judged.period,))))
    pictures |= plots.explained(explained) | plots.parts(judged.slices, judged.fairness)
    tags = {"prefect.flow_run_id": flow_run.get_id() or "", "threads": str(opened.stores.threads), **lineage.code_state(opened.stores.root)}
    run_id = experiments.log_training(opened.stores, opened.config, version, tuned, judged, pictures, bundle, tags)
    show.pictures(opened.name, judged.period, pictures)
    return Candidate(
        project=opened.name,
        period=judged.period,
        run_id=run_id,
        data_version=version.id,
        recipe=judged.recipe,
        path=fitted.path,
        sha256=fitted.sha256,
        fitted_through=fitted.fitted_through,
        recipe_decision=judged.recipe_decision,
        refresh_decision=judged.refresh_decision,
        scorecards=judged.scorecards,
        digest=loaded.digest,
        conditions=(*judged.conditions, *fitted.conditions),
        slices=judged.slices,
        fairness=judged.fairness,
        reliance=explained.reliance,
        backtest=judged.backtest,
    )
