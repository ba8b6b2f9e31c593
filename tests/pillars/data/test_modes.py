"""What came in is its owner's alone, or also a named group's; and what says otherwise is found and mended."""

from __future__ import annotations

import grp
import os
import stat
import subprocess
from pathlib import Path

import pytest

from pillars.data import keyring, modes, sealing
from pillars.errors import SettingInvalid, StoreUnavailable
from pillars.stores import Stores, write_atomically

GROUP = next((one for one in grp.getgrall() if one.gr_gid in os.getgroups() and one.gr_gid != os.getgid()), None) or next(
    one for one in grp.getgrall() if one.gr_gid not in (0, os.getgid())
)
SOLITARY = "who is in one group only cannot give a file to another"
as_root = pytest.mark.skipif(os.getuid() != 0 and GROUP.gr_gid not in os.getgroups(), reason=SOLITARY)


def bits(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path, var=tmp_path / "new" / "var")


@pytest.fixture
def shared(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path, var=tmp_path / "new" / "var", readers=GROUP.gr_name)


def fill(stores: Stores) -> None:
    """A file of each kind, one of them sealed."""
    for folder in sealing.FOLDERS:
        sealing.write(stores, f"{folder}/shop/2013-01/rows.parquet", b"rows", seal=folder == "raw")
    stores.folder("prefect")
    write_atomically(stores.var / "predictions" / "a.parquet", b"rows")


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077, 0o000])
def test_a_new_installation_is_its_owners_alone(stores: Stores, umask: int) -> None:
    before = os.umask(umask)
    try:
        fill(stores)
    finally:
        os.umask(before)
    assert list(modes.wrong(stores)) == []
    assert {bits(stores.var / name) for name in ("", "keys", "prefect", *sealing.FOLDERS)} == {0o700}
    assert bits(stores.var / "raw/shop/2013-01/rows.parquet") == 0o600


@as_root
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o000])
def test_readers_may_read_what_came_in_and_nobody_else_may(shared: Stores, umask: int) -> None:
    before = os.umask(umask)
    try:
        fill(shared)
    finally:
        os.umask(before)
    assert list(modes.wrong(shared)) == []
    for folder in sealing.FOLDERS:
        for path in (shared.var / folder, *(shared.var / folder).rglob("*")):
            assert (path.stat().st_gid, bits(path)) == (GROUP.gr_gid, 0o640 if path.is_file() else 0o2750), path
    assert (bits(shared.var), bits(shared.var / "keys"), bits(shared.var / "prefect")) == (0o750, 0o700, 0o700)
    assert bits(shared.var / keyring.SHARED) == 0o640


def test_there_must_be_such_a_group(stores: Stores) -> None:
    with pytest.raises(SettingInvalid, match="PILLARS_READERS: this machine has no group no-such-group"):
        Stores(root=stores.root, var=stores.var, readers="no-such-group").folder("raw")


@pytest.mark.parametrize("loosen", ["", "keys", "keys/secret", "prefect", "raw", "raw/shop", "quarantine/shop/2013-01/rows.parquet"])
def test_what_became_looser_is_found_and_mended(stores: Stores, loosen: str) -> None:
    fill(stores)
    (stores.var / loosen).chmod(bits(stores.var / loosen) | 0o044)
    (one,) = modes.wrong(stores)
    assert one.path == f"var/{loosen}".rstrip("/")
    assert one.why == "everybody on this machine may read it"
    assert modes.mend(stores) == [one]
    assert list(modes.wrong(stores)) == []
    assert modes.mend(stores) == []


def test_a_copy_that_lost_its_rights_is_found_and_mended(stores: Stores, tmp_path: Path) -> None:
    """As `cp -r` by a careless hand, or an archive of another program, leaves it."""
    fill(stores)
    subprocess.run(["cp", "-r", "--no-preserve=mode", stores.var, tmp_path / "copy"], check=True)
    copy = Stores(root=tmp_path, var=tmp_path / "copy")
    subprocess.run(["chmod", "-R", "a+rX", copy.var], check=True)
    wrong = {mode.path for mode in modes.wrong(copy)}
    assert {"var", "var/keys", "var/keys/secret", "var/raw", "var/raw/shop/2013-01/rows.parquet"} <= wrong
    modes.mend(copy)
    assert list(modes.wrong(copy)) == []
    assert sealing.read(copy, "raw/shop/2013-01/rows.parquet") == b"rows"


@as_root
def test_readers_who_are_named_later_are_let_in_and_shut_out_again(stores: Stores, shared: Stores) -> None:
    fill(stores)
    assert {mode.why for mode in modes.wrong(shared)} == {f"the readers ({GROUP.gr_name}) cannot read it"}
    modes.mend(shared)
    assert list(modes.wrong(shared)) == []
    assert (shared.var / keyring.SHARED).exists()
    assert {mode.why for mode in modes.wrong(stores)} == {"a group may read it that is not the readers'"}
    modes.mend(stores)
    assert list(modes.wrong(stores)) == []
    assert not (stores.var / keyring.SHARED).exists()


@as_root
def test_the_readers_ring_follows_a_rotation(shared: Stores) -> None:
    fill(shared)
    sealing.rotate(shared)
    assert keyring._shared(shared) == keyring.ring(shared)


@as_root
def test_readers_may_not_write(shared: Stores) -> None:
    fill(shared)
    (shared.var / "raw/shop/2013-01/rows.parquet").chmod(0o660)
    (one,) = modes.wrong(shared)
    assert one.why == "the readers may do more than read"


def test_links_and_locks_are_left_alone(stores: Stores, tmp_path: Path) -> None:
    fill(stores)
    outside = tmp_path / "outside"
    outside.write_text("x")
    outside.chmod(0o644)
    (stores.var / "raw" / "link").symlink_to(outside)
    modes.mend(stores)
    assert bits(outside) == 0o644


@pytest.mark.skipif(os.getuid() != 0, reason="only root makes a file of somebody else")
def test_somebody_elses_file_is_named(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(stores)
    (stores.var / "raw").chmod(0o755)

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "chmod", refused)
    with pytest.raises(StoreUnavailable, match=r"var/raw: cannot be given its rights \(Operation not permitted\)"):
        modes.mend(stores)


def test_nothing_is_made_by_looking(tmp_path: Path) -> None:
    stores = Stores(root=tmp_path, var=tmp_path / "var")
    assert list(modes.wrong(stores)) == []
    assert modes.mend(stores) == []
    assert not stores.var.exists()
