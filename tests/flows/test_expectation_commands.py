"""`pillars data expectations propose`: what it says of too few batches, and what it writes of enough."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pillars import project_file
from pillars.data import versions
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.pillars.data.batches import CANARY, NOW, SUITE, prepared, project, repository

MONTHS = [f"2013-{month:02d}" for month in range(1, 8)]


@pytest.fixture
def parcels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The YAML of a project with seven accepted months."""
    root = repository(tmp_path / "work")
    monkeypatch.setenv("PILLARS_ROOT", str(root))
    monkeypatch.delenv("PILLARS_VAR")
    stores = Stores()
    for month in MONTHS:
        versions.publish(stores, project(), prepared(stores, month), NOW)
    file = stores.config_file("parcels")
    file.parent.mkdir(exist_ok=True)
    said = project(coverage={"segments": ["carrier"]}).model_dump(mode="json", exclude_defaults=True)
    file.write_text("# kept\n" + yaml.safe_dump(said, sort_keys=False))
    return file


def test_nothing_is_written_before_it_is_asked_for(parcels: Path) -> None:
    before = parcels.read_bytes()
    said = say("data", "expectations", "propose", "parcels")
    assert said.exit_code == 0, said.err
    assert parcels.read_bytes() == before
    assert "+++ b/configs/parcels.yaml" in said.out
    assert "warn   statistic  table_row_count_to_be_between" in said.out
    assert "walked forward" in said.out
    assert CANARY not in said.out


def test_what_is_written_is_a_project_and_is_proposed_only_once(parcels: Path) -> None:
    told = json.loads(say("data", "expectations", "propose", "parcels", "--write", "--json").out)
    assert told["written"]
    assert {bound["effect"] for bound in told["bounds"]} == {"block", "warn"}
    assert all({"failed", "could_not_run"} <= bound.keys() for bound in told["bounds"])
    assert parcels.read_text().startswith("# kept\n")
    suite = project_file.load(parcels).expectations.suite
    assert [e.type for e in suite[: len(SUITE)]] == [e["type"] for e in SUITE]
    assert len(suite) > len(SUITE)
    again = json.loads(say("data", "expectations", "propose", "parcels", "--write", "--json").out)
    assert (again["diff"], again["written"]) == ("", False)


def test_the_newest_periods_groups_are_shown(parcels: Path) -> None:
    covered = json.loads(say("data", "show", "parcels", "--json").out)["coverage"]
    assert (covered["period"], covered["against"]) == (MONTHS[-1], MONTHS[:-1])
    assert {s["state"] for s in covered["segments"]} == {"no_claim"}  # of forty rows three groups have fewer than thirty
    assert "groups of 2013-07, no claim: carrier=" in say("data", "show", "parcels").out


def test_two_batches_are_too_few_for_any_claim(replayed: Path) -> None:
    said = say("data", "expectations", "propose", "small")
    assert "no claim about statistics: 2 batches, 6 are needed" in said.out
    assert "the YAML has all of this already" not in said.out
    assert "nothing is proposed" in said.out
