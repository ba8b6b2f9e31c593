from __future__ import annotations

import fcntl
import hashlib
import json
import os
from pathlib import Path

import pytest

from pillars.data import objects
from pillars.errors import DataCorrupt, StoreUnavailable
from pillars.stores import Stores

CONTENT = {"parcels/rows/2013-01.parquet": b"first" * 1000, "parcels/rows/2013-02.parquet": b"second" * 1000}


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


LISTING = {path: md5(c) for path, c in CONTENT.items()}
FIRST, SECOND = LISTING.values()


def put(stores: Stores, **options: list[str]) -> str:
    """Store both files."""
    new = {}
    for path, content in CONTENT.items():
        new[md5(content)] = stores.folder("staging") / Path(path).name
        new[md5(content)].write_bytes(content)
    with objects.writing(stores, "parcels"):
        return objects.store(stores, "parcels", LISTING, new, **options)


def lies(base: Path | str, name: str) -> Path:
    return Path(base) / "files" / "md5" / name[:2] / name[2:]


def flip(path: Path) -> None:
    """Change one bit, with its mode kept as DVC sets it."""
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.chmod(0o644)
    path.write_bytes(bytes(content))
    path.chmod(0o444)


def test_files_and_their_listing_are_in_cache_and_remote(stores: Stores) -> None:
    identity = put(stores)
    listing = [{"md5": m, "relpath": p} for p, m in sorted(LISTING.items())]
    assert identity == md5(json.dumps(listing, sort_keys=True).encode()) + ".dir"
    for base in (stores.dvc_cache, stores.dvc_remote):
        assert json.loads(lies(base, identity).read_bytes()) == listing
        assert lies(base, FIRST).read_bytes() == CONTENT["parcels/rows/2013-01.parquet"]


def test_storing_again_changes_nothing(stores: Stores) -> None:
    put(stores)
    before = {p: p.stat().st_mtime_ns for p in Path(stores.dvc_remote).rglob("*") if p.is_file()}
    put(stores)
    assert {p: p.stat().st_mtime_ns for p in Path(stores.dvc_remote).rglob("*") if p.is_file()} == before


@pytest.mark.parametrize("place", ["dvc_cache", "dvc_remote"])
@pytest.mark.parametrize("damage", [Path.unlink, flip], ids=["missing", "flipped bit"])
def test_what_is_missing_or_rotten_is_put_back_when_it_comes_again(stores: Stores, place: str, damage: object) -> None:
    identity = put(stores)
    for name in (FIRST, identity):
        damage(lies(getattr(stores, place), name))  # type: ignore[operator]
    put(stores)
    for name in (FIRST, identity):
        assert md5(lies(getattr(stores, place), name).read_bytes()) == name.removesuffix(".dir")


@pytest.mark.parametrize("place", ["dvc_cache", "dvc_remote"])
def test_what_a_killed_writer_left_is_taken_away(stores: Stores, place: str) -> None:
    """Unless somebody is writing: it may be theirs."""
    put(stores)
    whole = lies(getattr(stores, place), FIRST)
    whole.unlink()
    draft = whole.parent / f".{'a' * 22}.tmp"
    draft.write_bytes(b"half")
    with_writer = os.open(whole.parents[1], os.O_RDONLY)
    fcntl.flock(with_writer, fcntl.LOCK_SH)
    put(stores)
    assert draft.exists()
    assert whole.exists()
    os.close(with_writer)
    whole.unlink()
    put(stores)
    assert not draft.exists()
    assert whole.exists()


def test_a_rotten_object_is_mended_from_the_remote(stores: Stores) -> None:
    put(stores)
    flip(lies(stores.dvc_cache, FIRST))
    assert md5(objects.load(stores, "parcels", FIRST, "a file")) == FIRST
    assert md5(lies(stores.dvc_cache, FIRST).read_bytes()) == FIRST


def test_a_missing_object_is_fetched(stores: Stores) -> None:
    put(stores)
    lies(stores.dvc_cache, FIRST).unlink()
    assert md5(objects.load(stores, "parcels", FIRST, "a file")) == FIRST


@pytest.mark.parametrize("damage", [Path.unlink, flip], ids=["missing", "flipped bit"])
def test_bytes_that_nobody_has_are_named_and_not_used(stores: Stores, damage: object) -> None:
    put(stores)
    flip(lies(stores.dvc_cache, FIRST))
    damage(lies(stores.dvc_remote, FIRST))  # type: ignore[operator]
    with pytest.raises(DataCorrupt, match="a file") as caught:
        objects.load(stores, "parcels", FIRST, "a file")
    assert caught.value.expected == FIRST


def test_lost_is_what_neither_place_has(stores: Stores) -> None:
    put(stores)
    lies(stores.dvc_cache, FIRST).unlink()
    lies(stores.dvc_cache, SECOND).unlink()
    lies(stores.dvc_remote, SECOND).unlink()
    assert objects.lost(stores, "parcels", [FIRST, SECOND]) == {SECOND}


def test_a_listing_is_not_stored_before_its_files(stores: Stores) -> None:
    identity = put(stores, without=[SECOND])
    assert lies(stores.dvc_remote, FIRST).is_file()
    assert not lies(stores.dvc_remote, SECOND).exists()
    assert not lies(stores.dvc_remote, identity).exists()


def test_a_file_that_is_nowhere_stops_the_storing(stores: Stores) -> None:
    with objects.writing(stores, "parcels"), pytest.raises(StoreUnavailable, match="lacks"):
        objects.store(stores, "parcels", LISTING, {})
    assert not [p for p in Path(stores.dvc_remote).rglob("*.dir") if p.is_file()], "the listing would promise what is not there"


def test_a_remote_that_cannot_be_written_is_named(stores: Stores) -> None:
    (stores.root / "a-file").write_text("in the way")
    blocked = stores.model_copy(update={"remote": "a-file"})
    with pytest.raises(StoreUnavailable):
        put(blocked)


@pytest.mark.parametrize("said", ["refused by {url}", "x" * 285 + " {url}"], ids=["whole", "cut in the password"])
def test_what_dvc_says_of_a_remote_does_not_quote_its_password(stores: Stores, said: str) -> None:
    from dvc.exceptions import DvcException

    with pytest.raises(StoreUnavailable, match="DVC: ") as caught, objects._open(stores, "parcels"):
        raise DvcException(said.format(url="http://bob:se/cr@et@host/data"))
    assert not [word for word in ("bob", "se/", "et@") if word in str(caught.value)]


def test_a_remote_that_lacks_what_was_sent_is_named_without_its_password(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    with_password = stores.model_copy(update={"remote": "http://bob:se/cr@et@host/data"})
    monkeypatch.setattr(objects, "_transfer", lambda *_: None)
    with objects._open(stores, "parcels") as places, pytest.raises(StoreUnavailable, match=r"^http://host/data: lacks"):
        objects._send(with_password, places, {FIRST})


def test_a_relative_remote_is_relative_to_the_project(stores: Stores) -> None:
    beside = stores.model_copy(update={"remote": "../beside"})
    put(beside)
    assert lies(stores.root.parent / "beside", FIRST).is_file()


def test_dvc_keeps_to_our_folders_and_is_silent(stores: Stores, capfd: pytest.CaptureFixture[str]) -> None:
    put(stores)
    flip(lies(stores.dvc_cache, FIRST))
    flip(lies(stores.dvc_remote, FIRST))
    with pytest.raises(DataCorrupt):
        objects.load(stores, "parcels", FIRST, "a file")
    assert capfd.readouterr() == ("", "")
    assert sorted(p.name for p in stores.root.iterdir()) == [".git", ".gitignore", "notes.txt", "var"]
    assert sorted(p.name for p in stores.folder("dvc").iterdir()) == ["cache", "remote", "site", "staging"]
