"""What came in, on disk: in folders of its owner alone, and sealed (AES-256-GCM) where a project has personal or sensitive columns.

A file of any size is sealed and read in chunks (`chunks`); what an earlier release sealed as a whole (version 1) is read as well.
"""

from __future__ import annotations

import hmac
import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pillars.data import chunks, keyring
from pillars.data.chunks import Broken, Key, Moving
from pillars.errors import Busy, DataCorrupt, StoreUnavailable
from pillars.stores import Stores, replacing, write_atomically

FOLDERS = ("raw", "rejected", "quarantine", "flagged")  # under `var`: what came in, and what is not in the data set; see `modes`
MAGIC = b"PILLARS\x01"  # of version 1: then the key's id (4), a nonce (12), and all content in one piece
KEY_ID, NONCE = chunks.KEY_ID, 12  # bytes
HEAD = len(MAGIC) + KEY_ID + NONCE
SEALS = (MAGIC, chunks.MAGIC)
ATTEMPTS = 20  # at one file, when keys are rotated again and again
AGAIN = "Make it again: `pillars ingest` of the period."


@dataclass(frozen=True)
class Rotation:
    """Files sealed anew with the key `key`, and the ids of the keys that were dropped after it."""

    key: str
    files: int
    dropped: tuple[str, ...]


def write(stores: Stores, path: str, content: bytes, *, seal: bool) -> None:
    """Replace the file `path` (under `var`, in one of `FOLDERS`). Only its owner can read it, and nobody without the key where sealed.

    Raises:
        StoreUnavailable: the disk refuses; the old content is intact. Or there is no key to seal with.
        Busy: keys were being rotated for a minute.
    """
    _close_folder(stores, path)
    if seal:
        _replace(stores, path, io.BytesIO(content))
    else:
        write_atomically(stores.var / path, content, private=True, group=stores.readers_group)


def write_file(stores: Stores, path: str, plain: Path | Iterable[bytes], *, seal: bool) -> None:
    """As `write`, of content that need not fit in memory: a file, which stays where it is, or parts that follow one another. Equal
    content at an equal path is equal bytes, however it came. At most some MiB are in memory, and nothing that is to be sealed is on
    the disk in between. Read it with `open_file`.

    Raises:
        StoreUnavailable: `plain` is not there or changed meanwhile, or as in `write`; the old content is intact.
        Busy: keys were being rotated for a minute.
    """
    _close_folder(stores, path)
    with given(stores, path, plain) as content:
        if seal:
            _replace(stores, path, content)
            return
        with replacing(stores.var / path, private=True, group=stores.readers_group) as out:
            copy(content, out)


def put_again(stores: Stores, path: str, to: str, *, seal: bool) -> None:
    """Write the content of one file under `var` to another. Raises as `open_file` and `write_file` do."""
    with open_file(stores, path) as content:
        write_file(stores, to, iter(lambda: content.read(chunks.CHUNK), b""), seal=seal)


def read(stores: Stores, path: str) -> bytes:
    """The content of a file under `var`, opened where it is sealed.

    Raises:
        StoreUnavailable: it is not there, cannot be read, or its key is not on the ring.
        DataCorrupt: a sealed file was changed, or is another one renamed.
    """
    with open_file(stores, path) as content:
        return content.read()


def open_file(stores: Stores, path: str) -> BinaryIO:
    """The content of a file under `var` as a file to read from any place of, opened where it is sealed: chunk by chunk, so that
    `pyarrow.parquet.ParquetFile` takes single row groups out of it. Close it.

    Raises:
        StoreUnavailable: it is not there, cannot be read, or its key is not on the ring.
        DataCorrupt: a sealed file was changed, cut off, or is another one renamed; here, or where its content is read.
    """
    for last in (False, True):
        try:
            file = (stores.var / path).open("rb")
        except OSError as err:
            raise StoreUnavailable.refused(path, err, f"Nothing was changed. {AGAIN}", "read") from err
        try:
            return opened(stores, file, path)
        except StoreUnavailable:
            file.close()
            if last:  # the first time a rotation may have been faster
                raise
        except BaseException:
            file.close()
            raise
    raise AssertionError


def opened(stores: Stores, file: BinaryIO, path: str) -> BinaryIO:
    """The content of an open file called `path`; the file itself where it is not sealed.

    Raises:
        StoreUnavailable: its key is not on the ring.
        DataCorrupt: as in `open_file`.
    """
    head = file.read(chunks.HEAD)
    file.seek(0)
    if not head.startswith(SEALS):
        return file
    key, name = _key(stores, _key_of(head), path)
    try:
        if head.startswith(MAGIC):
            with file:
                return io.BytesIO(_opened_whole(path, file.read(), key.secret))
        return cast(BinaryIO, io.BufferedReader(_Reader(file, key, name, path), chunks.CHUNK))
    except Broken as err:
        raise _corrupt(path) from err


def given(stores: Stores, path: str, plain: Path | Iterable[bytes]) -> AbstractContextManager[BinaryIO]:
    """What is to be written to `path` as a file that can be read twice. Raises: StoreUnavailable."""
    return _plain(plain) if isinstance(plain, Path) else chunks.passing(plain, stores.folder(Path(path).parts[0]))


def copy(content: BinaryIO, out: BinaryIO) -> None:
    """All of a file, as it is."""
    shutil.copyfileobj(content, out, chunks.CHUNK)


def seal(key: Key, name: str, content: BinaryIO, out: BinaryIO, path: str) -> None:
    """All of a file, sealed under `name`; it will be called `path`. Raises: StoreUnavailable, where it changes meanwhile."""
    try:
        chunks.seal(key, name, content, out)
    except Moving as err:
        raise StoreUnavailable(path, "its content changed while it was sealed", "Nothing was written; run again.") from err


def name_of_data(project: str) -> str:
    """What files of a project's data set are sealed under, wherever they lie: DVC knows them by their bytes alone."""
    return f"data of {project}"


def files(stores: Stores) -> Iterator[str]:
    """Paths under `var` of all sealed files."""
    for folder in FOLDERS:
        for file in sorted((stores.var / folder).rglob("*")):
            if file.is_file() and not file.name.startswith(".") and _begins(file).startswith(SEALS):
                yield stores.relative(file)


def key_of(stores: Stores, path: str) -> str:
    """Id of the key that a sealed file is sealed with. Raises: StoreUnavailable."""
    try:
        return _key_of(_begins(stores.var / path))
    except OSError as err:
        raise StoreUnavailable.refused(path, err, f"Nothing was changed. {AGAIN}", "read") from err


def rotate(stores: Stores, watch: Callable[[int], object] = lambda _: None) -> Rotation:
    """Seal every file anew with a new key and drop the others. Killed, and run again, it goes on with the key it had begun.

    What runs meanwhile may read and write; `watch` is told how many files are done.

    Raises:
        StoreUnavailable: a file cannot be opened or written; the keys are all still there.
        DataCorrupt: a sealed file was changed; the keys are all still there.
    """
    ring = keyring.ring(stores)
    if len(ring.keys) == 1:
        ring = keyring.add(stores)
    done = 0
    for path in files(stores):
        done += _renew(stores, ring, path)
        watch(done)
    with keyring.holding(stores):  # what was written by those who had read the ring before
        for path in files(stores):
            done += _renew(stores, ring, path)
        old = tuple(name for name in ring.keys if name != ring.newest)
        keyring.drop(stores, *old)
    return Rotation(ring.newest, done, old)


class _Dropped(Exception):
    """The key went off the ring while a file was sealed with it."""


class _Reader(chunks.Reader):
    """One that says whose bytes are broken, and where they are made again."""

    def __init__(self, file: BinaryIO, key: Key, name: str, path: str) -> None:
        self._path = path
        super().__init__(file, key, name)

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        try:
            return super().readinto(buffer)
        except Broken as err:
            raise _corrupt(self._path) from err


def _replace(stores: Stores, path: str, content: BinaryIO) -> None:
    """Seal a file and give it its name while its key is on the ring: where a rotation came in between, it is sealed once more."""
    for _ in range(ATTEMPTS):
        ring = keyring.ring(stores)
        with ExitStack() as held, suppress(_Dropped), replacing(stores.var / path, private=True, group=stores.readers_group) as out:
            seal(ring.seals, path, content, out, path)
            held.enter_context(keyring.holding(stores))  # until it has its name, no key is dropped
            if ring.newest not in keyring.ring(stores).keys:
                raise _Dropped
            return
    raise Busy("the ring of file keys", 0, "others who rotate it")


def _renew(stores: Stores, ring: keyring.Ring, path: str) -> int:
    key = key_of(stores, path)
    if key == ring.newest:
        return 0
    if key not in ring.keys:
        raise StoreUnavailable(path, f"is sealed with key {key}, which is not on the ring", "No key was dropped; bring that ring back.")
    with open_file(stores, path) as content, replacing(stores.var / path, private=True, group=stores.readers_group) as out:
        seal(ring.seals, path, content, out, path)
    return 1


def _key(stores: Stores, name: str, path: str) -> tuple[Key, str]:
    """The key of an id, and the name that a file called `path` is sealed under with it."""
    ring = keyring.ring(stores)
    if of := next((project for project, key in ring.data.items() if key.id == name), None):
        return ring.data[of], name_of_data(of)
    if name not in ring.keys:
        raise StoreUnavailable(
            path, f"is sealed with key {name}, which is not on the ring", f"Bring var/{keyring.FILE} back from a backup."
        )
    return Key(name, ring.keys[name]), path


def _opened_whole(path: str, content: bytes, key: bytes) -> bytes:
    nonce, text = content[HEAD - NONCE : HEAD], content[HEAD:]
    try:
        return AESGCM(hmac.digest(key, b"content", "sha256")).decrypt(nonce, text, path.encode())
    except (InvalidTag, ValueError) as err:
        raise _corrupt(path) from err


def _corrupt(path: str) -> DataCorrupt:
    return DataCorrupt(path, "that its seal says", "other bytes", AGAIN)


def _key_of(head: bytes) -> str:
    return head[len(MAGIC) : len(MAGIC) + KEY_ID].hex()


def _plain(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was written.", "read") from err


def _begins(file: Path) -> bytes:
    with file.open("rb") as handle:
        return handle.read(chunks.HEAD)


def _close_folder(stores: Stores, path: str) -> None:
    """The folders of `path`, for their owner and the readers alone; one of an earlier release, or of other readers, is closed."""
    group = stores.readers_group
    bits = 0o700 if group is None else 0o2750
    for depth in range(1, len(Path(path).parts)):
        folder = stores.folder(*Path(path).parts[:depth])
        found = folder.stat()
        try:
            if group is not None and found.st_gid != group:
                os.chown(folder, -1, group)
            if found.st_mode & 0o7777 != bits:
                folder.chmod(bits)
        except OSError as err:
            remedy = "It belongs to somebody else, or its owner is not in the group PILLARS_READERS: work as its owner, a member."
            raise StoreUnavailable.refused(str(folder), err, remedy, "closed") from err
