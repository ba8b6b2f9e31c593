"""Yesterday's month comes again with other rows: a new version beside the old one, on record as what replaced it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from pillars import project_file
from pillars.config import Project
from pillars.data import versions
from pillars.stores import Stores
from tests.bad_input.door import entries, say
from tests.bad_input.parcels import ROWS, outcomes, rows, write_month

pytestmark = pytest.mark.flow
PERIODS = ("2013-01", "2013-02")


def test_a_revised_month_replaces_the_old_one_and_both_can_be_read(root: Path) -> None:
    for period in PERIODS:
        assert say("ingest", "parcels", period).exit_code == 0
    first, old = entries(decision="ingest")[0], versions.head(Stores(), project())
    write_month(root, PERIODS[0], rows(PERIODS[0]).slice(1), outcomes(rows(PERIODS[0]).slice(1)))
    revised = json.loads(say("ingest", "parcels", PERIODS[0], "--json").out)
    newest = entries(decision="ingest")[-1]
    assert (newest.outcome, newest.inputs["replaces"]) == ("accept", first.seq)
    new = versions.head(Stores(), project())
    assert old is not None
    assert new is not None
    assert (new.id, new.parent, new.rows) == (revised["version"]["id"], old.id, 2 * ROWS - 1)
    assert versions.changes(Stores(), old, new) == {f"parcels/{kind}/{PERIODS[0]}.parquet": "changed" for kind in ("rows", "outcomes")}
    assert versions.read(Stores(), versions.find(Stores(), project(), old.id), "rows", PERIODS[:1]).num_rows == ROWS
    assert versions.read(Stores(), new, "rows", PERIODS).num_rows == 2 * ROWS - 1
    # a revision that is bad changes nothing: the last good one stays
    write_month(root, PERIODS[0], rows(PERIODS[0]).slice(0, 0))
    assert json.loads(say("ingest", "parcels", PERIODS[0], "--json").out)["decision"]["outcome"] == "refuse"
    assert versions.head(Stores(), project()) == new
    assert json.loads(say("status", "parcels", "--json").out)["data_version"] == new.id


@pytest.mark.slow
def test_outcomes_of_one_single_class_train_nothing_that_is_promoted(root: Path) -> None:
    period = "2013-03"
    late = pa.array([False] * ROWS)
    truth = outcomes(rows(period))
    write_month(root, period, None, truth.set_column(2, "late", late))
    assert say("ingest", "parcels", period).exit_code == 0
    assert say("train", "parcels", period).exit_code == 0
    said = json.loads(say("promote", "parcels", period, "--json").out)
    assert said["outcome"] == "refuse"
    assert "an outcome rate of 0.0000" in said["reason"]
    assert entries(decision="promote")[-1].outcome == "refuse"
    assert not entries(decision="deploy")


def project() -> Project:
    return project_file.load(Stores().config_file("parcels"))
