"""A feature is taken out of the YAML while a champion answers that takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import yaml

from pillars.errors import ChampionOutgrown
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Rollout
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import enter, through_two_months, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture
def root(tmp_path: Path, slices: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone whose tiny project has been through two months, and whose YAML then lost a feature."""
    made = through_two_months(write_tiny(make_clone(tmp_path / "project"), slices))
    enter(made, monkeypatch)
    file = made / "configs" / "small.yaml"
    config = yaml.safe_load(file.read_text())
    config["features"]["numeric"] = config["features"]["numeric"][1:]
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return made


def test_the_champion_goes_on_answering_and_is_judged_by_what_it_takes(root: Path):
    said = say("replay", "small", "--to", "2013-03", "--continue", "--json")
    assert said.exit_code == 0, said.err
    stores = Stores()
    scored = Ledger(stores).entries("small", "score")[-1].facts
    assert scored["period"] == "2013-03"
    assert pq.read_table(stores.var / str(scored["path"])).num_rows > 1000
    say("train", "small", "--json")
    made = Ledger(stores).entries("small", "train")[-1].facts
    assert made["period"] == "2013-03"
    assert "champion" in json.dumps([card["model"] for card in made["scorecards"]])


def test_rows_that_the_champion_cannot_take_are_said_before_anything_is_written(root: Path, monkeypatch: pytest.MonkeyPatch):
    from tasks import deployment
    from tasks.opened import open_as_it_is

    opened = open_as_it_is("small")
    version = opened.past.ingested("2013-02")
    whole = opened.read(version)

    def without(self: object, version: object, kind: str, period: str, rows: int) -> object:
        return iter([whole(kind, [period]).drop_columns([lost])])

    rollout = opened.answering()
    assert isinstance(rollout, Rollout)
    lost = next(iter(deployment.release.load(opened.stores, rollout.champion).encoder.feature_names))
    monkeypatch.setattr(type(opened), "pieces", without)
    with pytest.raises(ChampionOutgrown, match=rf"takes {lost}, which these rows have no more"):
        deployment.score.fn(opened, "2013-02", version)
