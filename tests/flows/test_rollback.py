"""`pillars rollback` where nothing else works: Prefect and MLflow refuse, or take the call and never answer."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from pillars.deployment import release as releases
from pillars.deployment import traffic
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Decision, Promotion
from tests.clone import make_clone
from tests.conftest import free_port
from tests.releases import small_project, small_version, write_small_bundle

START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def deployed(tmp_path: Path) -> Stores:
    """A clone in which two versions of `small` were promoted and deployed, on record."""
    root = make_clone(tmp_path / "project")
    said = small_project().model_dump(mode="json", exclude_defaults=True, by_alias=True)
    (root / "configs" / "small.yaml").write_text(yaml.safe_dump(said))
    stores, project = Stores(root=root, var=root / "var"), small_project()
    ledger = Ledger(stores)
    for version in (1, 2):
        folder = tmp_path / f"bundle{version}"
        registered = small_version(version, write_small_bundle(folder, seed=version))
        promotion = asdict(Promotion(registered, Decision.accept("")))
        ledger.record("small", "promote", {"version": version}, "accept", "", promotion, START, "me")
        release = releases.export(stores, project, registered, folder)
        now = traffic.switch(stores, project, release, version - 1, "better")
        inputs = {"version": version, "generation": now.generation}
        ledger.record("small", "deploy", inputs, "accept", "", asdict(now), START, "me")
    return stores


@contextmanager
def somebody(answering: bool) -> Iterator[str]:
    """Address of a server that refuses, or one that takes the call and says nothing."""
    with socket.socket() as server:
        if not answering:
            yield f"http://127.0.0.1:{free_port()}"
            return
        server.bind(("127.0.0.1", 0))
        server.listen(64)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.mark.slow
@pytest.mark.parametrize("silent", [False, True], ids=["both refuse", "both are silent"])
def test_a_rollback_needs_nobody(deployed: Stores, silent: bool) -> None:
    with somebody(silent) as prefect, somebody(silent) as mlflow:
        environ = {
            name: value for name, value in os.environ.items() if not name.startswith(("PREFECT_", "PILLARS_", "MLFLOW_", "PYTHONDONT"))
        }
        environ |= {"PREFECT_API_URL": f"{prefect}/api", "PILLARS_MLFLOW_URI": mlflow, "PILLARS_ROOT": str(deployed.root)}
        command = [sys.executable, "-m", "flows", "rollback", "small", "--reason", "it harms", "--json"]
        before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        said = subprocess.run(command, cwd=deployed.root, env=environ, capture_output=True, text=True, timeout=60)
        took, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert said.returncode == 0, said.stderr
    assert json.loads(said.stdout)["champion"]["version"] == 1
    assert "v1 answers again" in said.stderr
    assert "could not be told (Prefect does not answer at http://127.0.0.1" in said.stderr
    now = traffic.read(deployed, "small")
    assert now is not None
    assert (now.champion.version, now.generation, now.reason) == (1, 3, "it harms")
    entry = Ledger(deployed).latest("small", "rollback")
    assert entry is not None
    assert (entry.outcome, entry.reason, entry.inputs) == ("accept", "it harms", {"version": 1, "generation": 3})
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert cpu_s < 5, f"{cpu_s:.1f} s of work, {took:.1f} s on this machine"


def test_going_back_imports_neither_prefect_nor_mlflow() -> None:
    code = "import sys, tasks.back; print(sorted(m for m in ('prefect', 'mlflow', 'pandas', 'scipy', 'optuna') if m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
