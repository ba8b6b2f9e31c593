"""Hands that change what the machine wrote, and eyes that see whether anything else changed."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from pillars.bundle import folder
from pillars.deployment import traffic
from pillars.monitoring import registry
from pillars.monitoring.ledger import Entry, Ledger
from pillars.vocabulary import Release
from tests.proofs.state import stores_of

PROJECT = "small"
ASIDE = ("prefect", "dvc/site", "reports", "evidently")  # Prefect is told of refused runs, too; reports can be drawn at any time


def everything(root: Path) -> dict[str, str]:
    """sha256 of every file under `var`, and git's references; without locks, logs of runs and SQLite's own files."""
    var, found = root / "var", {}
    for path in sorted(p for p in var.rglob("*") if p.is_file()):
        name = path.relative_to(var).as_posix()
        if not name.startswith(ASIDE) and not name.endswith((".lock", ".writing", "-wal", "-shm", "-journal")):
            found[name] = _dumped(path) if path.suffix == ".db" else hashlib.sha256(path.read_bytes()).hexdigest()
    return found | {p.relative_to(root).as_posix(): p.read_text() for p in sorted((root / ".git" / "refs").rglob("*")) if p.is_file()}


def _dumped(database: Path) -> str:
    with closing(sqlite3.connect(database)) as db:
        return hashlib.sha256("\n".join(db.iterdump()).encode()).hexdigest()


def flip(file: Path, place: float = 0.5) -> Path:
    """Change one bit of the byte at a place in [0, 1)."""
    content = bytearray(file.read_bytes())
    content[int(len(content) * place)] ^= 1
    file.chmod(0o644)  # DVC keeps its cache read-only
    file.write_bytes(content)
    return file


def write_sql(root: Path, *statements: str) -> None:
    """Change the ledger's rows as somebody would who has its file; the triggers against that are dropped."""
    with closing(sqlite3.connect(root / "var" / "ledger.db")) as db:
        for statement in ("DROP TRIGGER ledger_no_update", "DROP TRIGGER ledger_no_delete", *statements):
            db.execute(statement)
        db.commit()


def entries(root: Path, decision: str) -> list[Entry]:
    """The project's entries of a decision, oldest first."""
    return Ledger(stores_of(root)).entries(PROJECT, decision)


def champion(root: Path) -> Release:
    """The release that answers."""
    rollout = traffic.read(stores_of(root), PROJECT)
    assert rollout is not None
    return rollout.champion


def edit_json(file: Path, **changes: Any) -> Path:
    """Change keys of a JSON file."""
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    return file


def forge(bundle: Path, threshold: float) -> None:
    """Another threshold in a bundle, its manifest made to fit: every hash in it is right."""
    files = {p.name: p.read_bytes() for p in bundle.iterdir() if p.name != folder.MANIFEST}
    files["decision.json"] = folder.canonical({"threshold": threshold})
    head = {k: v for k, v in json.loads((bundle / folder.MANIFEST).read_bytes()).items() if k not in ("files", "format", "digest")}
    (bundle / "decision.json").write_bytes(files["decision.json"])
    (bundle / folder.MANIFEST).write_bytes(folder.manifest_of(head, files))
    folder.read(bundle)  # whole, by its own word


def replace_folder(target: Path, source: Path) -> None:
    """Put another folder in a folder's place."""
    shutil.rmtree(target)
    shutil.copytree(source, target)


def of_mlflow(root: Path, version: int) -> Path:
    """Where MLflow keeps a version's bundle."""
    return registry.bundle_dir(stores_of(root), PROJECT, version)


def of_dvc(root: Path, kind: str, period: str, place: str) -> Path:
    """Where DVC's cache or remote keeps a period's file of the newest version."""
    from pillars.data import branch, record

    text = branch.text(root, branch.tip(root, PROJECT) or "")
    md5 = record.parse(text or "", "newest").files[f"{PROJECT}/{kind}/{period}.parquet"].md5
    return root / "var" / "dvc" / place / "files" / "md5" / md5[:2] / md5[2:]
