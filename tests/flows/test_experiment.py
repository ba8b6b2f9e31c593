"""`pillars train --set`, of a project that two months have been through: what it says, what it leaves as it was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import edit_config, enter, through_two_months, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
OTHER = "search.prior={eta: 0.5, max_depth: 2}"


@pytest.fixture(scope="module")
def replayed_once(tmp_path_factory: pytest.TempPathFactory, slices: Path, prefect_server: str) -> Path:
    """A clone whose tiny project has been through two months."""
    return through_two_months(write_tiny(make_clone(tmp_path_factory.mktemp("tried") / "project"), slices))


@pytest.fixture
def root(replayed_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(replayed_once, monkeypatch)
    return replayed_once


def record() -> list[tuple[int, str]]:
    return [(entry.seq, entry.decision) for entry in Ledger(Stores()).entries("small")]


def run(run_id: str) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(Stores().tracking_uri).get_run(run_id)


def test_an_experiment_is_compared_with_the_own_settings_and_the_champion_and_changes_nothing(root: Path):
    yaml, before = (root / "configs" / "small.yaml").read_bytes(), record()
    said = say("train", "small", "--set", OTHER, "--set", "search.trials=0", "--json")
    assert said.exit_code == 0, said.err
    told = json.loads(said.out)
    assert [change["key"] for change in told["changes"]][-1] == "search.trials"
    assert [gain["against"] for gain in told["gains"]] == ["own settings", "champion v2"]
    own, champion = told["gains"]
    assert own["rows"] > 1000
    assert own["measure"]["low"] <= own["measure"]["value"] <= own["measure"]["high"]
    assert champion["measure"] is None
    assert "fitted through 2013-02: it has seen the judged rows" in champion["note"]
    assert [card["model"] for card in told["scorecards"]] == ["experiment", "own settings"]
    assert record() == before
    assert (root / "configs" / "small.yaml").read_bytes() == yaml
    # in MLflow it is a run of its own, without a model, and once
    kept = run(told["run_id"])
    assert kept.data.tags["experiment"].endswith("search.trials: 2 -> 0")
    assert kept.data.params["set.search.prior.max_depth"] == "2"
    assert kept.data.metrics["gain/own settings"] == pytest.approx(own["measure"]["value"])
    assert kept.info.status == "FINISHED"
    assert json.loads(say("train", "small", "--set", "search.trials=0", "--set", OTHER, "--json").out)["run_id"] == told["run_id"]


@pytest.mark.usefixtures("root")
def test_the_gain_is_what_the_scorecards_say():
    told = json.loads(say("train", "small", "--set", "features.numeric=[pressure]", "--set", "features.categorical=[]", "--json").out)
    losses = {card["model"]: card["measures"]["log_loss"]["value"] for card in told["scorecards"]}
    assert told["gains"][0]["measure"]["value"] == pytest.approx(losses["own settings"] - losses["experiment"])
    assert told["gains"][0]["measure"]["high"] < 0, "a single feature is surely worse"


@pytest.mark.usefixtures("root")
def test_of_an_earlier_month_the_champion_that_has_not_seen_it_is_compared_too():
    from tasks.back import take_back

    assert take_back(Stores(), "small", "a test", "me").champion.version == 1
    told = json.loads(say("train", "small", "--set", "search.seed=9", "--json").out)
    assert [(gain["against"], gain["measure"] is not None) for gain in told["gains"]] == [("own settings", True), ("champion v1", True)]
    assert [card["model"] for card in told["scorecards"]] == ["experiment", "own settings", "champion"]


@pytest.mark.usefixtures("root")
def test_people_read_the_change_the_gain_and_that_nothing_was_released():
    said = say("train", "small", "2013-02", "--set", "search.trials=1")
    assert said.exit_code == 0
    for words in ("search.trials: 2 -> 1", "against own settings: ", "MLflow run ", "Nothing was released"):
        assert words in said.out


@pytest.mark.usefixtures("root")
def test_promote_takes_no_experiment():
    before = json.loads(say("promote", "small", "--json").out)
    say("train", "small", "--set", "search.prior_rounds=4", "--json")
    assert json.loads(say("promote", "small", "--json").out) == before
    assert [seq for seq, decision in record() if decision == "train"] == [seq for seq, decision in record() if decision == "train"][:2]


@pytest.mark.usefixtures("root")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["--set", "search.trails=1"], "unknown key search.trails; nearest: trials", id="unknown key"),
        pytest.param(["--set", "search.trials=x"], "search.trials: Input should be a valid integer", id="bad value"),
        pytest.param(["--set", "source.python=x"], "source may not be set in an experiment", id="what may not be set"),
        pytest.param(["--set", "search.trials=2"], "nothing is changed", id="nothing new"),
        pytest.param(["2019-01", "--set", "search.trails=1"], "unknown key search.trails", id="both: the key is seen before any data"),
        pytest.param(["2019-01", "--set", "search.trials=1"], "no ingested period named '2019-01'", id="no such period"),
    ],
)
def test_what_cannot_be_tried_is_said_and_nothing_is_done(words: list[str], said: str):
    before = record()
    found = say("train", "small", *words)
    assert (found.exit_code, found.out) == (2, "")
    assert said in found.err
    assert record() == before


@pytest.mark.usefixtures("root")
def test_the_form_in_the_prefect_ui_asks_for_a_list_of_settings():
    from prefect.utilities.callables import parameter_schema

    from flows.train import train

    assert parameter_schema(train.fn).model_dump()["properties"]["settings"]["items"] == {"type": "string"}


def test_a_first_month_can_be_tried_too_before_there_is_a_champion(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch):
    from flows.ingest import ingest

    enter(write_tiny(make_clone(tmp_path / "project"), slices), monkeypatch)
    edit_config(tmp_path / "project", split={"first_share": 0.6})
    ingest("small", "2013-01")
    told = json.loads(say("train", "small", "--set", "split.first_share=0.8", "--json").out)
    (gain,) = told["gains"]
    cards = {card["model"]: card["rows"] for card in told["scorecards"]}
    assert cards["own settings"] > cards["experiment"] == gain["rows"], "other rows are judged on: the gain is that of rows in common"
    assert Ledger(Stores()).entries("small", "train") == []
