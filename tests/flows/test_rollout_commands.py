"""What `pillars verdict`, `manifests`, `pin` and `rollout` say to people, right and wrong, without any server."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
import yaml

from pillars.deployment import traffic
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.flows.test_rollback import deployed
from tests.small import enter

__all__ = ["deployed"]
IMAGE = ("--image", "team/serving:1", "--claim", "pillars-var")


@pytest.fixture
def here(deployed: Stores, monkeypatch: pytest.MonkeyPatch) -> Stores:
    enter(deployed.root, monkeypatch)
    return deployed


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        pytest.param(("verdict", "nobody"), 2, "nobody", id="no such project"),
        pytest.param(("verdict", "small", "--serve", "70000"), 2, "70000", id="no such port"),
        pytest.param(("manifests", "small"), 2, "--image", id="no image"),
        pytest.param(("manifests", "small", *IMAGE, "--namespace", "a b"), 2, "--namespace: 'a b' is none", id="no namespace"),
        pytest.param(("manifests", "small", *IMAGE, "--for", "argo"), 2, "--flows: '' is none", id="no judge"),
        pytest.param(("manifests", "small", *IMAGE, "--image", "a:1\nkind: Secret"), 2, "--image: ", id="another document"),
        pytest.param(("manifests", "small", *IMAGE, "--replicas", "0"), 2, "--replicas: 0 is not 1 to 1000. Nothing was done", id="nobody"),
        pytest.param(("pin", "-1", "small"), 2, "No such option", id="an option"),
        pytest.param(("pin", "1.5", "small"), 2, "'1.5' is no version", id="half a version"),
        pytest.param(("pin", "9999999999", "small"), 2, "is no version", id="an endless version"),
        pytest.param(("pin", "1", "small", "more"), 2, "no more", id="a word too many"),
        pytest.param(("pin",), 2, "Missing argument", id="nothing"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_message(here: Stores, words: tuple[str, ...], code: int, said: str) -> None:
    before = (here.var / "releases" / "small" / "policy.json").read_bytes()
    ended = say(*words)
    assert (ended.exit_code, said in ended.err) == (code, True), ended
    assert "Traceback" not in ended.err
    assert (here.var / "releases" / "small" / "policy.json").read_bytes() == before


def test_a_verdict_on_nothing_is_inconclusive(here: Stores) -> None:
    assert say("verdict", "small").out.splitlines()[0] == "inconclusive: nothing is on trial"
    assert json.loads(say("verdict", "small", "--report", "--json").out)["health"] == "inconclusive"


@pytest.mark.parametrize("target", ["kserve", "argo"])
def test_manifests_are_yaml_documents_or_json(here: Stores, target: str) -> None:
    words = ("manifests", "small", *IMAGE, "--for", target, "--flows", "team/flows:1")
    as_yaml, as_json = list(yaml.safe_load_all(say(*words).out)), json.loads(say(*words, "--json").out)
    assert as_yaml == as_json
    assert as_yaml[-1]["kind"] == {"kserve": "InferenceService", "argo": "Rollout"}[target]


def test_a_policy_that_cannot_be_read_is_no_traceback(here: Stores) -> None:
    (here.var / "releases" / "small" / "policy.json").write_bytes(b'{"format": 1, "trial": 7}')
    for words in (("verdict", "small"), ("manifests", "small", *IMAGE)):
        ended = say(*words)
        assert (ended.exit_code, "cannot be read as a traffic policy" in ended.err) == (6, True), ended


def test_a_verdict_is_served_until_it_is_stopped(here: Stores, tmp_path: Path) -> None:
    environ = {**os.environ, "PILLARS_ROOT": str(here.root)}
    command = [sys.executable, "-m", "flows", "verdict", "small", "--serve", "0"]
    with subprocess.Popen(command, cwd=here.root, env=environ, stderr=subprocess.PIPE, text=True) as serving:
        assert serving.stderr is not None
        url = serving.stderr.readline().strip()
        with urllib.request.urlopen(url, timeout=30) as said:
            assert json.load(said)["reason"] == "nothing is on trial"
        serving.send_signal(signal.SIGINT)
        rest = serving.stderr.read()
        assert serving.wait(30) == 130, rest
        assert "Traceback" not in rest
    assert traffic.read(here, "small") is not None
