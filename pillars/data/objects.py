"""The DVC door: a data set's files by md5, in the cache and on the remote. Every file that leaves here was checked against its name.

DVC 3.67 takes what lies in its cache or on a remote at its word: a flipped bit is restored with exit code 0, and `push` skips objects
that its index of the remote remembers, there or not. So objects are moved by `dvc_data`'s own transfer without that index, and hashed
before and after.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import re
import sqlite3
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pillars.data import dropped
from pillars.errors import DataCorrupt, Dropped, StoreUnavailable
from pillars.stores import Stores, locked, user_name, without_password, write_atomically

REMEDY = "Nothing was changed in the data set; mend it and run again."
CHUNK = 1 << 20
DRAFT = "*." + "?" * 22 + ".tmp"  # `dvc_objects.fs.utils.tmp_fname`: an object on its way in, renamed when it is whole


@dataclass(frozen=True)
class Places:
    """DVC's object databases: `cache` on this machine, `remote` behind it."""

    cache: Any
    remote: Any


def writing(stores: Stores, project: str) -> AbstractContextManager[None]:
    """One writer per project; DVC's own lock gives up after 5 s, this one waits.

    Raises:
        Busy: somebody else has been writing for five minutes.
    """
    return locked(stores.folder("dvc", "staging") / f"{project}.lock", f"the data set of {project}", wait_s=300)


def remote_url(stores: Stores) -> str:
    """The remote; a folder as an absolute path."""
    return stores.dvc_remote if "://" in stores.dvc_remote else str((stores.root / stores.dvc_remote).resolve())


def remote_config(stores: Stores) -> str:
    """The part of `.dvc/config` that names the remote. DVC must verify what it downloads: it does not by default."""
    url = remote_url(stores)
    # S3's client waits a minute, five times
    patience = "    connect_timeout = 10\n    read_timeout = 60\n" if url.startswith("s3://") else ""
    return f"['remote \"local\"']\n    url = {_quoted(url)}\n    verify = true\n{patience}"


def md5_of(path: Path) -> str:
    """md5 (hex) of a file; empty when there is none."""
    found = hashlib.md5(usedforsecurity=False)
    try:
        with path.open("rb") as handle:
            while chunk := handle.read(CHUNK):
                found.update(chunk)
    except FileNotFoundError:
        return ""
    return found.hexdigest()


def lost(stores: Stores, project: str, md5s: Iterable[str]) -> set[str]:
    """Those that neither the cache nor the remote has. Asks the remote only about what the cache lacks."""
    absent = {m for m in md5s if not _cached(stores, m).is_file()}
    if not absent:
        return set()
    with _open(stores, project) as places:
        return absent - set(places.remote.oids_exist(sorted(absent)))


def store(stores: Stores, project: str, listing: Mapping[str, str], new: Mapping[str, Path], without: Collection[str] = ()) -> str:
    """Put `new` files (md5 to path) into the cache, then the whole `listing` (path in `data/` to md5) on the remote.

    After it every object of the listing is on the remote; on a folder each was hashed there, 3 s a gigabyte of it, elsewhere each that
    was sent. Objects `without` are known to be lost: then the others are stored, and the listing itself is not. Call it while `writing`.

    Returns:
        DVC's id of the listing.

    Raises:
        StoreUnavailable: a disk or the remote refuses, or an object is nowhere to be had.
    """
    from dvc_data.hashfile.db import add_update_tree
    from dvc_data.hashfile.tree import Tree
    from dvc_objects.fs.local import LocalFileSystem

    with _open(stores, project) as places:
        with _filling(places.cache, new):
            for md5, path in new.items():
                _drop_rotten(places.cache, [md5])
                places.cache.add(str(path), LocalFileSystem(), md5, hardlink=False)
        tree = Tree.from_list([{"relpath": path, "md5": md5} for path, md5 in listing.items()], hash_name="md5")
        tree.digest()
        identity = str(tree.oid)
        with _filling(places.cache, [identity]):
            _drop_rotten(places.cache, [identity])
            add_update_tree(places.cache, tree)
        _send(stores, places, set(listing.values()) - set(without))
        if not without:  # last: whoever sees the listing finds the files
            _send(stores, places, {identity})
    return identity


def load(stores: Stores, project: str, md5: str, name: str) -> bytes:
    """Bytes of a file called `name`, which hash to `md5`: from the cache, else from the remote, which mends the cache.

    Raises:
        DataCorrupt: neither has bytes of that hash.
        Dropped: nor should they: retention deleted them.
        StoreUnavailable: the remote does not answer.
    """
    path = _cached(stores, md5)
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
        return content
    with writing(stores, project), _open(stores, project) as places:
        if md5_of(path) != md5 and places.remote.oids_exist([md5]):
            _drop_rotten(places.cache, [md5])
            _transfer(places.remote, places.cache, {md5})
    content = path.read_bytes() if path.is_file() else b""
    found = hashlib.md5(content, usedforsecurity=False).hexdigest() if content else "no file"
    if not content and (row := dropped.rows(stores, project).get(md5)):
        raise Dropped(name, row)
    if found != md5:
        raise DataCorrupt(name, md5, found)
    return content


def remove(stores: Stores, project: str, md5s: Collection[str]) -> frozenset[str]:
    """Delete objects from the cache and from the remote; those that were there. Call it while `writing`.

    Raises:
        StoreUnavailable: a disk or the remote refuses; what is left can be deleted later.
    """
    there = {md5 for md5 in md5s if _cached(stores, md5).exists()}
    with _open(stores, project) as places:
        for md5 in sorted(places.remote.oids_exist(sorted(md5s))):
            places.remote.fs.remove(places.remote.oid_to_path(md5))
            there.add(md5)
        for md5 in md5s:
            _cached(stores, md5).unlink(missing_ok=True)
    return frozenset(there)


@dataclass(frozen=True)
class Damage:
    """One copy of a file that has not the bytes it is named by. `found` is their md5, empty where there is none."""

    name: str
    md5: str
    place: Literal["cache", "remote"]
    found: str
    mended: bool  # from the other copy


def verify(stores: Stores, project: str, names: Mapping[str, str]) -> tuple[Damage, ...]:
    """Hash both copies of each file (name to md5), in the cache and on the remote; a bad one is made again from the good one.

    A file that the cache lacks is fetched, and no damage. Call it while nobody is `writing`; it is, itself.

    Raises:
        StoreUnavailable: a disk or the remote refuses.
        Busy: somebody else has been writing for five minutes.
    """
    found: list[Damage] = []
    with writing(stores, project), _open(stores, project) as places:
        known = set(places.remote.oids_exist(sorted(names.values())))
        for name, md5 in names.items():
            seen = {"cache": md5_of(_cached(stores, md5)), "remote": _md5_at(places.remote, md5) if md5 in known else ""}
            good = [place for place, its in seen.items() if its == md5.removesuffix(".dir")]
            for place, its in seen.items():
                if place in good:
                    continue
                if good:
                    source, target = (places.remote, places.cache) if place == "cache" else (places.cache, places.remote)
                    if its:
                        target.fs.remove(target.oid_to_path(md5))
                    _transfer(source, target, {md5})
                if its or place == "remote":
                    found.append(Damage(name, md5, "cache" if place == "cache" else "remote", its, bool(good)))
    return tuple(found)


def _md5_at(place: Any, md5: str) -> str:
    """md5 (hex) of an object's bytes, wherever it lies."""
    found = hashlib.md5(usedforsecurity=False)
    with place.fs.open(place.oid_to_path(md5), "rb") as handle:
        while chunk := handle.read(CHUNK):
            found.update(chunk)
    return found.hexdigest()


def _cached(stores: Stores, md5: str) -> Path:
    """Where DVC 3 keeps an object."""
    return stores.dvc_cache / "files" / "md5" / md5[:2] / md5[2:]


@contextmanager
def _open(stores: Stores, project: str) -> Iterator[Places]:
    """DVC on a private area of the project: it finds no git there, no configuration of the user, and says nothing."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc_objects.errors import ObjectDBError

    area = stores.folder("dvc", "staging", project, ".dvc")
    config = area / "config"
    content = _config(stores)
    if not config.is_file() or config.read_text() != content:
        write_atomically(config, content.encode())
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its errors reach us as exceptions; progress bars follow the level
    os.environ.setdefault("LOGNAME", user_name())  # DVC dies of a user without a name (a container's)
    try:
        with Repo(str(area.parent)) as repo:
            yield Places(repo.cache.local, repo.cloud.get_remote_odb())
    except (DvcException, ObjectDBError, OSError, ImportError, sqlite3.Error, *_of_s3()) as err:
        # ImportError: a remote whose extra (dvc-s3) is not installed; sqlite3: DVC's own state, on a full disk
        raise StoreUnavailable("DVC", without_password(" ".join(str(err).split()))[:300] or type(err).__name__, REMEDY) from err


def _of_s3() -> tuple[type[Exception], ...]:
    """What S3's client raises that is no OSError (nobody answers, no credentials), where it was imported."""
    raised = sys.modules.get("botocore.exceptions")
    return (raised.BotoCoreError, raised.ClientError) if raised else ()


def _config(stores: Stores) -> str:
    core = "analytics = false", "autostage = false", "check_update = false", "no_scm = true", "remote = local"
    lines = ["[core]", *(f"    {c}" for c in core), f"    site_cache_dir = {_quoted(str(stores.folder('dvc', 'site')))}"]
    return "\n".join([*lines, "[cache]", f"    dir = {_quoted(str(stores.dvc_cache))}", remote_config(stores)])


def _quoted(value: str) -> str:
    """A value for DVC's configuration, where a comma makes a list and `#` begins a comment."""
    if not re.search(r"""[,#'"]""", value):
        return value
    mark = next((m for m in ("'", '"') if m not in value), "'''")
    return f"{mark}{value}{mark}"


def _send(stores: Stores, places: Places, md5s: Collection[str]) -> None:
    """Have objects of the cache on the remote, whole."""
    _drop_rotten(places.remote, md5s)
    missing = set(md5s) - set(places.remote.oids_exist(sorted(md5s)))
    _drop_rotten(places.cache, missing)
    _transfer(places.cache, places.remote, missing)
    _drop_rotten(places.remote, missing)
    there = set(places.remote.oids_exist(sorted(missing)))
    if absent := missing - {md5 for md5 in there if _arrived(places.remote, md5)}:
        raise StoreUnavailable(
            without_password(remote_url(stores)), f"lacks {', '.join(sorted(absent)[:3])} after they were sent there", REMEDY
        )


def _arrived(place: Any, md5: str) -> bool:
    """Whether an object that was sent has its bytes. S3 tells the md5 of what came in one part; else they are read back."""
    if place.fs.protocol == "local":
        return True  # it was hashed
    named = md5.removesuffix(".dir")
    return str(place.fs.info(place.oid_to_path(md5)).get("ETag", "")).strip('"') == named or _md5_at(place, md5) == named


def _transfer(source: Any, target: Any, md5s: Collection[str]) -> None:
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import transfer

    if md5s:
        with _filling(target, md5s):
            transfer(source, target, {HashInfo("md5", m) for m in md5s}, shallow=True, verify=True)


@contextmanager
def _filling(place: Any, md5s: Iterable[str]) -> Iterator[None]:
    """While objects are written to a folder, which is locked: whoever finds it free first takes away what killed writers left there.

    Only in the sub-folders of these objects: the run after a kill writes the same ones. The lock is on the folder itself and leaves no
    file; where it cannot be had (a network disk), nothing is taken away.
    """
    if place.fs.protocol != "local":
        yield
        return
    os.makedirs(place.path, exist_ok=True)
    handle = os.open(place.path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for folder in {Path(place.oid_to_path(md5)).parent for md5 in md5s}:
                for draft in folder.glob(DRAFT):
                    draft.unlink(missing_ok=True)
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def _drop_rotten(place: Any, md5s: Iterable[str]) -> None:
    """Remove objects of a folder whose bytes do not have their name: DVC would keep them for good. Other remotes verify on download."""
    if place.fs.protocol == "local":
        for md5 in md5s:
            path = Path(place.oid_to_path(md5))
            if md5_of(path) not in ("", md5.removesuffix(".dir")):
                path.unlink(missing_ok=True)
