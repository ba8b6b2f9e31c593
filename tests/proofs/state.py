"""All that an undisturbed replay determines, read from a clone's files; and what a disturbed one may not leave behind.

Left out is what names a run, a moment or a place: MLflow and Prefect ids, commits and what is hashed with them, seconds, dates.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from pillars import project_file
from pillars.data import versions
from pillars.deployment import traffic
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.proofs.left import leftovers

__all__ = ["differences", "incomplete", "leftovers", "stores_of", "told"]

NAMES_A_RUN = ("run_id", "commit", "path", "digest")  # keys of facts; a candidate's path and digest hold the commit of the code
OF_A_VERSION = ("model.sha256", "data.version", "fitted_through", "recipe", "config", "seed", "dirty", "lock")  # tags in the registry


def told(root: Path, project: str) -> dict[str, Any]:
    """The state of `project` in the clone at `root` as JSON. Equal replays give equal states, wherever and whenever they ran.

    Raises:
        LedgerBroken: the chain does not hold.
    """
    stores = stores_of(root)
    var, rollout = stores.var, traffic.read(stores, project)
    return {
        "data versions": _data_versions(root, project),
        "ledger": _ledger(stores, project),
        "traffic": {} if rollout is None else _timeless(json.loads((var / "releases" / project / "policy.json").read_text())),
        "mlflow": _mlflow(var / "mlflow" / "mlflow.db", project),
        "releases": _bundles(var / "releases" / project),
        "candidates": sorted(_bundles(var / "candidates" / project).values(), key=json.dumps),
        "files": {
            kind: _hashes(var / kind / project) for kind in ("raw", "staging", "predictions", "judged", "quarantine", "rejected", "lineage")
        },
        "reports": sorted(_names(var / "reports" / project)),
        "dvc cache": _objects(var / "dvc" / "cache"),
        "dvc remote": _objects(var / "dvc" / "remote"),
        "search": _search(var / "search" / project),
        "left": leftovers(root, project),
    }


def incomplete(root: Path, project: str) -> list[str]:
    """Files of any data version that cache or remote lacks or holds with other bytes, each mended by looking: ask last."""
    stores = stores_of(root)
    opened = project_file.load(stores.config_file(project))
    return [f"{v.id}: {damage}" for v in versions.history(stores, opened) for damage in versions.verify(stores, v)]


def stores_of(root: Path) -> Stores:
    """The places of a clone, whatever folder this process is in."""
    return Stores(root=root, var=root / "var")


def differences(one: Any, other: Any, at: str = "") -> list[str]:
    """Sentences that name by dotted path where two states differ; empty when they are equal."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [d for key in one if key in other for d in differences(one[key], other[key], f"{at}.{key}" if at else str(key))]
        found += [f"{at}.{key} is only in the first: {_brief(one[key])}" for key in one if key not in other]
        return found + [f"{at}.{key} is only in the second: {_brief(other[key])}" for key in other if key not in one]
    if isinstance(one, list) and isinstance(other, list):
        found = [d for i, (a, b) in enumerate(zip(one, other, strict=False)) for d in differences(a, b, f"{at}[{i}]")]
        longer, which = (one, "first") if len(one) > len(other) else (other, "second")
        rest = range(min(len(one), len(other)), len(longer))
        return found + [f"{at}[{i}] is only in the {which}: {_brief(longer[i])}" for i in rest]
    return [] if one == other else [f"{at} differs: {_brief(one)} and {_brief(other)}"]


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def _data_versions(root: Path, project: str) -> list[dict[str, str]]:
    """Text and message of every commit on the project's data branch that made a version, oldest first."""
    command = ["git", "-C", str(root), "log", "--reverse", "--format=%H", f"refs/heads/dvc-data/{project}", "--", "data.dvc"]
    commits = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
    return [
        {"message": _git(root, "show", "-s", "--format=%B", c).strip(), "data.dvc": _git(root, "show", f"{c}:data.dvc")} for c in commits
    ]


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", "-C", str(root), *arguments], capture_output=True, text=True, check=True).stdout


def _ledger(stores: Stores, project: str) -> list[dict[str, Any]]:
    """Every entry of every epoch, the whole chain verified."""
    ledger = Ledger(stores)
    ledger.verify()
    entries = ledger.entries(project, every_epoch=True)
    return [
        {
            **{name: getattr(e, name) for name in ("epoch", "decision", "outcome", "reason")},
            "inputs": _timeless(e.inputs),
            "facts": _timeless(e.facts),
        }
        for e in entries
    ]


def _timeless(value: Any) -> Any:
    """JSON without the keys that name a run."""
    if isinstance(value, dict):
        return {key: _timeless(inner) for key, inner in sorted(value.items()) if key not in NAMES_A_RUN}
    return [_timeless(inner) for inner in value] if isinstance(value, list) else value


def _mlflow(database: Path, project: str) -> dict[str, Any]:
    """Versions with their tags and their runs' state, the alias, finished trainings with all they say but seconds, logged models."""
    if not database.is_file():
        return {}
    with closing(sqlite3.connect(database)) as db:
        versions = "select version, v.run_id, r.status, m.status from model_versions v left join runs r on r.run_uuid = v.run_id"
        versions += " left join logged_models m on m.source_run_id = v.run_id and m.lifecycle_stage = 'active'"
        return {
            "versions": [
                {"version": version, "run": status, "model": model, "tags": _tags(db, project, version), "of": _run(db, run)["params"]}
                for version, run, status, model in db.execute(f"{versions} where v.name = ? order by version", [project])
            ],
            "alias": dict(db.execute("select alias, version from registered_model_aliases where name = ?", [project]).fetchall()),
            "trainings": [_run(db, run) for run in _finished(db, project)],
        }


def _finished(db: sqlite3.Connection, project: str) -> list[str]:
    asked = "select run_uuid from runs join experiments using (experiment_id) where experiments.name = ? and status = 'FINISHED'"
    return [run for (run,) in db.execute(f"{asked} and runs.lifecycle_stage = 'active' order by start_time", [project])]


def _run(db: sqlite3.Connection, run: str) -> dict[str, Any]:
    metrics = "select key, step, value from metrics where run_uuid = ? and key not like '%/seconds' order by key, step, value"
    return {
        "params": dict(db.execute("select key, value from params where run_uuid = ? order by key", [run]).fetchall()),
        "metrics": {f"{key} {step}": value for key, step, value in db.execute(metrics, [run])},
    }


def _tags(db: sqlite3.Connection, project: str, version: int) -> dict[str, str]:
    tags = dict(db.execute("select key, value from model_version_tags where name = ? and version = ?", [project, version]).fetchall())
    return {name: tags.get(name, "") for name in OF_A_VERSION}


def _bundles(folder: Path) -> dict[str, dict[str, Any]]:
    """Files of each bundle: sha256, and of the manifest its content without what depends on the commit of the code."""
    found: dict[str, dict[str, Any]] = {}
    for manifest in sorted(folder.glob("*/manifest.json")):
        content = json.loads(manifest.read_bytes())
        content = {**content, "lineage": {k: v for k, v in content["lineage"].items() if k != "commit"}, "digest": ""}
        files = {p.name: _sha256(p) for p in sorted(manifest.parent.iterdir()) if p != manifest}
        found[manifest.parent.name] = {**files, manifest.name: content}
    return found


def _search(folder: Path) -> dict[str, Any]:
    """Leaderboards and held-out probabilities, without the seconds they took."""
    boards = {p.name: json.loads(p.read_bytes()) | {"seal": ""} for p in sorted(folder.glob("*.json"))}
    for board in boards.values():
        board["leaderboard"] = [{k: v for k, v in tried.items() if k != "seconds"} for tried in board["leaderboard"]]
    return {"boards": boards, "held out": {p.name: _probabilities(p) for p in sorted(folder.glob("heldout/*.npz"))}}


def _probabilities(file: Path) -> str:
    with np.load(file, allow_pickle=False) as kept:
        return f"{hashlib.sha256(kept['p'].tobytes()).hexdigest()} after {int(kept['rounds'])} rounds"


def _objects(store: Path) -> dict[str, str]:
    """DVC's objects by name, each held against its md5; drafts are `leftovers`."""
    named = {f"{p.parent.name}{p.name}": p for p in sorted(store.glob("files/md5/??/*")) if len(p.name.removesuffix(".dir")) == 30}
    return {name: "whole" if _md5(p) == name.removesuffix(".dir") else "ROTTEN" for name, p in named.items()}


def _hashes(folder: Path) -> dict[str, str]:
    return {name: _sha256(folder / name) for name in sorted(_names(folder))}


def _names(folder: Path) -> Iterable[str]:
    return _visible(folder) if folder.is_dir() else ()


def _visible(folder: Path) -> Iterator[str]:
    for p in folder.rglob("*"):
        if p.is_file() and not p.name.startswith("."):
            yield p.relative_to(folder).as_posix()


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _md5(file: Path) -> str:
    return hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()
