"""The loop as it runs by itself: deployments made by Prefect's own command, a worker, a schedule, and one run asked for by hand."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deployments.supervisor import end
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.clone import make_clone
from tests.small import edit_config, enter, write_tiny
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.flow]
PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")


@pytest.fixture
def deployed(tmp_path: Path, slices: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A clone whose deployments are on the server, and a worker that takes their runs."""
    root = write_tiny(make_clone(tmp_path / "project"), slices)
    (root / "configs" / "flights.yaml").unlink()
    edit_config(root, schedule={"active": False})
    enter(root, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(root))
    subprocess.run([sys.executable, "-m", "deployments.render"], check=True, capture_output=True)
    subprocess.run([*PREFECT, "work-pool", "create", "pillars", "--type", "process", "--overwrite"], check=True, capture_output=True)
    subprocess.run([*PREFECT, "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"], check=True, capture_output=True, cwd=root)
    environ = os.environ | {"PREFECT_WORKER_QUERY_SECONDS": "2"}
    worker = subprocess.Popen(
        [*PREFECT, "worker", "start", "--pool", "pillars", "--type", "process"],
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield root
    finally:
        parent = psutil.Process(worker.pid)  # it may be about to start one more run: a worker that is asked to end finishes that first
        end([parent, *parent.children(recursive=True)], patience_s=10)


def finished() -> list[str]:
    """Periods whose cycle is on record as finished."""
    return [str(e.inputs["period"]) for e in Ledger(Stores()).entries("small", "cycle") if e.outcome == "finished"]


def test_a_run_by_hand_then_a_schedule_that_fires_twice_advance_three_periods(deployed: Path):
    asked = ["cycle/cycle", "--param", "project=small", "--param", "period=2013-01", "--watch", "--watch-timeout", "400"]
    by_hand = subprocess.run([*PREFECT, "deployment", "run", *asked], capture_output=True, text=True)
    assert by_hand.returncode == 0, by_hand.stdout + by_hand.stderr
    assert finished() == ["2013-01"]
    every_20_s = ["deployment", "schedule", "create", "cycle/cycle-small", "--interval", "20"]
    subprocess.run([*PREFECT, *every_20_s], check=True, capture_output=True)
    wait_until(lambda: len(finished()) >= 3, deadline_s=420, every_s=1, what="two scheduled cycles")
    assert finished()[:3] == ["2013-01", "2013-02", "2013-03"]
    assert Ledger(Stores()).verify() > 15
