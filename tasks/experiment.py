"""Pillar 2: other settings than the YAML's, tried beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pyarrow.parquet as pq
from prefect.runtime import flow_run

from pillars.data import sealing
from pillars.development import experiments, settings
from pillars.monitoring import lineage
from pillars.training import pairing, plots, rows, splits
from pillars.vocabulary import DataVersion, Decision, Experiment, Gain, Judged, Scorecard, Tuned
from tasks import training
from tasks.opened import Opened
from tasks.policy import step

OWN = "own settings"
NEVER = Decision.refuse("an experiment is never released; put its settings into the YAML, and train")


def opened_with(opened: Opened, given: Sequence[str]) -> Opened:
    """The project with other settings; its YAML and its record stay as they are. Raises: ConfigInvalid."""
    return Opened(opened.stores, settings.changed(opened.config, given), opened.ledger)


@step("compare with the project's own settings")
def gains(opened: Opened, version: DataVersion, until: str, own: Judged, trial: Judged) -> tuple[Gain, ...]:
    """What the experiment gains over the model of the project's own settings, and over the live champion, on the same rows."""
    config, judge_on = opened.config, splits.plan(opened.config, opened.known(version, until), until).judge_on
    judged = rows.gather(training.labelled(opened, version), judge_on)
    others, tried = (_sides(opened, one) for one in (own, trial))
    found = [pairing.gain(config, judged, OWN, tried["challenger"], others["challenger"])]
    if champion := opened.answering():
        name = f"champion v{champion.champion.version}"
        if "champion" in others:
            found.append(pairing.gain(config, judged, name, tried["challenger"], others["champion"]))
        else:
            found.append(Gain(name, config.gate.loss, 0, None, f"not compared: {own.refresh_decision.reason}"))
    return tuple(found)


@step("log experiment to MLflow", retries=2)
def log(
    opened: Opened, trial: Opened, version: DataVersion, tuned: Tuned, own: Judged, judged: Judged, compared: tuple[Gain, ...]
) -> Experiment:
    """The experiment as a run of its own, without a model."""
    experiments.sweep(opened.stores, opened.config)
    judged = replace(judged, refresh_decision=NEVER)
    changes = settings.changes(opened.config, trial.config)
    with sealing.open_file(opened.stores, judged.path) as predictions:
        pictures = plots.outcomes(predictions, judged.period, trial.config.task, trial.config.classes)
    pictures["search"] = plots.search_history(tuned.leaderboard)
    tags = {"prefect.flow_run_id": flow_run.get_id() or "", "threads": str(opened.stores.threads), **lineage.code_state(opened.stores.root)}
    run_id = experiments.log_training(opened.stores, trial.config, version, tuned, judged, pictures, None, tags, changes, compared)
    return Experiment(
        project=opened.name,
        period=judged.period,
        data_version=version.id,
        run_id=run_id,
        changes=changes,
        recipe=judged.recipe,
        verdict=tuned.verdict,
        gains=compared,
        scorecards=tuple(_cards(own, judged)),
        conditions=judged.conditions,
    )


def _sides(opened: Opened, judged: Judged) -> dict[str, pairing.Side]:
    with sealing.open_file(opened.stores, judged.path) as file:
        return pairing.sides(pq.read_table(file), opened.config.key)


def _cards(own: Judged, judged: Judged) -> list[Scorecard]:
    """The experiment's, that of the project's own settings, and the live champion's where it was judged."""
    named = {"challenger": OWN, "champion": "champion"}
    mine = [replace(card, model="experiment") for card in judged.scorecards if card.model == "challenger"]
    return mine + [replace(card, model=named[card.model]) for card in own.scorecards if card.model in named]
