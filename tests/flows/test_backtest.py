"""The backtest of a candidate where people look for it, nested and by folds, and after a kill."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pillars.answers.history import facts_of
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Candidate
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.flows.test_leakage import artifact
from tests.small import edit_config, enter, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.usefixtures("prefect_server")]
DIES_AFTER_THE_FIRST_NESTED_SEARCH = """
import os, signal
from pillars.training import backtest
real = backtest.tune
def tune(*args):
    real(*args)
    os.kill(os.getpid(), signal.SIGKILL)
backtest.tune = tune
from flows.train import train
train("small")
"""


def candidates() -> list[Candidate]:
    return [facts_of(entry, Candidate) for entry in Ledger(Stores()).entries("small", "train")]


def mlflow() -> Any:
    from mlflow import MlflowClient

    return MlflowClient(Stores().tracking_uri)


@pytest.mark.usefixtures("replayed")
def test_a_candidate_carries_its_backtest_to_ledger_mlflow_and_prefect():
    first, second = candidates()
    assert [one.judged for one in first.backtest.origins] == ["2013-01"]
    assert [one.judged for one in second.backtest.origins] == ["2013-02"], "only February has a whole month before it"
    (at,) = second.backtest.origins
    assert (at.fitted_through, at.recipe) == ("2013-01", second.recipe.name)
    assert at.loss.low < at.loss.value < at.loss.high
    client = mlflow()
    kept = client.get_run(second.run_id)
    assert kept.data.metrics["backtest/log_loss"] == pytest.approx(at.loss.value)
    assert kept.data.metrics["backtest/log_loss.base"] == pytest.approx(at.base)
    assert f"**Backtest**: {second.backtest.said}" in kept.data.tags["mlflow.note.content"]
    path = client.download_artifacts(second.run_id, "backtest.json")
    assert json.loads(Path(path).read_text())["origins"][0]["judged"] == "2013-02"
    shown = artifact("candidate-small")
    assert "Rolling origin: log_loss" in shown
    assert f"| 2013-02 | 2013-01 | {at.fit_rows} | {at.recipe} | {at.loss} | {at.base:.4f} |" in shown


@pytest.mark.slow
def test_nested_by_folds_killed_in_between_it_repeats_no_search(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch):
    root = write_tiny(make_clone(tmp_path / "project"), slices)
    enter(root, monkeypatch)
    edit_config(
        root, split={"folds": {"by": "group", "count": 2, "group": "carrier"}}, backtest={"origins": 2, "nested": 2}, leakage={"limit": 1.0}
    )
    for period in ("2013-01", "2013-02", "2013-03"):
        assert say("ingest", "small", period).exit_code == 0
    died = subprocess.run([sys.executable, "-c", DIES_AFTER_THE_FIRST_NESTED_SEARCH], cwd=root, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert candidates() == []
    made = {file.name: file.stat().st_mtime_ns for file in (Stores().var / "search" / "small").glob("*.json")}
    assert {name[:7] for name in made} == {"2013-02", "2013-03"}
    said = say("train", "small", "--json")
    assert said.exit_code == 0, said.err
    assert {file.name: file.stat().st_mtime_ns for file in (Stores().var / "search" / "small").glob("*.json")} == made
    told = json.loads(said.out)["backtest"]
    assert [one["judged"] for one in told["procedure"]] == ["2013-02", "2013-03"]
    assert [one["chosen_on"] for one in told["origins"]] == [True, False]
    found = json.loads(next((Stores().var / "search" / "small").glob("2013-03-*.json")).read_text())
    assert found["rows"]["folds"] == {"by": "group", "count": 2, "group": "carrier", "repeats": 1}
    assert "searched then" in artifact("candidate-small")


@pytest.mark.slow
def test_turned_off_there_is_none(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch):
    root = write_tiny(make_clone(tmp_path / "project"), slices)
    enter(root, monkeypatch)
    edit_config(root, backtest={"origins": 0})
    assert say("ingest", "small", "2013-01").exit_code == 0
    told = json.loads(say("train", "small", "--json").out)
    assert told["backtest"]["origins"] == told["backtest"]["procedure"] == []
    assert "Rolling origin" not in artifact("candidate-small")
