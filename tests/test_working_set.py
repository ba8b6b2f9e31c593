"""The seven tools work together in the locked versions. A plain resolve gives a set that installs and does not (see pyproject.toml)."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from tests.clone import CHECKOUT
from tests.waiting import wait_until

if TYPE_CHECKING:
    from prefect.client.schemas.objects import FlowRun

SEVEN = ("prefect", "dvc.api", "mlflow", "great_expectations", "xgboost", "optuna", "evidently")


@pytest.mark.slow
def test_all_seven_import_in_one_process() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", f"import {', '.join(SEVEN)}"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.flow
def test_a_flow_with_a_task_completes(prefect_server: str) -> None:
    from prefect import flow, task

    @task
    def double(number: int) -> int:
        return 2 * number

    @flow
    def doubled(number: int) -> int:
        return double(number)

    assert doubled(21) == 42


@pytest.mark.flow
def test_an_error_of_ours_reaches_the_caller_whole(prefect_server: str) -> None:
    """Results are stored as JSON, which keeps of an exception its class and message only: the caller must not get that one."""
    from prefect import flow, task

    from pillars.errors import DataCorrupt

    @task
    def reading() -> None:
        raise DataCorrupt("rows.parquet", "aa", "bb")

    @flow
    def inner() -> None:
        reading()

    @flow
    def outer() -> None:
        inner()

    with pytest.raises(DataCorrupt) as caught:
        outer()
    assert (caught.value.file, caught.value.expected, caught.value.found) == ("rows.parquet", "aa", "bb")


@pytest.mark.flow
def test_the_scheduler_makes_runs_of_a_deployment(prefect_server: str) -> None:
    """It can be dead without a word: ad-hoc runs work, scheduled ones never appear."""
    from prefect import flow
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.actions import DeploymentScheduleCreate
    from prefect.client.schemas.schedules import IntervalSchedule

    @flow
    def ticking() -> None: ...

    schedule = DeploymentScheduleCreate(schedule=IntervalSchedule(interval=timedelta(minutes=1)), active=True)
    with get_client(sync_client=True) as client:
        deployment = client.create_deployment(client.create_flow(ticking), name="ticking", schedules=[schedule])
        try:
            runs = wait_until(lambda: scheduled(deployment), deadline_s=120, what="a scheduled run")
        finally:
            client.delete_deployment(deployment)
    assert all(run.auto_scheduled for run in runs)


def scheduled(deployment: UUID) -> list[FlowRun]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas import filters

    mine = filters.FlowRunFilter(deployment_id=filters.FlowRunFilterDeploymentId(any_=[deployment]))
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=mine)


def test_a_python_that_does_not_run_is_skipped_and_named(tmp_path: Path) -> None:
    """A shim can be on the path and refuse; a run that tested nothing has not passed."""
    shim = tmp_path / "python3.12"
    shim.write_text("#!/bin/sh\necho 'python3.12: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    places = {"PATH": f"{tmp_path}:{os.defpath}", "HOME": str(tmp_path), "PYENV_ROOT": str(tmp_path)}
    command = [str(CHECKOUT / ".ci" / "test-pythons"), "unit", "3.12", "2.6"]
    done = subprocess.run(command, env=places, capture_output=True, text=True)
    assert done.returncode == 1
    assert [line.split()[:2] for line in done.stdout.splitlines() if line[:1].isdigit()] == [["3.12", "skipped"], ["2.6", "skipped"]]
    assert "none of 3.12 2.6 was found" in done.stderr
