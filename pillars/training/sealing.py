"""A seal on what a search keeps for itself: what somebody else wrote is made again, never believed."""

from __future__ import annotations

import hashlib
import hmac

from pillars.stores import Stores


def seal(stores: Stores, name: str, content: bytes) -> str:
    """HMAC-SHA256 (hex) over a file's name and content, under a key of the installation's own."""
    key = hmac.new(stores.secret, b"pillars/search/v1\x01", hashlib.sha256).digest()
    return hmac.new(key, name.encode() + b"\0" + content, hashlib.sha256).hexdigest()


def sealed(stores: Stores, name: str, content: bytes, found: str) -> bool:
    """Whether `found` is the seal of these bytes."""
    return hmac.compare_digest(seal(stores, name, content).encode(), found.encode())
