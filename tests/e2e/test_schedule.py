"""The loop as it runs by itself: deployments made by Prefect's own command, a worker, a schedule, and one run asked for by hand."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sklearn.datasets import load_wine

from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.bad_input.door import say_apart
from tests.clone import make_clone
from tests.e2e.deployed import PREFECT, deployed, finished
from tests.small import edit_config, enter, write_tiny
from tests.waiting import wait_until

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.flow]


@pytest.fixture
def clone(tmp_path: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's clone that is entered, also by the runs of the worker."""
    root = make_clone(tmp_path / "project")
    enter(root, monkeypatch)
    monkeypatch.setenv("PYTHONPATH", str(root))
    return root


@pytest.fixture
def flights(clone: Path, slices: Path) -> Iterator[Path]:
    """The project `small` deployed; its schedules sleep."""
    write_tiny(clone, slices)
    edit_config(clone, schedule={"active": False, "audit": "@weekly"})
    with deployed(clone, "small"):
        yield clone


@pytest.fixture
def wine(clone: Path) -> Iterator[None]:
    """A stranger's file made a project by `init`, as scikit-learn has it, and deployed; its YAML's own schedule fires every minute."""
    load_wine(as_frame=True).frame.sample(frac=1, random_state=0).to_csv(clone / "wine.csv", index=False)
    said = say_apart(clone, "init", "wine.csv", "--target", "target")
    assert said.exit_code == 0, said.err
    file = clone / "configs" / "wine.yaml"
    file.write_text(re.sub(r'cron: ".*?"', 'cron: "* * * * *"', file.read_text()))
    with deployed(clone, "wine"):
        yield


def runs_of(deployment: str) -> list[FlowRun]:
    """Runs of a deployment that began, oldest first."""
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters
    from prefect.client.schemas.sorting import FlowRunSort

    of_it = filters.DeploymentFilter(name=filters.DeploymentFilterName(any_=[deployment]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(deployment_filter=of_it, sort=FlowRunSort.START_TIME_ASC)
    return [run for run in found if run.start_time]


def runs_by_schedule(deployment: str) -> list[FlowRun]:
    """Those that a schedule asked for, completed."""
    return [run for run in runs_of(deployment) if run.auto_scheduled and run.state and run.state.is_completed()]


def test_a_run_by_hand_then_a_schedule_that_fires_twice_advance_three_periods(flights: Path):
    asked = ["cycle/cycle", "--param", "project=small", "--param", "period=2013-01", "--watch", "--watch-timeout", "400"]
    by_hand = subprocess.run([*PREFECT, "deployment", "run", *asked], capture_output=True, text=True)
    assert by_hand.returncode == 0, by_hand.stdout + by_hand.stderr
    assert finished("small") == ["2013-01"]
    every_20_s = ["deployment", "schedule", "create", "cycle/cycle-small", "--interval", "20"]
    subprocess.run([*PREFECT, *every_20_s], check=True, capture_output=True)
    wait_until(lambda: len(finished("small")) >= 3, deadline_s=420, every_s=1, what="two scheduled cycles")
    assert finished("small")[:3] == ["2013-01", "2013-02", "2013-03"]
    assert Ledger(Stores()).verify() > 15


def test_an_audit_that_finds_something_is_a_failed_run_of_its_deployment(flights: Path):
    assert say_apart(flights, "ingest", "small", "2013-01").exit_code == 0
    asked = [*PREFECT, "deployment", "run", "audit/audit-small", "--watch", "--watch-timeout", "200"]
    assert subprocess.run(asked, capture_output=True).returncode == 0
    edit_config(flights, expectations={"min_rows": 1_000_000})
    assert subprocess.run(asked, capture_output=True).returncode != 0
    good, bad = (run.state for run in runs_of("audit-small"))
    assert good
    assert bad
    assert good.is_completed()
    assert (bad.name, bad.type.value) == ("Failed", "FAILED"), "not crashed: the automation that tells of failures goes by the name"
    assert "1 of 1 periods break the rules of today (2013-01)" in str(bad.message)


def test_a_file_made_a_project_by_init_advances_by_its_own_schedule(wine: None):
    wait_until(lambda: len(runs_by_schedule("cycle-wine")) >= 2, deadline_s=600, every_s=1, what="two runs by schedule")
    first, second = runs_by_schedule("cycle-wine")[:2]
    assert finished("wine")[:2] == ["00000001", "00000002"]
    for run in (first, second):
        assert run.created_by
        assert (run.created_by.type, run.parameters) == ("SCHEDULE", {"project": "wine"})
    assert first.end_time
    assert second.start_time
    assert first.end_time <= second.start_time, "one at a time: a run that is due while another one runs is cancelled"
    assert Ledger(Stores()).verify() > 8
