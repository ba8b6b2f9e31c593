"""`pillars drill` through the door: on a real Prefect server, against real servers, and nothing of the project is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pillars.stores import Stores
from tests import drilled
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import enter


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = make_clone(tmp_path / "project")
    enter(root, monkeypatch)
    return root


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("drill", "nobody"), 2, "nobody", id="no such project"),
        pytest.param(("drill", "flights"), 2, "pillars deploy, makes one", id="nothing was deployed"),
        pytest.param(("drill", "flights", "--fault", "gremlins"), 2, "gremlins", id="no such fault"),
        pytest.param(("drill", "flights", "--strategy", "hope"), 2, "hope", id="no such strategy"),
        pytest.param(("drill", "flights", "--controls", "-1"), 2, "--controls", id="fewer than none"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(clone: Path, words: tuple[str, ...], code: int, said: str) -> None:
    ended = say(*words)
    assert (ended.exit_code, said in ended.err) == (code, True), ended
    assert "Traceback" not in ended.err
    assert not (clone / "var" / "prefect").exists(), "no server was started for nothing"


@pytest.mark.flow
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
@pytest.mark.timeout(1_200)
def test_faults_are_found_and_taken_back_and_nothing_of_the_project_is_touched(clone: Path) -> None:
    drilled.deployed(clone)
    before = {path: path.read_bytes() for path in (clone / "var" / "releases").rglob("*") if path.is_file()}
    faults = ("errors", "half-written policy", "wrong scores")
    words = [word for fault in faults for word in ("--fault", fault)]
    ended = say("drill", "small", "--strategy", "canary", *words, "--controls", "1", "--json")
    assert ended.exit_code == 0, ended
    found = json.loads(ended.out)
    assert [(one["fault"], one["end"], one["problems"]) for one in found["plays"]] == [
        ("none", "promoted", []),
        ("errors", "taken back", []),
        ("half-written policy", "restored", []),
        ("wrong scores", "taken back", []),
    ]
    assert all(one["injected"] for one in found["plays"])
    assert (found["false_alarms"], found["clean_runs"], found["version"]) == (0, 1, 7)
    assert {path: path.read_bytes() for path in (clone / "var" / "releases").rglob("*") if path.is_file()} == before
    assert not (Stores().var / "served").exists()
    assert not (Stores().var / "ledger.db").exists()
