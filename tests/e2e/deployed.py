"""The deployments of a clone on the session's Prefect server, made by Prefect's own command, and a worker that takes their runs."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from deployments.supervisor import end
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores

PREFECT = (sys.executable, "-m", "prefect", "--no-prompt")


@contextmanager
def deployed(root: Path, project: str) -> Iterator[None]:
    """While it lasts, what this project's YAML schedules runs by itself, in the clone that is entered; it gets rid of other projects."""
    for file in (root / "configs").glob("[a-z]*.yaml"):
        if file.stem != project:
            file.unlink()
    subprocess.run([sys.executable, "-m", "deployments.render"], check=True, capture_output=True)
    subprocess.run([*PREFECT, "work-pool", "create", "pillars", "--type", "process", "--overwrite"], check=True, capture_output=True)
    subprocess.run([*PREFECT, "deploy", "--all", "--prefect-file", "deployments/prefect.yaml"], check=True, capture_output=True, cwd=root)
    worker = subprocess.Popen(
        [*PREFECT, "worker", "start", "--pool", "pillars", "--type", "process"],
        env=os.environ | {"PREFECT_WORKER_QUERY_SECONDS": "2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        parent = psutil.Process(worker.pid)  # it may be about to start one more run: a worker that is asked to end finishes that first
        end([parent, *parent.children(recursive=True)], patience_s=10)


def finished(project: str) -> list[str]:
    """Periods whose cycle is on record as finished."""
    return [str(e.inputs["period"]) for e in Ledger(Stores()).entries(project, "cycle") if e.outcome == "finished"]
