"""What came in, on disk: in folders of its owner alone, and sealed (AES-256-GCM) where a project has personal or sensitive columns."""

from __future__ import annotations

import hmac
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pillars.data import keyring
from pillars.errors import DataCorrupt, StoreUnavailable
from pillars.stores import Stores, replacing, write_atomically

FOLDERS = ("raw", "rejected", "quarantine", "flagged")  # under `var`: what came in, and what is not in the data set; see `modes`
MAGIC = b"PILLARS\x01"
KEY_ID, NONCE = 4, 12  # bytes; the nonce as NIST SP 800-38D recommends
HEAD = len(MAGIC) + KEY_ID + NONCE
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
    if not seal:
        write_atomically(stores.var / path, content, private=True, group=stores.readers_group)
        return
    keyring.ring(stores)  # made where there is none, which needs the lock
    with keyring.holding(stores):  # or a rotation could drop the key between sealing and writing
        content = sealed(keyring.ring(stores), path, content)
        write_atomically(stores.var / path, content, private=True, group=stores.readers_group)


def write_file(stores: Stores, path: str, plain: Path, *, seal: bool) -> None:
    """As `write`, with the content of a file; not in memory, but where it is sealed."""
    if seal:
        write(stores, path, plain.read_bytes(), seal=True)
        return
    _close_folder(stores, path)
    with plain.open("rb") as content, replacing(stores.var / path, private=True, group=stores.readers_group) as handle:
        shutil.copyfileobj(content, handle, 1 << 20)


def copy(stores: Stores, path: str, to: str, *, seal: bool) -> None:
    """Write the content of one file under `var` to another. Raises as `read` and `write` do."""
    if is_sealed(stores, path):
        write(stores, to, read(stores, path), seal=seal)
    else:
        write_file(stores, to, stores.var / path, seal=seal)


def read(stores: Stores, path: str) -> bytes:
    """The content of a file under `var`, opened where it is sealed.

    Raises:
        StoreUnavailable: it is not there, cannot be read, or its key is not on the ring.
        DataCorrupt: a sealed file was changed, or is another one renamed.
    """
    for last in (False, True):
        content = _bytes(stores, path)
        if not content.startswith(MAGIC):
            return content
        keys, key = keyring.ring(stores).keys, _key_of(content)
        if key in keys:
            return _opened(path, content, keys[key])
        if last:  # the first time a rotation may have been faster
            break
    raise StoreUnavailable(path, f"is sealed with key {key}, which is not on the ring", f"Bring var/{keyring.FILE} back from a backup.")


def is_sealed(stores: Stores, path: str) -> bool:
    """Whether a file under `var` is a sealed one."""
    with (stores.var / path).open("rb") as handle:
        return handle.read(len(MAGIC)) == MAGIC


def sealed(ring: keyring.Ring, path: str, content: bytes) -> bytes:
    """`content` as it is written: magic, key's id, nonce, then AES-256-GCM over it with `path` as associated data.

    The nonce is synthetic (the start of an HMAC-SHA256 over path and content, as in RFC 5297), so that equal content at an equal path is
    equal bytes: a step that runs again changes nothing. Only that equality can be seen.
    """
    key = ring.keys[ring.newest]
    mac = hmac.digest(hmac.digest(key, b"nonce", "sha256"), path.encode() + b"\0" + content, "sha256")
    head = MAGIC + bytes.fromhex(ring.newest) + mac[:NONCE]
    return head + AESGCM(hmac.digest(key, b"content", "sha256")).encrypt(mac[:NONCE], content, path.encode())


def files(stores: Stores) -> Iterator[str]:
    """Paths under `var` of all sealed files."""
    for folder in FOLDERS:
        for file in sorted((stores.var / folder).rglob("*")):
            if file.is_file() and not file.name.startswith(".") and _begins(file).startswith(MAGIC):
                yield stores.relative(file)


def key_of(stores: Stores, path: str) -> str:
    """Id of the key that a sealed file is sealed with. Raises: StoreUnavailable."""
    return _key_of(_bytes(stores, path))


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


def _renew(stores: Stores, ring: keyring.Ring, path: str) -> int:
    content = _bytes(stores, path)
    if (key := _key_of(content)) == ring.newest:
        return 0
    if key not in ring.keys:
        raise StoreUnavailable(path, f"is sealed with key {key}, which is not on the ring", "No key was dropped; bring that ring back.")
    again = sealed(ring, path, _opened(path, content, ring.keys[key]))
    write_atomically(stores.var / path, again, private=True, group=stores.readers_group)
    return 1


def _opened(path: str, content: bytes, key: bytes) -> bytes:
    nonce, text = content[HEAD - NONCE : HEAD], content[HEAD:]
    try:
        return AESGCM(hmac.digest(key, b"content", "sha256")).decrypt(nonce, text, path.encode())
    except (InvalidTag, ValueError) as err:
        raise DataCorrupt(path, "that its seal says", "other bytes", AGAIN) from err


def _key_of(content: bytes) -> str:
    return content[len(MAGIC) : len(MAGIC) + KEY_ID].hex()


def _bytes(stores: Stores, path: str) -> bytes:
    try:
        return (stores.var / path).read_bytes()
    except OSError as err:
        raise StoreUnavailable.refused(path, err, f"Nothing was changed. {AGAIN}", "read") from err


def _begins(file: Path) -> bytes:
    with file.open("rb") as handle:
        return handle.read(len(MAGIC))


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
