"""`pillars compare`, of a project that three months have been through: what differs, what moved the loss, what a kill leaves."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import edit_config, enter, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
USER = ("-c", "user.name=A User", "-c", "user.email=user@example.org")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, slices: Path, prefect_server: str) -> Path:
    """Versions 1 and 2 of January and February, the second under another YAML; March came in, and nobody was fitted on it."""
    from flows.ingest import ingest
    from flows.replay import replay

    root = write_tiny(make_clone(tmp_path_factory.mktemp("compared") / "project"), slices)
    features = yaml.safe_load((root / "configs" / "small.yaml").read_text())["features"]
    edit_config(root, features={"numeric": ["pressure"]})
    commit(root)
    with pytest.MonkeyPatch.context() as context:
        enter(root, context)
        assert replay("small", last="2013-01") == ["2013-01"]
        edit_config(root, features=features, search={"seed": 5, "trials": 0})
        commit(root)
        assert replay("small", last="2013-02", accept_changes=True) == ["2013-02"]
        ingest("small", "2013-03")
    return root


@pytest.fixture
def entered(first: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(first, monkeypatch)
    return first


def commit(root: Path) -> None:
    for arguments in (["add", "-A"], [*USER, "commit", "-q", "-m", "the project"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def told(*words: str) -> dict[str, Any]:
    said = say("compare", *words, "--json")
    assert said.exit_code == 0, said.err
    return json.loads(said.out)


@pytest.mark.usefixtures("entered")
def test_two_versions_side_by_side_on_rows_that_neither_was_fitted_on_and_nothing_changes():
    before = len(Ledger(Stores()).entries("small"))
    found = told("1", "v2", "small")
    facts = {fact["name"]: (fact["one"], fact["other"]) for fact in found["facts"]}
    assert facts["fitted through"] == ("2013-01", "2013-02")
    assert facts["seed"] == ("0", "5")
    assert facts["data version"][0] != facts["data version"][1]
    assert facts["code commit"][0] != facts["code commit"][1]
    assert facts["code that ran"][0] == facts["code that ran"][1]
    assert [change["key"] for change in found["changes"]] == ["features.numeric", "search.seed", "search.trials"]
    assert [(card["model"], card["rows_of"]) for card in found["trained"]] == [("v1", "2013-01"), ("v2", "2013-02")]
    assert [(card["model"], card["rows_of"]) for card in found["judged"]] == [("v1", "2013-03"), ("v2", "2013-03")]
    losses = [card["measures"]["log_loss"]["value"] for card in found["judged"]]
    assert found["gain"]["measure"]["value"] == pytest.approx(losses[0] - losses[1])
    assert found["notes"] == []
    assert len(Ledger(Stores()).entries("small")) == before


@pytest.mark.usefixtures("entered")
def test_the_other_way_round_it_is_the_other_way_round():
    one, other = told("1", "newest", "small"), told("champion", "1", "small")
    assert one["gain"]["measure"]["value"] == pytest.approx(-other["gain"]["measure"]["value"])
    assert (other["one"], other["other"]) == (2, 1)


@pytest.mark.usefixtures("entered")
def test_each_factor_put_over_alone_is_judged_and_the_parts_and_the_rest_are_the_whole():
    found = told("1", "2", "small", "--attribute")
    moved = found["attribution"]
    factors = {each["factor"]: each for each in moved["factors"]}
    assert {"data", "config", "seed"} <= factors.keys()
    assert "code" not in factors, "the commits differ in the YAML alone"
    assert moved["total"]["value"] == pytest.approx(found["gain"]["measure"]["value"]), "both were made again, and are the registered ones"
    for way, rest in (("forward", "interaction_forward"), ("backward", "interaction_backward")):
        parts = sum(each[way]["value"] for each in factors.values()) + moved[rest]["value"]
        assert parts == pytest.approx(moved["total"]["value"])
    assert factors["config"]["forward"]["value"] > 0, "with more features the one is better"
    assert moved["judged_on"] == "2013-03"
    assert moved["notes"] == []


@pytest.mark.usefixtures("entered")
def test_what_was_fitted_is_not_fitted_again_and_a_changed_file_is(monkeypatch: pytest.MonkeyPatch):
    from pillars.reproduction import remaking

    before = told("1", "2", "small", "--attribute")["attribution"]
    fits: list[str] = []
    original = remaking.remake
    monkeypatch.setattr(remaking, "remake", lambda *given, **named: (fits.append("fit"), original(*given, **named))[1])
    assert told("1", "2", "small", "--attribute")["attribution"] == before
    assert fits == []
    kept = sorted((Stores().var / "attributions" / "small").glob("*.npz"))
    kept[0].unlink()
    content = bytearray(kept[1].read_bytes())
    content[len(content) // 2] ^= 1
    kept[1].write_bytes(bytes(content))
    assert told("1", "2", "small", "--attribute")["attribution"] == before
    assert fits == ["fit", "fit"]


@pytest.mark.usefixtures("entered")
def test_killed_half_way_it_goes_on_and_leaves_no_process(first: Path):
    import os
    import signal
    import sys

    from tests.waiting import wait_until

    folder = Stores().var / "attributions" / "small"
    for file in folder.glob("*.npz"):
        file.unlink()
    environ = os.environ | {"PYTHONPATH": f"{Path(__file__).resolve().parents[2]}:{first}"}
    command = [sys.executable, "-m", "flows", "compare", "1", "2", "small", "--attribute"]
    process = subprocess.Popen(command, cwd=first, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: len(list(folder.glob("*.npz"))) >= 2, deadline_s=240, what="two fits")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    kept = {file.name: file.stat().st_mtime_ns for file in folder.glob("*.npz")}
    assert len(kept) >= 2
    told("1", "2", "small", "--attribute")
    assert {name: (folder / name).stat().st_mtime_ns for name in kept} == kept


@pytest.mark.usefixtures("entered")
def test_people_read_tables_and_the_prefect_ui_shows_one():
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    said = say("compare", "1", "2", "small", "--attribute")
    assert said.exit_code == 0
    for words in ("search.seed: 0 -> 5", "v2 against v1: log_loss gain", "interaction", "v1 takes v2's", "of 2013-03"):
        assert words in said.out, said.out
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["attribution-small"])))
    assert any("config" in str(artifact.data) for artifact in found)


@pytest.mark.usefixtures("entered")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["1", "9", "small"], "no version of small named '9'", id="no such version"),
        pytest.param(["1", "rubbish", "small"], "no version of small named 'rubbish'", id="no word"),
        pytest.param(["1", "2", "nowhere"], "no project named 'nowhere'", id="no such project"),
        pytest.param(["1"], "name two versions", id="one"),
        pytest.param(["1", "2", "small", "x"], "name two versions", id="too many"),
        pytest.param(["2", "newest", "small"], "2 and newest are one version, v2", id="the same"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(words: list[str], said: str):
    found = say("compare", *words)
    assert (found.exit_code, found.out) == (2, "")
    assert said in found.err


def test_without_newer_rows_the_newest_judge_and_who_saw_them_is_fitted_without(
    tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch
):
    from flows.replay import replay

    root = write_tiny(make_clone(tmp_path / "project"), slices)
    enter(root, monkeypatch)
    assert replay("small", last="2013-02") == ["2013-01", "2013-02"]
    found = told("1", "2", "small", "--attribute")
    assert found["gain"]["measure"] is None
    assert "no rows with outcomes are newer than 2013-02" in found["gain"]["note"]
    moved = found["attribution"]
    assert moved["judged_on"] == "2013-02"
    assert "data" not in {each["factor"] for each in moved["factors"]}, "through January both have the same rows"
    assert moved["notes"][0] == "v2 was fitted through 2013-02; here it is fitted through 2013-01: 2013-02 judges"
