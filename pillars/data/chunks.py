"""Content sealed in chunks: of any size in bounded memory, read from any place, refused where a chunk was changed, cut, moved or repeated.

The STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár, CRYPTO 2015) over AES-256-GCM. A sealed file is

    magic (8)  id of the key (4)  mac (32)  then chunks: 1 MiB of content, the last one less, each with its tag (16)

`mac` is an HMAC-SHA256 over name and content. Of it come the key of this file alone and the prefix of its nonces, so that equal content
under an equal name and key is equal bytes, and no nonce comes twice with other content under one key. A chunk's nonce is the prefix (7),
its number (4) and whether it is the last (1): what is decrypted stands where it was put, and the last chunk tells how many there are.
"""

from __future__ import annotations

import hmac
import io
import secrets
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MAGIC = b"PILLARS\x02"
KEY_ID, MAC, PREFIX, TAG = 4, 32, 7, 16  # bytes
HEAD = len(MAGIC) + KEY_ID + MAC
CHUNK = 1 << 20
SEALED = CHUNK + TAG


class Broken(ValueError):
    """A sealed file was changed, cut off, or is another one renamed. Whoever knows its path says so."""


class Moving(ValueError):
    """The content became another while it was sealed; what was written is of no use."""


@dataclass(frozen=True)
class Key:
    """A key (32 bytes) by its id (8 hex digits)."""

    id: str
    secret: bytes


def seal(key: Key, name: str, plain: BinaryIO, out: BinaryIO) -> None:
    """Write the content of `plain`, which is read twice from its beginning, sealed under `name`.

    Raises:
        Moving: it had other bytes the second time.
    """
    plain.seek(0)
    mac = _mac(key, name)
    for chunk in _chunks(plain):
        mac.update(chunk)
    _write(key, name, mac.digest(), plain, out)


@contextmanager
def passing(parts: Iterable[bytes], folder: Path) -> Iterator[BinaryIO]:
    """What comes only once as a file, for as long as it is entered: nameless in `folder`, and sealed with a key that nobody keeps."""
    key = Key("00" * KEY_ID, secrets.token_bytes(32))
    with tempfile.TemporaryFile(dir=folder) as draft:
        _encrypt(key, "", secrets.token_bytes(MAC), _cut(parts), draft)
        with io.BufferedReader(Reader(draft, key, ""), CHUNK) as content:
            yield content


def key_id(head: bytes) -> str:
    """Id of the key that a sealed file, which begins with `head`, is sealed with."""
    return head[len(MAGIC) : len(MAGIC) + KEY_ID].hex()


class Reader(io.RawIOBase):
    """The content of a sealed file, seekable; closed, it closes the file. It holds one chunk at a time.

    The last chunk is opened at once, and with it the length is sure: a file that was cut off is refused before a byte of it is read.

    Raises:
        Broken: here or while it is read.
    """

    def __init__(self, sealed: BinaryIO, key: Key, name: str) -> None:
        super().__init__()
        self._file, self._name = sealed, name.encode()
        size = sealed.seek(0, io.SEEK_END) - HEAD
        self._count = -(-size // SEALED)
        last = size - (self._count - 1) * SEALED - TAG
        if size < TAG or last < 0 or (last == 0 and self._count > 1):
            raise Broken("cut off")
        sealed.seek(0)
        head = sealed.read(HEAD)
        mac = head[-MAC:]
        if head[: len(MAGIC)] != MAGIC or key_id(head) != key.id:
            raise Broken("of another key or format")
        self._cipher, self._prefix = _cipher(key, mac), mac[:PREFIX]
        self._size = (self._count - 1) * CHUNK + last
        self._at, self._number, self._chunk = 0, -1, b""
        self._load(self._count - 1)

    def readable(self) -> bool:
        """It is."""
        return True

    def seekable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """Bytes of content before the next one that is read."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Go to a place of the content."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"negative place {base + offset}")
        self._at = base + offset
        return self._at

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        """Fill `buffer` from the chunk at hand; 0 at the end."""
        if self._at >= self._size or not len(buffer):
            return 0
        number, inside = divmod(self._at, CHUNK)
        self._load(number)
        found = memoryview(self._chunk)[inside : inside + len(buffer)]
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)

    def readall(self) -> bytes:
        """All that is left, chunk by chunk and not by the 8 KiB of the default."""
        return b"".join(iter(lambda: self.read(CHUNK) or b"", b""))

    def close(self) -> None:
        """Close it, and the sealed file."""
        if not self.closed:
            self._file.close()
            self._chunk = b""
        super().close()

    def _load(self, number: int) -> None:
        if number == self._number:
            return
        self._file.seek(HEAD + number * SEALED)
        nonce = _nonce(self._prefix, number, number == self._count - 1)
        try:
            self._chunk = self._cipher.decrypt(nonce, self._file.read(SEALED), self._name)
        except (InvalidTag, ValueError) as err:
            raise Broken(f"chunk {number}") from err
        self._number = number


def _write(key: Key, name: str, mac: bytes, plain: BinaryIO, out: BinaryIO) -> None:
    plain.seek(0)
    seen = _mac(key, name)

    def again() -> Iterator[bytes]:
        for chunk in _chunks(plain):
            seen.update(chunk)
            yield chunk

    _encrypt(key, name, mac, again(), out)
    if not hmac.compare_digest(seen.digest(), mac):  # or two contents would be sealed with the same nonces
        raise Moving("the content changed while it was sealed")


def _encrypt(key: Key, name: str, mac: bytes, chunks: Iterator[bytes], out: BinaryIO) -> None:
    """Chunks are of `CHUNK` bytes each, the last one of fewer or as many; none at all is one that is empty."""
    cipher, bound = _cipher(key, mac), name.encode()
    out.write(MAGIC + bytes.fromhex(key.id) + mac)
    number, chunk = 0, next(chunks, b"")
    while following := next(chunks, b""):
        out.write(cipher.encrypt(_nonce(mac[:PREFIX], number, False), chunk, bound))
        number, chunk = number + 1, following
    out.write(cipher.encrypt(_nonce(mac[:PREFIX], number, True), chunk, bound))


def _cut(parts: Iterable[bytes]) -> Iterator[bytes]:
    held = bytearray()
    for part in parts:
        for at in range(0, len(part), CHUNK):  # one large part is not copied as a whole
            held += part[at : at + CHUNK]
            while len(held) >= CHUNK:
                yield bytes(held[:CHUNK])
                del held[:CHUNK]
    if held:
        yield bytes(held)


def _chunks(plain: BinaryIO) -> Iterator[bytes]:
    """As many bytes a piece as can be had: a raw file may give fewer than asked for."""
    return _cut(iter(lambda: plain.read(CHUNK), b""))


def _mac(key: Key, name: str) -> hmac.HMAC:
    return hmac.new(hmac.digest(key.secret, b"pillars/chunks/mac/v2", "sha256"), name.encode() + b"\0", "sha256")


def _cipher(key: Key, mac: bytes) -> AESGCM:
    return AESGCM(hmac.digest(hmac.digest(key.secret, b"pillars/chunks/key/v2", "sha256"), mac, "sha256"))


def _nonce(prefix: bytes, number: int, last: bool) -> bytes:
    return prefix + number.to_bytes(4, "big") + bytes([last])
