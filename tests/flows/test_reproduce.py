"""`pillars reproduce`, of a project that two months have been through: verdicts, exit codes, what is on record."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import edit_config, enter, through_two_months, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
USER = ("-c", "user.name=A User", "-c", "user.email=user@example.org")


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory, slices: Path, prefect_server: str) -> Path:
    """A clone whose tiny project is committed, and has been through two months."""
    root = write_tiny(make_clone(tmp_path_factory.mktemp("first") / "project"), slices)
    commit(root)
    return through_two_months(root)


@pytest.fixture
def entered(first: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    enter(first, monkeypatch)
    return first


def commit(root: Path) -> None:
    for arguments in (["add", "-A"], [*USER, "commit", "-q", "-m", "the project"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)


def on_record() -> list[Entry]:
    return Ledger(Stores()).entries("small", "reproduce")


@pytest.mark.usefixtures("entered")
def test_every_version_is_the_same_bytes_again_and_each_verdict_is_on_record():
    before = len(on_record())
    said = say("reproduce", "--all", "small", "--json")
    assert said.exit_code == 0, said.out + said.err
    told = json.loads(said.out)
    assert [(one["version"], one["verdict"], one["factors"], one["notes"]) for one in told] == [
        (1, "IDENTICAL", [], []),
        (2, "IDENTICAL", [], []),
    ]
    one, two = on_record()[before:]
    assert (one.outcome, one.inputs["version"], two.inputs["version"], two.inputs["after"]) == ("accept", 1, 2, one.seq)
    assert one.facts["made"] == one.facts["recorded"] == told[0]["recorded"]
    assert one.reason.startswith("IDENTICAL: ")


@pytest.mark.usefixtures("entered")
def test_the_prefect_ui_shows_a_table_and_the_story_and_the_status_are_as_before():
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

    before = say("status", "small", "--json").out
    said = say("reproduce", "v2", "small")
    assert said.exit_code == 0
    assert said.out.startswith("IDENTICAL   v2  ")
    assert say("status", "small", "--json").out == before
    with get_client(sync_client=True) as client:
        found = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["reproduction-small"])))
    assert any('"IDENTICAL"' in str(artifact.data) for artifact in found)


@pytest.mark.usefixtures("entered")
def test_a_random_version_is_drawn_by_the_record_and_not_by_the_clock():
    from flows.reproduce import reproduce
    from tasks import reproduction
    from tasks.opened import open_as_it_is

    opened = open_as_it_is("small")
    assert reproduction.chosen(opened, "random") == reproduction.chosen(open_as_it_is("small"), "random")
    (found,) = reproduce("small", "random")
    assert (found.version, found.verdict) == (1, "IDENTICAL"), "an earlier one than the newest"
    assert [version.version for version in reproduction.chosen(opened, "newest")] == [2]
    assert [version.version for version in reproduction.chosen(opened, "champion")] == [opened.past.champion()]


@pytest.mark.usefixtures("entered")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        pytest.param(["9", "small"], "no version of small named '9'", id="no such version"),
        pytest.param(["rubbish", "small"], "no version of small named 'rubbish'", id="no word"),
        pytest.param(["1", "nowhere"], "no project named 'nowhere'", id="no such project"),
        pytest.param([], "name a version", id="nothing"),
        pytest.param(["--all", "1", "small"], "--all takes a project and no version", id="all and one"),
        pytest.param(["1", "small", "2"], "a version and a project, no more", id="too many"),
        pytest.param(["1", "small", "--epsilon", "-1"], "epsilon", id="less than nothing"),
    ],
)
def test_what_cannot_be_asked_for_is_one_sentence(words: list[str], said: str):
    before = len(on_record())
    found = say("reproduce", *words)
    assert (found.exit_code, found.out) == (2, "")
    assert said in found.err
    assert len(on_record()) == before


@pytest.mark.parametrize("threads", ["1", "2"])
def test_a_fresh_clone_pointed_at_the_stores_of_the_first_makes_the_same_bytes(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, threads: str
):
    there = tmp_path / "there"
    subprocess.run(["git", "clone", "-q", str(first), str(there)], check=True)
    enter(there, monkeypatch)
    var = first / "var"
    monkeypatch.setenv("PILLARS_THREADS", threads)
    monkeypatch.setenv("PILLARS_VAR", str(var))
    monkeypatch.setenv("PILLARS_REMOTE", str(var / "dvc" / "remote"))
    monkeypatch.setenv("PILLARS_MLFLOW_URI", f"sqlite:///{var / 'mlflow' / 'mlflow.db'}")
    monkeypatch.setenv("PILLARS_LEDGER_URI", f"sqlite:///{var / 'ledger.db'}")
    told = json.loads(say("reproduce", "--all", "small", "--json").out)
    assert [one["verdict"] for one in told] == ["IDENTICAL", "IDENTICAL"]


def test_a_yaml_that_was_changed_since_and_lost_data_end_with_what_they_mean(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch):
    """One clone's history; its code is not committed."""
    root = write_tiny(make_clone(tmp_path / "project"), slices)
    enter(root, monkeypatch)
    from flows.replay import replay

    edit_config(root, registry={"external_changes": "ask", "dirty_tree": "refuse"})
    # a strict project registers what comes from uncommitted code, and does not promote it
    assert replay("small", last="2013-01") == ["2013-01"]
    (refused,) = Ledger(Stores()).entries("small", "promote")
    assert refused.outcome == "refuse"
    assert "uncommitted changes on top of" in refused.reason
    assert Ledger(Stores()).entries("small", "deploy") == []
    # what was not promoted is made again as well, by its patch
    assert json.loads(say("reproduce", "1", "small", "--json").out)[0]["verdict"] == "IDENTICAL"
    # once it is committed, the same period is trained again and promoted
    commit(root)
    assert say("train", "small").exit_code == 0
    assert json.loads(say("promote", "small", "--json").out)["outcome"] == "accept"
    assert say("train", "small").exit_code == 0
    assert len(Ledger(Stores()).entries("small", "train")) == 2, "and trained once"
    # settings that changed since are no reason not to look back
    edit_config(root, search={"seed": 77})
    said = say("reproduce", "--all", "small", "--json")
    assert [one["verdict"] for one in json.loads(said.out)] == ["IDENTICAL", "IDENTICAL"]
    assert said.exit_code == 0
    # data that is gone: no error, exit 1, on record as nobody can say
    for copy in (root / "var" / "dvc").rglob("files/md5/??/*"):
        copy.unlink()
    said = say("reproduce", "newest", "small")
    assert said.exit_code == 1
    assert said.out.startswith("ERASED      v2  ")
    assert on_record()[-1].outcome == "inconclusive"
