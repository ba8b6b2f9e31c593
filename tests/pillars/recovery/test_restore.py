from __future__ import annotations

import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pillars.data import branch, tags, versions
from pillars.errors import ArchiveRefused, LedgerBroken, StoreUnavailable
from pillars.monitoring.ledger import Ledger
from pillars.recovery import archive, inventory
from pillars.recovery.backup import backup
from pillars.recovery.restore import restore
from pillars.stores import Stores
from tests.clone import CHECKOUT
from tests.pillars.data.batches import NOW, git, prepared, project, repository
from tests.pillars.recovery.test_archive import rewrite, with_manifest


def note(stores: Stores, what: str = "first") -> None:
    Ledger(stores).record("parcels", "noted", {"what": what}, "accepted", "a test", {}, NOW, "a user")


@pytest.fixture
def used(tmp_path: Path) -> Stores:
    """A place with a data version, a ledger, a database, a config and a sealed-like file."""
    stores = Stores(root=repository(tmp_path / "old place" / "project"), var=Path("var"))
    note(stores)
    versions.publish(stores, project(), prepared(stores, "2013-01"), NOW)
    stores.folder("raw", "parcels")
    (stores.var / "raw/parcels/a.parquet").write_bytes(b"alpha")
    with closing(sqlite3.connect(stores.folder("mlflow") / "mlflow.db")) as file, file:
        file.execute("CREATE TABLE runs (artifact_uri TEXT)")
        file.execute("INSERT INTO runs VALUES (?)", ((stores.var / "mlflow" / "artifacts").as_uri(),))
    stores.configs.mkdir()
    (stores.configs / "parcels.yaml").write_text("project: parcels\n")
    return stores


@pytest.fixture
def empty(tmp_path: Path) -> Stores:
    """A clone on another machine."""
    return Stores(root=repository(tmp_path / "new" / "place"), var=Path("var"))


@pytest.fixture
def file(used: Stores, tmp_path: Path) -> Path:
    """A backup."""
    backup(used, tmp_path / "all.tar", datetime.now(UTC))
    return tmp_path / "all.tar"


def test_all_of_it_is_there_in_another_place(used: Stores, empty: Stores, file: Path) -> None:
    before = versions.head(used, project())
    used.root.rename(used.root.with_name("gone"))
    done = restore(empty, file)
    assert (done.ledger_rows, done.branches, done.configs) == (1, ("dvc-data/parcels",), ("parcels.yaml",))
    found = versions.head(empty, project())
    assert found == before
    assert versions.verify(empty, found) == ()
    assert versions.read(empty, found, "rows", ["2013-01"]).num_rows == 40
    assert stat.S_IMODE((empty.var / "keys" / "secret").stat().st_mode) == 0o600
    with closing(sqlite3.connect(empty.var / "mlflow" / "mlflow.db")) as database:
        assert database.execute("SELECT artifact_uri FROM runs").fetchone() == ((empty.var / "mlflow" / "artifacts").as_uri(),)
    note(empty, "second")
    assert Ledger(empty).verify() == 2
    versions.publish(empty, project(), prepared(empty, "2013-02"), NOW)


def test_a_database_is_copied_while_others_write(used: Stores, empty: Stores, tmp_path: Path) -> None:
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            note(used, f"more {(n := n + 1)}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for n in range(5):
            backup(used, tmp_path / f"{n}.tar", datetime.now(UTC))
    finally:
        stop.set()
        writer.join()
    assert restore(empty, tmp_path / "4.tar").ledger_rows > 1


def test_the_backup_is_no_part_of_what_is_backed_up(used: Stores) -> None:
    with pytest.raises(StoreUnavailable, match="lies in the folder that is backed up"):
        backup(used, used.var / "all.tar", datetime.now(UTC))


def test_what_lies_elsewhere_is_told(tmp_path: Path) -> None:
    stores = Stores(root=repository(tmp_path / "p"), var=Path("var"), mlflow_uri="http://127.0.0.1:1", remote="s3://bucket/x")
    assert [what.split(" (")[0] for what in backup(stores, tmp_path / "all.tar", datetime.now(UTC)).elsewhere] == [
        "MLflow's runs and models",
        "the remote copy of data",
    ]


def test_a_used_place_is_refused(used: Stores, empty: Stores, file: Path) -> None:
    with pytest.raises(StoreUnavailable, match="is not empty"):
        restore(used, file)
    restore(empty, file)
    with pytest.raises(StoreUnavailable, match="is not empty"):
        restore(empty, file)


def test_another_config_is_refused_and_an_equal_one_stays(empty: Stores, file: Path) -> None:
    empty.configs.mkdir()
    (empty.configs / "parcels.yaml").write_text("project: other\n")
    with pytest.raises(StoreUnavailable, match=r"configs/parcels.yaml: is there with other content"):
        restore(empty, file)
    assert not empty.var.exists() or not any(empty.var.rglob("*"))
    (empty.configs / "parcels.yaml").write_text("project: parcels\n")
    assert restore(empty, file).configs == ()


def test_another_data_branch_is_refused(empty: Stores, file: Path) -> None:
    git(empty.root, "branch", "dvc-data/parcels")
    before = branch.tips(empty.root)
    with pytest.raises(StoreUnavailable, match="dvc-data/parcels: is there"):
        restore(empty, file)
    assert branch.tips(empty.root) == before


def test_names_of_versions_are_in_it(used: Stores, empty: Stores, tmp_path: Path) -> None:
    first = versions.head(used, project())
    assert first
    tags.put(used, first, "golden", "what the board saw", NOW)
    git(used.root, "tag", "v1")
    assert backup(used, tmp_path / "all.tar", datetime.now(UTC)).tags == ("dvc-data/parcels/golden",)
    known = tags.tags(used, "parcels")
    used.root.rename(used.root.with_name("gone"))
    assert restore(empty, tmp_path / "all.tar").tags == ("dvc-data/parcels/golden",)
    assert tags.tags(empty, "parcels") == known
    assert versions.find(empty, project(), "golden") == first
    assert git(empty.root, "tag", "--list") == "dvc-data/parcels/golden"


def test_a_name_on_a_branch_that_only_origin_has_is_in_it(used: Stores, empty: Stores, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", str(used.root), "clone")
    clone = Stores(root=tmp_path / "clone", var=Path("var"))
    first = versions.head(clone, project())
    assert first
    tags.put(clone, first, "golden", "", NOW)
    made = backup(clone, tmp_path / "all.tar", datetime.now(UTC))
    assert (made.branches, made.tags) == ((), ("dvc-data/parcels/golden",))
    restore(empty, tmp_path / "all.tar")
    assert versions.find(empty, project(), "golden") == first


def test_another_name_s_version_is_refused_and_an_equal_one_stays(used: Stores, empty: Stores, tmp_path: Path) -> None:
    first = versions.head(used, project())
    assert first
    tags.put(used, first, "golden", "", NOW)
    backup(used, tmp_path / "all.tar", datetime.now(UTC))
    git(empty.root, "tag", "dvc-data/parcels/golden")
    with pytest.raises(StoreUnavailable, match="tag dvc-data/parcels/golden: is there, and not the backup's"):
        restore(empty, tmp_path / "all.tar")
    git(empty.root, "tag", "-d", "dvc-data/parcels/golden")
    git(empty.root, "fetch", "-q", str(used.root), "refs/tags/*:refs/tags/*")
    assert restore(empty, tmp_path / "all.tar").tags == ("dvc-data/parcels/golden",)


def test_a_backup_of_an_older_release_has_no_names(used: Stores, empty: Stores, file: Path) -> None:
    rewrite(file, lambda members: with_manifest(members, lambda said: said.pop("tags")))
    assert restore(empty, file).tags == ()


@pytest.mark.parametrize("kind", ["branches", "tags"])
def test_a_backup_touches_no_other_branch_or_tag(used: Stores, empty: Stores, file: Path, kind: str) -> None:
    commit = git(used.root, "rev-parse", "dvc-data/parcels")
    rewrite(file, lambda members: with_manifest(members, lambda said: said[kind].update(main=commit)))
    before = git(empty.root, "for-each-ref")
    with pytest.raises(ArchiveRefused, match="'main' is no branch or tag of data versions"):
        restore(empty, file)
    assert git(empty.root, "for-each-ref") == before


def test_a_ledger_that_was_edited_is_not_restored(used: Stores, empty: Stores, tmp_path: Path) -> None:
    with closing(sqlite3.connect(used.var / "ledger.db")) as database, database:
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            database.execute(f"DROP TRIGGER {name}")
        database.execute("UPDATE ledger SET reason = 'another'")
    backup(used, tmp_path / "all.tar", datetime.now(UTC))
    with pytest.raises(LedgerBroken):
        restore(empty, tmp_path / "all.tar")
    assert not (empty.var / "ledger.db").exists()
    assert branch.tips(empty.root) == {}


def test_a_flipped_byte_is_refused_before_anything_is_placed(empty: Stores, file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[content.index(b"alpha")] ^= 1
    file.write_bytes(content)
    with pytest.raises(ArchiveRefused, match=r"var/raw/parcels/a.parquet is not what the manifest says"):
        restore(empty, file)
    assert not empty.var.exists() or not any(empty.var.rglob("*"))


DYING = """
import os, signal, sys
from datetime import datetime
from pathlib import Path
from pillars.recovery.{verb} import {verb}
from pillars.stores import Stores

def watch(*_):
    if any(Path(sys.argv[2]).glob(sys.argv[3])):
        os.kill(os.getpid(), signal.SIGKILL)

{verb}(Stores(), Path(sys.argv[1]), {now}watch)
"""


def killed(stores: Stores, verb: str, file: Path, seen: Path, pattern: str) -> None:
    """Run a verb apart; it kills itself at the first of its steps at which a file that fits the pattern is there."""
    environ = os.environ | {"PILLARS_ROOT": str(stores.root), "PILLARS_VAR": str(stores.var), "PYTHONPATH": str(CHECKOUT)}
    code = DYING.format(verb=verb, now="datetime.now(), " if verb == "backup" else "")
    done = subprocess.run([sys.executable, "-c", code, str(file), str(seen), pattern], env=environ, timeout=60)
    assert done.returncode == -signal.SIGKILL, "it was done before it could be killed"


def test_a_killed_backup_leaves_what_was_there(used: Stores, empty: Stores, file: Path) -> None:
    before = file.read_bytes()
    killed(used, "backup", file, file.parent, f".{file.name}.*")
    assert file.read_bytes() == before
    assert list(file.parent.glob(f".{file.name}.*")), "a draft is left"
    backup(used, file, datetime.now(UTC))
    assert not list(file.parent.glob(f".{file.name}.*")), "and swept"
    restore(empty, file)


@pytest.mark.parametrize("pattern", [".var.restoring/var/*", ".var.restoring/var/raw/*/*"])
def test_a_killed_restore_leaves_an_empty_place_and_goes_on(empty: Stores, file: Path, pattern: str) -> None:
    killed(empty, "restore", file, empty.var.parent, pattern)
    assert not empty.var.exists()
    assert restore(empty, file).ledger_rows == 1
    assert not list(empty.var.parent.glob(".var.restoring/*"))


def test_what_is_left_out_is_said_with_its_reason() -> None:
    assert inventory.left_out("ledger.lock")
    assert inventory.left_out("dvc/staging/parcels/.dvc/config")
    assert inventory.left_out("raw/.a.parquet.12.0123abcd")
    assert not inventory.left_out("raw/parcels/a.parquet")
    assert not inventory.left_out("keys/secret")


def test_a_manifest_reads_as_it_was_written(file: Path, used: Stores) -> None:
    manifest = archive.read(file)
    assert (manifest.var, manifest.root) == (str(used.var), str(used.root))
    assert list(manifest.members)[:2] == ["var/ledger.db", "var/ledger.anchor"]
