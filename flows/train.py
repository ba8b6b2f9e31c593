"""Search, judge, refit: one candidate, fitted through the newest period with outcomes. With other settings: an experiment."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Candidate, DataVersion, Experiment, Json, Leakage
from tasks import development, experiment, show, training
from tasks.opened import Opened, open_project
from tasks.policy import discreet, run_name

SECTIONS = ("columns", "features", "target", "task", "split", "search", "cost", "gate")  # and `classes`, and what `choices` adds


@flow(name="train", flow_run_name=run_name("newest"))
@discreet
def train(project: str, period: str | None = None, settings: tuple[str, ...] = ()) -> Candidate | Experiment | Leakage:
    """Train and judge a challenger; once for each state of data and settings. A refusal where a column tells the outcome.

    Args:
        project: name of the YAML in configs/
        period: newest period to learn from; it judges both sides first (the newest ingested one if not named)
        settings: section.key=value, each set for this training alone: an experiment, which is compared and never released
    """
    opened = open_project(project)
    trial = experiment.opened_with(opened, settings) if settings else None  # a wrong word is said before anything is read
    newest = period or opened.past.newest()
    version, until = opened.past.ingested(newest), opened.learnable(newest)
    if trial:
        return _tried(opened, trial, version, until)
    sections = (*SECTIONS, *(("classes",) if opened.config.classes else ()), *opened.config.choices, *opened.config.judging)
    inputs: dict[str, Json] = {"period": newest, "data_version": version.id, "settings": opened.config.section_digest(*sections)}
    known = opened.past.trained_on(inputs)
    if known and training.kept(opened, known):
        return known
    if not (looked := training.leakage(opened, version, until)):
        return looked  # on record, by column; the champion stays
    tuned = training.tune(opened, version, until)
    show.leaderboard(tuned)
    judged = training.backtest(opened, version, until, tuned, training.judge(opened, version, until, tuned))
    fitted = training.refit(opened, version, until, judged)
    candidate = development.log_training(opened, version, tuned, judged, fitted)
    opened.record("train", inputs | training.replacing(known, candidate), ("accept", tuned.verdict), candidate)
    show.candidate(candidate)
    return candidate


def _tried(opened: Opened, trial: Opened, version: DataVersion, until: str) -> Experiment | Leakage:
    """Both settings searched and judged alike, the project's own first; nothing is refitted, and nothing goes to the ledger."""
    if not (looked := training.look_for_leaks(trial, version, until)):
        return show.leakage(looked)
    own = training.judge(opened, version, until, training.tune(opened, version, until))
    tuned = training.tune(trial, version, until)
    judged = training.judge(trial, version, until, tuned, against_champion=False)  # which may need other features
    found = experiment.log(opened, trial, version, tuned, own, judged, experiment.gains(opened, version, until, own, judged))
    show.experiment(found)
    return found
