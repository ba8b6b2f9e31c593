"""Pillar 1: collect, check, publish."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from pillars.data import cleaning, collection, coverage, validation_page, versions
from pillars.vocabulary import Batch, Collected, Prepared
from tasks.opened import Opened
from tasks.policy import step

collect = step("collect batch", retries=2)(collection.collect)
check = step("check and clean")(cleaning.prepare)


@step("publish data version", retries=2)
def publish(opened: Opened, collected: Collected, prepared: Prepared) -> Batch:
    """The batch as a part of the data set; one that was refused makes no version."""
    checked = prepared.validation
    if prepared.outcomes_period in opened.dropped("rows"):  # a corrected period may bring the outcomes of rows that are gone
        prepared = replace(prepared, outcomes_path=None, outcomes=0)
    version = versions.publish(opened.stores, opened.config, prepared, datetime.now(UTC)) if checked.decision else None
    if version is not None and opened.config.expectations.coverage.segments:
        covered = coverage.report(opened.stores, opened.config, version, prepared.period)
        coverage.write(opened.stores, covered)
        validation_page.write_page(opened.stores, checked, covered=covered)
    return Batch(
        project=prepared.project,
        period=prepared.period,
        decision=checked.decision,
        rows=prepared.rows,
        quarantined=checked.quarantined,
        outcomes=prepared.outcomes,
        version=version,
        page=checked.page,
        kept_at=prepared.kept_at,
        collected=collected,
        repaired=checked.repaired,
        quarantine_path=prepared.quarantine_path,
    )
