"""The example of people through the whole loop on a real Prefect server: groups, slices, behaviour, own Python, and a waiver that ends."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from pillars.monitoring.ledger import Entry
from tasks.opened import Opened, open_project
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import enter

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
LIMIT = "equalised_odds_difference"
PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture(scope="module")
def replayed_people(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Path:
    """A clone in which two blocks of people have been through the loop, with a limit that they break and a waiver for the first block."""
    from flows.replay import replay

    root = make_clone(tmp_path_factory.mktemp("people") / "project")
    file = root / "configs" / "adult.yaml"
    config = yaml.safe_load(file.read_text())
    config["search"] |= {"trials": 0, "max_rounds": 40, "prior_rounds": 40}
    config["gate"] |= {"resamples": 200}
    config["fairness"]["limits"] = {LIMIT: 0.05}
    (race,) = config["fairness"]["waivers"]
    config["fairness"]["waivers"] = [race | {"group": group, "until": "00000001"} for group in ("sex", "race")]
    config["behaviour"][0]["share"] = 0.1
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    with pytest.MonkeyPatch.context() as context:
        enter(root, context)
        assert replay("adult", last="00000002") == ["00000001", "00000002"]
    return root


@pytest.fixture
def opened(replayed_people: Path, monkeypatch: pytest.MonkeyPatch) -> Opened:
    enter(replayed_people, monkeypatch)
    return open_project("adult")


def trained(opened: Opened) -> tuple[Entry, Entry]:
    first, second = opened.ledger.entries("adult", "train")
    return first, second


def conditions(entry: Entry) -> dict[str, Any]:
    return {one["name"]: one["decision"] for one in entry.facts["conditions"]}  # type: ignore[attr-defined]


def artifact(key: str) -> list[str]:
    """Pages of this name, oldest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    return [str(one.data) for one in sorted(found, key=lambda one: str(one.created))]


def test_everything_that_the_yaml_asks_is_a_condition_on_record(opened: Opened) -> None:
    first, second = trained(opened)
    behaviour = [f"behaviour {one.name}" for one in opened.config.behaviour]
    asked = ["auc", "overstated", "worst slice", f"{LIMIT} of sex", f"{LIMIT} of race", "policy", *behaviour]
    assert list(conditions(first)) == list(conditions(second)) == asked
    assert [name for name, said in conditions(first).items() if said["outcome"] != "accept"] == []


def test_a_waiver_that_ended_keeps_the_next_candidate_from_release(opened: Opened) -> None:
    first, second = (conditions(entry)[f"{LIMIT} of sex"] for entry in trained(opened))
    assert "waived until 00000001 by A. Miller" in first["reason"]
    assert second["outcome"] == "refuse"
    assert "the waiver by A. Miller ended with 00000001" in second["reason"]
    promoted, kept = opened.ledger.entries("adult", "promote")
    assert (promoted.outcome, kept.outcome) == ("accept", "refuse")
    assert f"{LIMIT} of sex" in kept.reason
    assert opened.past.champion() == 1


def test_the_model_that_never_saw_a_sex_tells_them_apart_all_the_same(opened: Opened) -> None:
    sex, race, crossed = trained(opened)[1].facts["fairness"]  # type: ignore[misc]
    assert (sex["by"], race["by"], crossed["by"]) == ("sex", "race", "sex x race")  # type: ignore[index]
    assert sex["differences"]["demographic_parity_difference"]["low"] > 0.2  # type: ignore[index]
    assert race["small"] == 2, "two groups have fewer than 100 people in a block"  # type: ignore[index]


def test_mlflow_has_the_measures_and_the_pictures(opened: Opened) -> None:
    from mlflow import MlflowClient

    client, run_id = MlflowClient(opened.stores.tracking_uri), str(trained(opened)[1].facts["run_id"])
    metrics = client.get_run(run_id).data.metrics
    assert {"challenger/overstated", "challenger/pr_auc", "slice/sex _ Male/increase", "slice/sex _ Male/rows"} <= metrics.keys()
    assert 0 < metrics[f"fairness/sex/{LIMIT}"] < 1
    assert metrics["fairness/sex/sex _ Male/tpr"] > metrics["fairness/sex/sex _ Female/tpr"], "MLflow has no = in a name"
    drawn = {Path(one.path).stem for one in client.list_artifacts(run_id, "plots")}
    assert {"reliability", "slices", "groups", "reliance", "dependence"} <= drawn


@pytest.mark.usefixtures("opened")
def test_prefect_shows_the_tables_and_the_pictures() -> None:
    page = artifact("candidate-adult")[-1]
    for words in ("## Slices", "## Groups by sex", "## Groups by sex x race", "| sex = Female | ", "2 smaller groups are not compared"):
        assert words in page
    assert "## What the released boosters lean on" in page
    assert "| marital_status | " in page
    pictures = dict(re.findall(r"!\[(\w+)\]\(data:image/png;base64,([^)]+)\)", artifact("pictures-adult")[-1]))
    assert list(pictures) == ["reliability", "slices", "groups", "reliance", "dependence"]
    assert {base64.b64decode(one)[:8] for one in pictures.values()} == {PNG}


def test_the_command_says_the_conditions_and_a_second_time_changes_nothing(opened: Opened) -> None:
    before = [entry.mac for entry in opened.ledger.entries("adult")]
    told = json.loads(say("train", "adult", "00000002", "--json").out)
    assert [one["name"] for one in told["conditions"]] == list(conditions(trained(opened)[1]))
    assert [entry.mac for entry in opened.ledger.entries("adult")] == before


def test_another_waiver_is_another_training_and_only_after_it_was_accepted(opened: Opened) -> None:
    file = opened.stores.config_file("adult")
    text = file.read_text()
    file.write_text(text.replace("until: '00000001'", "until: '00000002'"))
    try:
        said = say("train", "adult", "00000002", "--json")
        assert said.exit_code != 0
        assert "fairness.waivers" in said.err
    finally:
        file.write_text(text)


def test_an_own_measure_that_fails_ends_the_training_in_one_line(opened: Opened) -> None:
    code = opened.stores.root / "odd_measures.py"
    code.write_text("def odd(y, p):\n    return p[1:]\n")
    before = [entry.mac for entry in opened.ledger.entries("adult")]
    said = say("train", "adult", "00000002", "--set", "metrics={overstated: projects.adult.overstated, odd: odd_measures.odd}", "--json")
    assert said.exit_code == 2
    assert "metrics.odd: odd_measures.odd must give" in said.err
    assert "Traceback" not in said.err
    assert [entry.mac for entry in opened.ledger.entries("adult")] == before
