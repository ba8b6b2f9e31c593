"""Which arm a row gets: by a keyed hash of its entity, so that the same one always meets the same model while shares only grow."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Any

WHOLE = 10_000


def key(salt: str) -> bytes:
    """What the hash of entities is keyed by."""
    return blake2b(salt.encode(), digest_size=16).digest()


def bucket(entity: bytes, salt: bytes) -> int:
    """In [0, WHOLE): the place of an entity, the same for ever under one salt (0.5 us)."""
    hashed = _keyed(salt).copy()
    hashed.update(entity)
    return int.from_bytes(hashed.digest(), "big") % WHOLE


@lru_cache(maxsize=64)
def _keyed(salt: bytes) -> blake2b:
    """The hash with its key taken in, which is a third of the work; copied, never used."""
    return blake2b(digest_size=8, key=salt)


def entity_of(values: Sequence[Any]) -> bytes | None:
    """An entity's bytes from the values of its columns; None where one is missing."""
    return None if None in values else "\x1f".join(map(str, values)).encode()


def challenger(place: int, weights: Sequence[int]) -> int:
    """Which of the challengers answers a bucket; -1: the champion does.

    The first one's share lies at the bottom and the second one's at the top, so that each grows and nobody who was in leaves.
    """
    if weights and place < weights[0]:
        return 0
    if len(weights) > 1 and place >= WHOLE - weights[1]:
        return 1
    return -1
