"""A segment of the request log that whoever writes it cannot read: sealed with a key that only the holder of the project's own makes again.

    magic (8)  id of the key (4)  public key of the segment (32)  then records: size (4)  check of the size (4)  content with its tag (16)

The server is told a public key (X25519) and draws another pair for each segment; both together give the segment's key (HKDF, RFC 5869), and
the drawn half is forgotten. A record is one append, sealed by itself (AES-256-GCM) under its number and the segment's name: what was
acknowledged before a kill is whole, and a record that was changed, moved, repeated or put into another segment is refused. That records at
the end are missing cannot be seen: the last one may be cut by a kill.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"PILLARS\x03"
KEY_ID, PUBLIC, SIZE, NONCE, TAG = 4, 32, 4, 12, 16  # bytes
HEAD = len(MAGIC) + KEY_ID + PUBLIC
SecretOf = Callable[[str], bytes]  # the private half (32 bytes) of the key of an id (8 hex digits)


class Sealer:
    """Seals one segment, record after record. Not safe for threads."""

    def __init__(self, key_id: str, public: bytes, name: str) -> None:
        drawn = X25519PrivateKey.generate()
        self.head = MAGIC + bytes.fromhex(key_id) + drawn.public_key().public_bytes_raw()
        self._cipher = _cipher(drawn.exchange(X25519PublicKey.from_public_bytes(public)), self.head, public)
        self._name, self._number = name.encode(), 0

    def record(self, content: bytes) -> bytes:
        """The next record."""
        sealed = self._cipher.encrypt(self._number.to_bytes(NONCE, "big"), content, self._name)
        size = len(sealed).to_bytes(SIZE, "big")
        self._number += 1
        return size + _check(size) + sealed


class Records:
    """The records of a sealed segment in their order, None for one that was changed. `cut`, once all are read: bytes at the end that are
    no record, of an append that a kill interrupted.

    Raises:
        Whatever `secret_of` does for a key that it does not have.
    """

    def __init__(self, segment: BinaryIO, name: str, secret_of: SecretOf) -> None:
        self._segment, self._name, self._secret_of, self.cut = segment, name.encode(), secret_of, 0

    def __iter__(self) -> Iterator[bytes | None]:
        head = self._segment.read(HEAD)
        if len(head) < HEAD:
            self.cut = len(head)
            return
        if not head.startswith(MAGIC):
            yield None
            return
        private = X25519PrivateKey.from_private_bytes(self._secret_of(head[len(MAGIC) : len(MAGIC) + KEY_ID].hex()))
        shared = private.exchange(X25519PublicKey.from_public_bytes(head[-PUBLIC:]))
        cipher, number = _cipher(shared, head, private.public_key().public_bytes_raw()), 0
        while begun := self._segment.read(2 * SIZE):
            size = begun[:SIZE]
            if len(begun) == 2 * SIZE and begun[SIZE:] != _check(size):
                rest = self._segment.read()
                if any(begun) or any(rest):
                    yield None  # where the next one begins nobody knows
                else:
                    self.cut = len(begun) + len(rest)  # a machine died: a file system may leave zeros
                return
            sealed = self._segment.read(int.from_bytes(size, "big")) if len(begun) == 2 * SIZE else b""
            if len(begun) < 2 * SIZE or len(sealed) < int.from_bytes(size, "big"):
                self.cut = len(begun) + len(sealed)
                return
            try:
                yield cipher.decrypt(number.to_bytes(NONCE, "big"), sealed, self._name)
            except InvalidTag:
                yield None
            number += 1


def public_of(secret: bytes) -> bytes:
    """The public half (32 bytes) of a private one."""
    return X25519PrivateKey.from_private_bytes(secret).public_key().public_bytes_raw()


def _cipher(shared: bytes, head: bytes, public: bytes) -> AESGCM:
    return AESGCM(HKDF(SHA256(), 32, None, b"pillars/requests/v1" + head + public).derive(shared))


def _check(size: bytes) -> bytes:
    return zlib.crc32(size).to_bytes(4, "big")
