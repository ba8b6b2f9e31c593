"""Collect, check, protect and version one period."""

from __future__ import annotations

from prefect import flow

from pillars.answers.history import facts_of
from pillars.vocabulary import Batch, Json
from tasks import data, show
from tasks.opened import open_project
from tasks.policy import discreet


@flow(name="ingest", flow_run_name="{project} {period}")
@discreet
def ingest(project: str, period: str, again: bool = False, kept: bool = False) -> Batch:
    """Take one period of the source into the data set.

    Args:
        project: name of the YAML in configs/
        period: a period of the source, e.g. 2013-02
        again: check and publish even when these bytes are on record (fills an empty cache or remote)
        kept: check what was collected of it last, without asking the source
    """
    opened = open_project(project)
    if gone := opened.gone(period):  # its time is over
        return gone
    before = opened.past.collected(period) if kept else None
    collected = before or data.collect(opened.stores, opened.config, opened.source, period)
    inputs: dict[str, Json] = {
        "period": period,
        "rows": collected.rows_sha256,
        "outcomes": collected.outcomes_sha256,
        "rules": opened.rules,
    }
    newest = opened.past.latest("ingest", period)
    unchanged = newest is not None and {**newest.inputs, "replaces": None} == {**inputs, "replaces": None}
    if newest is not None and unchanged and not again:
        return facts_of(newest, Batch)
    prepared = data.check(opened.stores, opened.config, collected)
    show.validation(prepared.validation)
    batch = data.publish(opened, collected, prepared)
    if not unchanged:  # a period that returns to earlier bytes is a new revision
        opened.record("ingest", inputs | {"replaces": newest.seq if newest else None}, batch.decision, batch)
    return batch
