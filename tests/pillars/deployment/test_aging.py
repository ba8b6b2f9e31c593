"""Requests grow old by the clock, file by file; what is still written, and what is not the log's, stays."""

from __future__ import annotations

import fcntl
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pillars.deployment import aging
from pillars.errors import StoreUnavailable
from pillars.stores import Stores

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path, var=tmp_path / "var")


def put(stores: Stores, days: float, ending: str = "jsonl", name: str = "") -> str:
    """A file of the log that was begun so many days ago."""
    begun = NOW - timedelta(days=days)
    inside = ("log",) if ending != "parquet" else ("rows", f"{begun:%Y-%m-%d}")
    path = stores.folder("served", "small", *inside) / (name or f"{int(begun.timestamp() * 1e9):020d}-77-0a0b0c.{ending}")
    path.write_bytes(b"x")
    return stores.relative(path)


def test_files_whose_rows_are_all_older_go_and_their_days_with_them(stores: Stores) -> None:
    old = [put(stores, days, ending) for days in (8, 7.09) for ending in ("jsonl", "sealed", "parquet")]
    for ending in ("jsonl", "sealed", "parquet"):
        put(stores, 7.07, ending)  # its last row may be younger than seven days
        put(stores, 0, ending)
    put(stores, 30, name="notes.jsonl")
    put(stores, 30, "parquet", name="mine.parquet")
    before = {path for path in (stores.var / "served").rglob("*") if path.is_file()}
    found = aging.older(stores, "small", NOW - timedelta(days=7))
    assert sorted(found) == sorted(old)
    assert aging.delete(stores, "small", found) == found
    assert before - {path for path in (stores.var / "served").rglob("*") if path.is_file()} == {stores.var / path for path in old}
    assert not (stores.var / "served/small/rows/2026-03-02").exists()
    assert aging.older(stores, "small", NOW - timedelta(days=7)) == ()
    assert aging.delete(stores, "small", found) == ()
    assert aging.older(stores, "nobody", NOW) == ()


def test_a_segment_that_somebody_writes_stays_however_old_it_is(stores: Stores) -> None:
    path = put(stores, 100)
    fd = os.open(stores.var / path, os.O_WRONLY)
    fcntl.flock(fd, fcntl.LOCK_EX)
    assert aging.older(stores, "small", NOW) == ()
    os.close(fd)
    assert aging.older(stores, "small", NOW) == (path,)


def test_a_disk_that_refuses_is_named(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(stores, 100)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    with pytest.raises(StoreUnavailable, match="it goes on"):
        aging.delete(stores, "small", [path])
