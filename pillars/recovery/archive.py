"""A backup's file: a tar whose last member, `manifest.json`, names every other one with its size and sha256.

Last, because only then the hashes are known without reading twice; a tar that was cut off has none, and is refused.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import IO

from pillars.errors import ArchiveRefused, StoreUnavailable
from pillars.stores import begin_draft, sweep_drafts

FORMAT = 1
MANIFEST = "manifest.json"
ROOTS = ("var", "configs", "git")
OURS = "dvc-data/"  # what branches and tags begin with: no other is touched by a restore
CHUNK = 1 << 20
Watch = Callable[[int], object]


@dataclass(frozen=True)
class Member:
    """A file of the archive: bytes, and sha256 in hex."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an archive holds. `var` and `root` are the absolute places it was made of, `elsewhere` what is in no file here."""

    created: str
    var: str
    root: str
    branches: dict[str, str]  # data branch: commit
    elsewhere: tuple[str, ...]
    members: dict[str, Member]
    tags: dict[str, str] = field(default_factory=dict)  # of data versions, with the object each names; absent in older backups
    format: int = FORMAT

    @property
    def bytes(self) -> int:
        """Size of all members."""
        return sum(member.size for member in self.members.values())


class Writer:
    """Puts files into an archive, hashing them on their way."""

    def __init__(self, tar: tarfile.TarFile, watch: Watch) -> None:
        self._tar, self._watch, self.members = tar, watch, dict[str, Member]()

    def add(self, name: str, path: Path, *, mode: int | None = None) -> None:
        """Copy a file as it is now; one that is gone meanwhile was not there. Raises: OSError."""
        with suppress(FileNotFoundError), path.open("rb") as handle:
            stat = os.fstat(handle.fileno())
            self._put(name, handle, stat.st_size, stat.st_mode & 0o777 if mode is None else mode)

    def put(self, name: str, content: bytes) -> None:
        """Write these bytes."""
        self._put(name, io.BytesIO(content), len(content), 0o600)

    def _put(self, name: str, handle: IO[bytes], size: int, mode: int) -> None:
        info = tarfile.TarInfo(name)
        info.size, info.mode = size, mode
        hashed = _Hashed(handle)
        self._tar.addfile(info, hashed)
        self.members[name] = Member(size, hashed.sha256.hexdigest())
        self._watch(size)


class _Hashed:
    """A file that is hashed while it is read."""

    def __init__(self, handle: IO[bytes]) -> None:
        self._handle, self.sha256 = handle, hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        found = self._handle.read(size)
        self.sha256.update(found)
        return found


@contextmanager
def writing(path: Path, watch: Watch, describe: Callable[[dict[str, Member]], Manifest]) -> Iterator[Writer]:
    """An archive under a draft's name, its owner's alone; it gets its own when the block ends well and all of it is on the disk.

    Raises:
        StoreUnavailable: the disk refuses; what was at `path` is intact.
    """
    draft: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        sweep_drafts(path)
        draft, handle = begin_draft(path, 0o600)
        with handle:
            with tarfile.open(fileobj=handle, mode="w", format=tarfile.PAX_FORMAT) as tar:
                writer = Writer(tar, watch)
                yield writer
                writer.put(MANIFEST, json.dumps(asdict(describe(dict(writer.members))), indent=1).encode())
            handle.flush()
            os.fsync(handle.fileno())
            os.replace(draft, path)
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "No backup was made; what was there is intact. Free the disk.", "written") from err
    finally:
        with suppress(OSError):
            if draft is not None:
                draft.unlink(missing_ok=True)


def read(path: Path, watch: Watch = lambda _: None) -> Manifest:
    """Read all of an archive and compare it with its manifest.

    Raises:
        ArchiveRefused: it is no archive, cut off, changed, of a format we do not know, or names places outside.
        StoreUnavailable: it cannot be read.
    """
    found: dict[str, Member] = {}
    manifest: Manifest | None = None
    with opened(path) as tar:
        for info in tar:
            if manifest is not None:
                raise ArchiveRefused(path.name, f"{info.name} comes after the manifest")
            if problem := _unfit(info, found):
                raise ArchiveRefused(path.name, problem)
            handle = tar.extractfile(info)
            assert handle is not None
            if info.name == MANIFEST:
                manifest = _parsed(path.name, handle.read())
                continue
            hashed = _Hashed(handle)
            while hashed.read(CHUNK):
                pass
            found[info.name] = Member(info.size, hashed.sha256.hexdigest())
            watch(info.size)
    if manifest is None:
        raise ArchiveRefused(path.name, "it has no manifest: it was cut off, or is no backup")
    if strange := sorted(found.keys() ^ manifest.members.keys()):
        raise ArchiveRefused(path.name, f"{strange[0]} is {'in no manifest' if strange[0] in found else 'missing'}")
    if changed := [name for name, member in found.items() if member != manifest.members[name]]:
        raise ArchiveRefused(path.name, f"{changed[0]} is not what the manifest says")
    return manifest


def extract(path: Path, manifest: Manifest, to: Path, watch: Watch = lambda _: None) -> None:
    """Write the members into the folder `to`, each hashed once more on its way.

    Raises:
        ArchiveRefused: the file changed since it was read.
        OSError: the disk refuses.
    """
    with opened(path) as tar:
        for info in tar:
            if info.name == MANIFEST:
                break
            if info.name not in manifest.members or _unfit(info, {}):
                raise ArchiveRefused(path.name, f"{info.name} was not there a moment ago")
            handle = tar.extractfile(info)
            assert handle is not None
            hashed, file = _Hashed(handle), to / info.name
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, info.mode & 0o777), "wb") as out:
                while chunk := hashed.read(CHUNK):
                    out.write(chunk)
            if hashed.sha256.hexdigest() != manifest.members[info.name].sha256:
                raise ArchiveRefused(path.name, f"{info.name} changed since it was verified")
            watch(info.size)


@contextmanager
def opened(path: Path) -> Iterator[tarfile.TarFile]:
    """The tar, read from front to back. Raises: ArchiveRefused, StoreUnavailable."""
    try:
        with tarfile.open(path, "r:") as tar:
            yield tar
    except tarfile.TarError as err:
        raise ArchiveRefused(path.name, f"it is no whole tar ({err})") from err
    except FileNotFoundError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was changed.", "read") from err


def sha256_of(path: Path) -> str:
    """sha256 (hex) of a file. Raises: OSError."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _unfit(info: tarfile.TarInfo, before: dict[str, Member]) -> str:
    """Why a member is not taken; empty where it is."""
    if info.name in before:
        return f"{info.name} is there twice"
    if not info.isreg():
        return f"{info.name} is no file"
    if info.name == MANIFEST:
        return ""
    parts = PurePosixPath(info.name).parts
    if "\\" in info.name or "\0" in info.name or ".." in parts or "/".join(parts) != info.name or len(parts) < 2 or parts[0] not in ROOTS:
        return f"{info.name!r} leads out of its place"
    return ""


def _parsed(name: str, content: bytes) -> Manifest:
    try:
        said = json.loads(content)
        if said["format"] != FORMAT:
            raise ArchiveRefused(name, f"its format is {said['format']!r}, this release reads {FORMAT}")
        members = {str(path): Member(int(m["size"]), str(m["sha256"])) for path, m in said["members"].items()}
        branches, tags = ({str(k): str(v) for k, v in refs.items()} for refs in (said["branches"], said.get("tags", {})))
        if odd := [ref for ref in (*branches, *tags) if not ref.startswith(OURS)]:
            raise ArchiveRefused(name, f"{odd[0]!r} is no branch or tag of data versions")
        elsewhere = tuple(map(str, said["elsewhere"]))
        return Manifest(str(said["created"]), str(said["var"]), str(said["root"]), branches, elsewhere, members, tags)
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise ArchiveRefused(name, f"its manifest is none ({type(err).__name__})") from err
