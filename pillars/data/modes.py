"""Who may read what lies under `var`: its owner alone, and what came in also a group that is named (`PILLARS_READERS`)."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pillars.data import keyring, sealing
from pillars.errors import NotAllowed, StoreUnavailable
from pillars.stores import CLOSED, Stores


@dataclass(frozen=True)
class Mode:
    """A file or folder whose rights are not those that are promised; `path` relative to the project's folder, modes as `ls` writes them."""

    path: str
    found: str
    promised: str
    why: str


@dataclass(frozen=True)
class _Promise:
    """Rights of one place: bits, and the group that they are given to; None where the group has none."""

    bits: int
    group: int | None


def wrong(stores: Stores) -> Iterator[Mode]:
    """Places with other rights than promised. Raises: SettingInvalid, where `PILLARS_READERS` names no group."""
    for path, promise in _promises(stores):
        found = path.stat(follow_symlinks=False)
        if why := _why(stores, found, promise):
            yield Mode(_name(stores, path), stat.filemode(found.st_mode), stat.filemode(stat.S_IFMT(found.st_mode) | promise.bits), why)


def mend(stores: Stores) -> list[Mode]:
    """Give each such place the rights that are promised; those that were wrong.

    Raises:
        StoreUnavailable: it belongs to somebody else, or its owner is not in the group of readers.
    """
    mended = list(wrong(stores))
    for path, promise in _promises(stores):
        found = path.stat(follow_symlinks=False)
        if _why(stores, found, promise):
            try:
                if promise.group is not None and found.st_gid != promise.group:
                    os.chown(path, -1, promise.group)
                path.chmod(promise.bits)
            except OSError as err:
                remedy = "Work as its owner (a member of the group of readers), or as root."
                raise StoreUnavailable.refused(_name(stores, path), err, remedy, "given its rights") from err
    if (stores.var / keyring.FILE).exists():
        with keyring.holding(stores):  # or a rotation's newest key could be missing from what is shared
            keyring.share(stores)
    return mended


def require(stores: Stores, folder: str) -> None:
    """Refuse who may not read a folder of what came in. Raises: NotAllowed."""
    path = stores.var / folder
    try:
        may = not path.exists() or os.access(path, os.R_OK | os.X_OK)
    except PermissionError:  # not even `var` may be entered
        may = False
    if not may:
        raise NotAllowed("read", f"var/{folder}", _who(stores))


def _promises(stores: Stores) -> Iterator[tuple[Path, _Promise]]:
    """Each place that rights are promised of."""
    if not stores.var.is_dir():
        return
    group = stores.readers_group
    yield stores.var, _Promise(0o700 if group is None else 0o750, group)
    for name in CLOSED:
        yield from _below(stores.var / name, _Promise(0o700, None), _Promise(0o600, None), files=name == "keys")
    for name in sealing.FOLDERS:
        shared = group is not None
        yield from _below(
            stores.var / name, _Promise(0o2750 if shared else 0o700, group), _Promise(0o640 if shared else 0o600, group), files=True
        )


def _below(top: Path, folders: _Promise, kept: _Promise, *, files: bool) -> Iterator[tuple[Path, _Promise]]:
    """A folder, and with `files` what lies in it; a folder that is closed closes all below it."""
    if not top.is_dir():
        return
    yield top, folders
    for path in sorted(top.rglob("*")) if files else ():
        if path.is_symlink() or path.name.endswith(".lock"):  # a lock holds nothing
            continue
        yield path, folders if path.is_dir() else kept


def _why(stores: Stores, found: os.stat_result, promise: _Promise) -> str:
    """What is wrong with rights, empty where nothing is. Those of the owner are the owner's affair."""
    if found.st_mode & 0o007:
        return "everybody on this machine may read it"
    if found.st_mode & 0o070 and (promise.group is None or found.st_gid != promise.group):
        return "a group may read it that is not the readers'"
    if found.st_mode & 0o070 & ~promise.bits:
        return "the readers may do more than read"
    if promise.group is not None and promise.bits & 0o050 & ~found.st_mode:
        return f"the readers ({stores.readers}) cannot read it"
    return ""


def _name(stores: Stores, path: Path) -> str:
    return "var" if path == stores.var else f"var/{path.relative_to(stores.var).as_posix()}"


def _who(stores: Stores) -> str:
    return f"its owner and the group {stores.readers}" if stores.readers else "its owner alone"
