"""A server is killed while a cycle works with it, and started again: the same command ends as if nothing had been."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.environment import answers
from tests.bad_days.peers import closed_port
from tests.bad_days.world import one_sentence, perform, pillars, quiet, record, refuses
from tests.proofs.stage import Stage
from tests.proofs.state import differences, told
from tests.waiting import wait_until

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.e2e]


class Server:
    """A server in a process group of its own, so that a kill takes its workers too."""

    def __init__(self, command: list[str], health: str, environ: dict[str, str], log: Path) -> None:
        self._command, self._health, self._environ, self._log = command, health, environ, log
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                self._command, env=os.environ | self._environ, stdout=log, stderr=log, cwd=self._log.parent, start_new_session=True
            )
        wait_until(lambda: answers(self._health) or self._process.poll() is not None, deadline_s=180, what=self._health)
        assert self._process.poll() is None, self._log.read_text()[-2000:]

    def kill(self) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def mlflow(stage: Stage, tmp_path: Path) -> Iterator[tuple[Server, str]]:
    """An MLflow server on the clone's own database, and its address."""
    port, folder = closed_port(), stage.root / "var" / "mlflow"
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}", "--artifacts-destination", str(folder / "artifacts")]
    environ = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    url = f"http://127.0.0.1:{port}"
    server = Server(command, f"{url}/health", environ, tmp_path / "mlflow.log")
    yield server, url
    server.kill()


def when(stage: Stage, decision: str, already: int) -> Callable[[], bool]:
    """Whether the record has gained a row of this decision."""
    return lambda: sum(line.startswith(f"{decision} ") for line in record(stage.root)) > already


def test_mlflow_killed_at_two_moments_of_a_cycle(stage: Stage, mlflow: tuple[Server, str], undisturbed: dict[str, Any]):
    server, url = mlflow

    def hasty() -> None:
        quiet()
        os.environ |= {"PILLARS_MLFLOW_URI": url, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}

    for decision in ("score", "train"):  # before the run is logged; before the model is registered
        known = record(stage.root)
        running = stage.start("cycle", "small", before=hasty)
        wait_until(when(stage, decision, already=1), every_s=0.02, what=decision)
        server.kill()
        refuses(running.wait(), 6, "MLflow: no answer from", "run again")
        assert record(stage.root)[: len(known)] == known
        server.start()
    done = perform(stage, "cycle", "small", before=hasty)
    assert done.code == 0, done.said
    assert differences(undisturbed, told(stage.root, "small")) == []


def test_prefect_killed_in_the_middle_of_a_cycle(stage: Stage, tmp_path: Path, undisturbed: dict[str, Any]):
    port, home = closed_port(), tmp_path / "prefect"
    home.mkdir()
    url = f"http://127.0.0.1:{port}/api"
    environ = {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(port), "PREFECT_API_URL": ""}
    server = Server([sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"], f"{url}/health", environ, tmp_path / "log")
    try:
        usual = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": f"{Path(__file__).parents[2]}:{stage.root}"}
        usual |= {"PREFECT_API_URL": url, "PREFECT_CLIENT_MAX_RETRIES": "1"}
        command = [sys.executable, "-m", "flows", "cycle", "small"]
        with subprocess.Popen(command, cwd=stage.root, env=usual, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
            wait_until(when(stage, "score", already=1), deadline_s=120, every_s=0.02, what="score")
            server.kill()
            _, err = running.communicate(timeout=240)
        assert running.returncode == 6, err[-3000:]
        one_sentence(err, "Prefect: ", "What is on record stays", "the same command goes on from there")
        server.start()
        done = pillars(stage.root, "cycle", "small", PREFECT_API_URL=url)
        assert done.code == 0, done.err[-3000:]
        assert differences(undisturbed, told(stage.root, "small")) == []
    finally:
        server.kill()
