"""An installation into one file, while it runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pillars.data import branch
from pillars.errors import StoreUnavailable
from pillars.recovery import archive, inventory
from pillars.recovery.archive import Manifest, Member, Writer
from pillars.stores import Stores, locked, scratch

BUNDLE = "git/data.bundle"


@dataclass(frozen=True)
class Backup:
    """A backup that was made: its file, members and their bytes, data branches and tags in it, and what is kept elsewhere."""

    file: str
    members: int
    bytes: int
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    elsewhere: tuple[str, ...]


def backup(stores: Stores, path: Path, now: datetime, watch: Callable[[int, int], object] = lambda *_: None) -> Backup:
    """Write all that the installation holds into `path`, which only its owner can read; `watch` is told bytes done and of how many.

    First what names (ledger, databases, data branches), then what is named: content-addressed files are written before anything names
    them, so that what the backup's ledger names is in it.

    Raises:
        StoreUnavailable: the disk refuses, or a database is damaged; what was at `path` is intact.
        Busy: the ledger was held for a minute.
    """
    if path.resolve().is_relative_to(stores.var.resolve()):
        raise StoreUnavailable(str(path), "lies in the folder that is backed up", "Nothing was written; name a file elsewhere.")
    done, total = 0, sum(_size(stores.var / one) for one in inventory.files(stores.var))
    branches, tags = branch.tips(stores.root), dict[str, str]()

    def count(size: int) -> None:
        nonlocal done
        done += size
        watch(done, max(done, total))

    def describe(members: dict[str, Member]) -> Manifest:
        return Manifest(now.isoformat(), str(stores.var), str(stores.root), branches, elsewhere(stores), members, tags)

    with archive.writing(path, count, describe) as writer, scratch("backup") as folder:
        _ledger(stores, writer, folder)
        for name in inventory.DATABASES:
            _database(stores, writer, folder, name)
        if branches or branch.tags(stores.root):  # where the branch is origin's alone, a tag may still be ours
            bundle = branch.bundle(stores.root, sorted(branches))
            tags |= branch.bundled_tags(bundle)
            writer.put(BUNDLE, bundle)
        for file in sorted(stores.configs.glob("*.yaml")):
            writer.add(f"configs/{file.name}", file)
        for name in inventory.files(stores.var):
            writer.add(f"var/{name}", stores.var / name)
        members = dict(writer.members)
    size = sum(m.size for m in members.values())
    return Backup(str(path), len(members), size, tuple(sorted(branches)), tuple(sorted(tags)), elsewhere(stores))


def elsewhere(stores: Stores) -> tuple[str, ...]:
    """What of the installation lies in no file of `var`, and is in no backup."""
    said = {
        "the ledger (PILLARS_LEDGER_URI): back it up with its database's own tool": stores.ledger_uri,
        "MLflow's runs and models (PILLARS_MLFLOW_URI)": stores.mlflow_uri,
        "the remote copy of data (PILLARS_REMOTE); the cache is in it": "://" in stores.remote,
        "the installation's key (PILLARS_KEY), without which nothing sealed can be read": stores.key,
    }
    return tuple(what for what, there in said.items() if there)


def _ledger(stores: Stores, writer: Writer, folder: Path) -> None:
    """Ledger and anchor of one moment."""
    if stores.ledger_uri or not (stores.var / "ledger.db").exists():
        return
    with locked(stores.var / "ledger.lock", "the ledger"):
        _database(stores, writer, folder, "ledger.db")
        writer.add("var/ledger.anchor", stores.var / "ledger.anchor")


def _database(stores: Stores, writer: Writer, folder: Path, name: str) -> None:
    """A SQLite database as of one moment (SQLite's backup API), whoever writes to it."""
    source = stores.var / name
    if not source.exists():
        return
    copy = folder / name.replace("/", "-")
    try:
        with closing(sqlite3.connect(source, timeout=60)) as here, closing(sqlite3.connect(copy)) as there:
            here.backup(there)
            there.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as err:
        raise StoreUnavailable(str(source), f"cannot be copied ({err})", "No backup was made; mend or restore that database.") from err
    writer.add(f"var/{name}", copy, mode=source.stat().st_mode & 0o777)
    copy.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
