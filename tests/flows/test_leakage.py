"""A column that was computed from the outcome ends a training before it is paid for: said by name, on record, and mended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from pillars.answers import closing_table
from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores
from tasks.opened import open_as_it_is, open_project
from tests.bad_input.door import say
from tests.clone import make_clone
from tests.small import edit_config, enter, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
DIES_AT_THE_LOOK = """
import os, signal
from pillars.training import leakage
leakage.leaks = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
from flows.train import train
train("small")
"""


def plant(root: Path) -> None:
    """One more feature of the tiny project: how late it was, nearly."""
    file = root / "configs" / "small.yaml"
    config = yaml.safe_load(file.read_text())
    config["columns"]["feels_late"] = {"type": "float", "role": ["feature"]}
    config["features"]["numeric"].append("feels_late")
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    for rows in (root / "slice").glob("rows-*.parquet"):
        table, outcomes = pq.read_table(rows), pq.read_table(rows.with_name(rows.name.replace("rows-", "outcomes-")))
        late = outcomes["late"].fill_null(False).to_numpy(zero_copy_only=False).astype(float)
        pq.write_table(table.append_column("feels_late", pa.array(late + np.random.default_rng(0).normal(scale=0.1, size=len(late)))), rows)


@pytest.fixture
def planted(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = write_tiny(make_clone(tmp_path / "project"), slices)
    plant(root)
    enter(root, monkeypatch)
    return root


def refusals() -> list[Entry]:
    return Ledger(Stores()).entries("small", "leakage")


def artifact(key: str) -> str:
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        found = client.read_artifacts(sort="CREATED_DESC")
    return next(str(one.data) for one in found if one.key == key)


def test_a_planted_leak_is_refused_by_name_and_training_goes_on_once_it_is_gone(planted: Path):
    run = say("replay", "small", "--to", "2013-01")
    assert run.exit_code == 0, run.out + run.err
    (refused,) = refusals()
    assert refused.outcome == "refuse"
    assert refused.reason.startswith("feels_late: alone it tells late: AUC ")
    assert [leak["column"] for leak in refused.facts["leaks"]] == ["feels_late"]
    assert "`feels_late`: alone it tells late" in artifact("leakage-small")
    assert not (Stores().var / "search").exists(), "nothing was searched"
    assert Ledger(Stores()).entries("small", "train") == []
    assert [e.outcome for e in Ledger(Stores()).entries("small", "cycle")] == ["finished"]

    told = say("train", "small", "--json")
    assert told.exit_code == 0
    assert json.loads(told.out)["decision"]["outcome"] == "refuse"
    assert json.loads(say("train", "small", "--set", "search.trials=1", "--json").out)["leaks"][0]["column"] == "feels_late"
    assert len(refusals()) == 1, "asked again it is the same answer"
    status = say("status", "small")
    assert status.exit_code == 1
    assert "nothing was trained in 2013-01 (feels_late: alone it tells late" in status.out
    assert [row.verdict for row in closing_table(Stores(), open_as_it_is("small").config)] == ["not trained, a leak"]


def test_killed_while_it_looks_it_looks_again(planted: Path):
    assert say("ingest", "small", "2013-01").exit_code == 0
    died = subprocess.run([sys.executable, "-c", DIES_AT_THE_LOOK], cwd=planted, capture_output=True, text=True)
    assert died.returncode == -signal.SIGKILL, died.stderr
    assert refusals() == []
    assert "feels_late" in say("train", "small").out
    assert len(refusals()) == 1


def test_taken_out_of_the_features_or_allowed_it_is_trained(planted: Path):
    assert say("ingest", "small", "2013-01").exit_code == 0
    assert "refuse" in say("train", "small").out
    edit_config(planted, leakage={"allow": ["feels_late"]})
    assert say("train", "small").exit_code == 3, "the YAML changed"
    open_project("small", accept_changes=True)
    trained = say("train", "small", "--json")
    assert trained.exit_code == 0, trained.err
    assert json.loads(trained.out)["recipe"]["name"]
    assert "nothing was trained" not in say("status", "small").out
