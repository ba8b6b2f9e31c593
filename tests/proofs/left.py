"""What a killed run may leave only until the next one: runs that say RUNNING, drafts, locks."""

from __future__ import annotations

import fcntl
import json
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

DRAFT = re.compile(
    r"\.draft-.*"  # releases half exported or half deleted
    r"|\..*\.tmp|.*\.[\w-]{22}\.tmp"  # DVC's
    r"|\.(secret|up)-\d+.*"
    r"|\.room"  # a disk tried for room
    r"|\..+\.\d+(\.[0-9a-f]{8})?"  # of `write_atomically`, of bundles and of Evidently's workspace: .NAME.PID.HEX, .NAME.PID
)
LOCKS = ("*.lock", ".lock", "*.writing", "lock")


def leftovers(root: Path, project: str) -> list[str]:
    """Sentences about what a dead run left in the clone at `root`; empty when there is nothing. Ask while no run is alive."""
    var = root / "var"
    return [*_running(var, project), *_trials(var / "search" / project), *_drafts(var), *_held(var), *_of_git(root)]


def _running(var: Path, project: str) -> Iterator[str]:
    """MLflow's runs that say RUNNING, contents that were logged twice, and models of the registry that were logged in part."""
    database = var / "mlflow" / "mlflow.db"
    if not database.is_file():
        return
    of = "from runs r join experiments e using (experiment_id)"
    content = "join tags t on t.run_uuid = r.run_uuid and t.key = 'pillars.content'"
    with closing(sqlite3.connect(database)) as db:
        for run, name in db.execute(f"select run_uuid, r.name {of} where e.name = ? and status = 'RUNNING'", [project]):
            yield f"MLflow run {run} ({name}) is RUNNING"
        twice = f"select t.value, count(*) {of} {content} where e.name = ? and status = 'FINISHED' group by 1 having count(*) > 1"
        for value, count in db.execute(twice, [project]):
            yield f"{count} MLflow runs are FINISHED with the content {value[:12]}"
        pending = "select model_id from logged_models join experiments e using (experiment_id) where e.name = ? and status = 1"
        for (model,) in db.execute(f"{pending} and logged_models.lifecycle_stage = 'active'", [project]):
            yield f"MLflow model {model} is PENDING"


def _trials(folder: Path) -> Iterator[str]:
    """Optuna's trials that say RUNNING, read from the journals: operation 4 begins the next trial, 6 tells the state of one."""
    for journal in sorted(folder.glob("*.log")):
        lines = [json.loads(line) for line in journal.read_text().splitlines() if line.endswith("}")]
        begun = sum(line["op_code"] == 4 for line in lines)
        ended = {line["trial_id"] for line in lines if line["op_code"] == 6 and line["state"] != 0}
        for trial in sorted(set(range(begun)) - ended):
            yield f"Optuna trial {trial} of {journal.name} is RUNNING"
        if not journal.read_bytes().endswith(b"\n"):
            yield f"{journal.name} ends in half a line"


def _drafts(var: Path) -> Iterator[str]:
    for path in sorted(var.rglob("*")):
        if DRAFT.fullmatch(path.name):
            yield f"{path.relative_to(var)} is a draft of the dead"


def _held(var: Path) -> Iterator[str]:
    """Lock files that somebody holds, and Optuna's, which is a lock by being there."""
    for path in sorted({p for pattern in LOCKS for p in var.rglob(pattern) if p.is_file() or p.is_symlink()}):
        if path.name.endswith(".log.lock"):
            yield f"{path.relative_to(var)} is a lock of the dead"
        elif _taken(path):
            yield f"{path.relative_to(var)} is held"


def _taken(path: Path) -> bool:
    with path.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _of_git(root: Path) -> Iterator[str]:
    for path in sorted((root / ".git").rglob("*.lock")):
        yield f"{path.relative_to(root)} is a lock of the dead"
