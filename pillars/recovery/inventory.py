"""What of `var/` goes into a backup, and how; what is left out, and why."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

DATABASES = ("mlflow/mlflow.db", "prefect/prefect.db", "keys/subjects.db")  # SQLite's own copy of a moment, while others write
LEDGER = ("ledger.db", "ledger.anchor")  # together, under the ledger's lock
FILES = {  # top of `var/`: what it is
    "candidates": "bundles of challengers",
    "dvc": "DVC's cache, and its remote where that is a folder",
    "evidently": "drift reports",
    "flagged": "outliers",
    "judged": "judged predictions of candidates",
    "keys": "keys",
    "lineage": "uncommitted changes that models were trained from",
    "mlflow": "artifacts of runs and models",
    "predictions": "predictions",
    "prefect": "results of Prefect's tasks",
    "quarantine": "rows that were set aside",
    "raw": "what came in",
    "rejected": "batches that were refused",
    "releases": "bundles that answer or did",
    "report": "the story's page",
    "reports": "pages of periods",
    "search": "searches",
    "served": "requests that were answered",
    "staging": "cleaned batches",
    "traffic": "who answers",
}
LEFT_OUT = {  # patterns of paths under `var/`: why
    "*.lock": "locks are held by the living",
    "mlflow/*.writing": "a lock, too",
    "*.db-wal": "SQLite's copy holds it",
    "*.db-shm": "SQLite's copy holds it",
    "*.db-journal": "SQLite's copy holds it",
    "dvc/site/*": "made again at each use, with this place's paths",
    "dvc/staging/*": "made again at each use, with this place's paths",
    "attributions/*": "fits of comparisons, made again: pillars compare --attribute",
    "checkouts/*": "copies of data versions: pillars data checkout",
    "logs/*": "of services that run here",
    "readers.json": "made again for readers (PILLARS_READERS): pillars scan --fix",
    "up.json": "of services that run here",
    "prefect/.room": "a probe",
    "scratch/*": "of fits that run",
    "served/*/metrics-*": "counts of servers that run",
}


def files(var: Path) -> Iterator[str]:
    """Paths under `var` of all that is copied as a file, sorted; nothing is left out that `LEFT_OUT` does not name."""
    for file in sorted(var.rglob("*")):
        path = file.relative_to(var).as_posix()
        if path in DATABASES or path in LEDGER or file.is_symlink() or not file.is_file() or left_out(path):
            continue
        yield path


def left_out(path: str) -> bool:
    """Whether a path under `var` is in no backup; drafts of the dead among them."""
    name = path.rpartition("/")[2]
    return any(fnmatch(path, pattern) for pattern in LEFT_OUT) or (name.startswith(".") and len(name.rpartition(".")[2]) == 8)
