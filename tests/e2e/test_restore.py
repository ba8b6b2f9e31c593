"""An installation backed up, its machine gone, and restored elsewhere: the loop goes on as if nothing had happened."""

from __future__ import annotations

import json
import shutil
import sqlite3
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

from pillars.recovery import inventory
from tests.clone import make_clone
from tests.e2e.test_run import pillars
from tests.small import edit_config, write_tiny

pytestmark = [pytest.mark.e2e, pytest.mark.slow]
LOADS = """
import mlflow, sys
uri = "sqlite:///" + sys.argv[1] + "/mlflow/mlflow.db"
mlflow.set_tracking_uri(uri); mlflow.set_registry_uri(uri)
client = mlflow.MlflowClient()
for version in client.search_model_versions("name = 'small'"):
    mlflow.pyfunc.load_model(f"models:/small/{version.version}")
for experiment in client.search_experiments():
    for run in (run for run in client.search_runs([experiment.experiment_id]) if "mlflow.parentRunId" not in run.data.tags):
        print(run.info.run_id, len(client.list_artifacts(run.info.run_id)))
"""


@pytest.fixture(scope="module")
def restored(tmp_path_factory: pytest.TempPathFactory, slices: Path) -> tuple[Path, dict[str, str], set[str]]:
    """A clone restored from another one that is gone; what that one said of itself, and what its `var` held at its top."""
    here = tmp_path_factory.mktemp("first machine")
    old = write_tiny(make_clone(here / "project"), slices)
    edit_config(old, source={"python": "small_source", "options": {"last": "2013-02"}})
    run = pillars(old, "run", "small")
    assert run.returncode == 0, run.stderr
    said = {verb: pillars(old, verb, "small", "--json").stdout for verb in ("status", "run")}
    names = {file.relative_to(old / "var").as_posix() for file in (old / "var").rglob("*") if file.is_file()}
    file = tmp_path_factory.mktemp("elsewhere") / "all.tar"
    made = pillars(old, "backup", str(file))
    assert made.returncode == 0, made.stderr
    shutil.rmtree(here)
    new = write_tiny(make_clone(tmp_path_factory.mktemp("second") / "a longer" / "place"), slices)
    (new / "configs" / "small.yaml").unlink()
    assert pillars(new, "backup", str(file), "--check").returncode == 0
    placed = pillars(new, "restore", str(file), "--json")
    assert placed.returncode == 0, placed.stderr
    assert json.loads(placed.stdout)["ledger_rows"] > 5
    return new, said, names


def test_it_says_of_itself_what_the_first_one_said(restored: tuple[Path, dict[str, str], set[str]]) -> None:
    new, said, _ = restored
    for verb, before in said.items():
        assert pillars(new, verb, "small", "--json").stdout == before


def test_models_load_and_artifacts_are_listed(restored: tuple[Path, dict[str, str], set[str]]) -> None:
    new, _, _ = restored
    done = subprocess.run([sys.executable, "-c", LOADS, str(new / "var")], cwd=new, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    counts = [int(line.split()[1]) for line in done.stdout.splitlines()]
    assert counts
    assert min(counts) > 0


def test_both_copies_of_the_data_are_whole(restored: tuple[Path, dict[str, str], set[str]]) -> None:
    new, _, _ = restored
    looked = pillars(new, "data", "audit", "small")
    assert looked.returncode == 0, looked.stdout + looked.stderr


def test_prefects_history_is_there(restored: tuple[Path, dict[str, str], set[str]]) -> None:
    new, _, _ = restored
    with sqlite3.connect(new / "var" / "prefect" / "prefect.db") as database:
        assert database.execute("SELECT count(*) FROM flow_run WHERE state_type = 'COMPLETED'").fetchone()[0] >= 10


def test_no_database_leads_to_the_first_machine(restored: tuple[Path, dict[str, str], set[str]]) -> None:
    new, _, _ = restored
    for name in ("mlflow/mlflow.db", "prefect/prefect.db"):
        with sqlite3.connect(new / "var" / name) as database:
            dump = "\n".join(database.iterdump())
        assert "first machine" not in dump
        assert "first%20machine" not in dump


def test_all_that_a_run_leaves_is_declared(restored: tuple[Path, dict[str, str], set[str]]) -> None:
    _, _, names = restored
    strange = [
        name
        for name in names
        if name.split("/")[0] not in inventory.FILES
        and name not in inventory.LEDGER
        and not any(fnmatch(name, pattern) for pattern in inventory.LEFT_OUT)
    ]
    assert not strange


def test_the_loop_goes_on(restored: tuple[Path, dict[str, str], set[str]]) -> None:
    new, _, _ = restored
    edit_config(new, source={"python": "small_source", "options": {"last": "2013-03"}})
    done = pillars(new, "run", "small", "--continue", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["period"] for row in json.loads(done.stdout)] == ["2013-01", "2013-02", "2013-03"]
