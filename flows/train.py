"""Search, judge, refit: one candidate, fitted through the newest period with outcomes."""

from __future__ import annotations

from prefect import flow

from pillars.vocabulary import Candidate, Json
from tasks import development, show, training
from tasks.opened import open_project
from tasks.policy import discreet

SECTIONS = ("columns", "features", "target", "task", "split", "search", "cost", "gate")  # what a candidate depends on, with `classes`


@flow(name="train", flow_run_name="{project} {period}")
@discreet
def train(project: str, period: str | None = None) -> Candidate | None:
    """Train and judge a challenger; once for each state of data and settings. None when a column tells the outcome: nothing is searched.

    Args:
        project: name of the YAML in configs/
        period: newest period to learn from; it judges both sides first (the newest ingested one if not named)
    """
    opened = open_project(project)
    newest = period or opened.past.newest()
    version, until = opened.past.ingested(newest), opened.learnable(newest)
    sections = (*SECTIONS, *(("classes",) if opened.config.classes else ()))
    inputs: dict[str, Json] = {"period": newest, "data_version": version.id, "settings": opened.config.section_digest(*sections)}
    known = opened.past.trained_on(inputs)
    if known and training.kept(opened, known):
        return known
    if not training.leakage(opened, version, until).decision:
        return None  # on record, by column; the champion stays
    tuned = training.tune(opened, version, until)
    show.leaderboard(tuned)
    judged = training.judge(opened, version, until, tuned)
    fitted = training.refit(opened, version, until, judged)
    candidate = development.log_training(opened, version, tuned, judged, fitted)
    opened.record("train", inputs | training.replacing(known, candidate), ("accept", tuned.verdict), candidate)
    show.candidate(candidate)
    return candidate
