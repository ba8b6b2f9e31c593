"""The ledger's form: entries sealed one to the next by a keyed hash, and the anchor that remembers where the chain ends. Pure."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from pillars.errors import LedgerBroken
from pillars.vocabulary import Json

OTHER = "another key than PILLARS_KEY, or var/keys/secret, is now"
START = "0" * 64  # what the first entry names as the one before it


@dataclass(frozen=True)
class Entry:
    """One decision on record. `seq` counts from 1 without gaps over all projects; `epoch` from 1 within a project.

    `at` is ISO 8601 in UTC; `prev` and `mac` are HMAC-SHA256 in hex, `mac` over `prev` and every other field.
    """

    seq: int
    epoch: int
    project: str
    decision: str
    inputs: dict[str, Json]
    outcome: str
    reason: str
    facts: dict[str, Json]
    at: str
    actor: str
    prev: str
    mac: str


@dataclass(frozen=True)
class Anchor:
    """The newest entry that was surely committed, kept beside the ledger: rows cut off the end are missed by it."""

    seq: int
    mac: str


def canonical(value: Any) -> str:
    """JSON with sorted keys and no blanks: equal values give equal text. NaN and infinities are refused (ValueError)."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def inputs_sha256(inputs: dict[str, Json]) -> str:
    """What makes a decision's inputs one key (64 hex characters)."""
    return hashlib.sha256(canonical(inputs).encode()).hexdigest()


def subkey(secret: bytes, label: str) -> bytes:
    """A key (32 bytes) for one purpose: HMAC-SHA256 of its label under the installation's secret (RFC 5869's expand, one block)."""
    return hmac.new(secret, f"pillars/{label}/v1\x01".encode(), hashlib.sha256).digest()


def seal(key: bytes, entry: Entry) -> Entry:
    """The entry with its `mac`."""
    return replace(entry, mac=_mac(key, entry))


def check(key: bytes, entry: Entry) -> Entry:
    """The entry itself.

    Raises:
        LedgerBroken: its mac is not its content's under this key.
    """
    if not hmac.compare_digest(_mac(key, entry).encode(), str(entry.mac).encode()):
        raise LedgerBroken(entry.seq, f"its content is not what was sealed (edited, or sealed with {OTHER})")
    return entry


def check_all(key: bytes, entries: Iterable[Entry]) -> tuple[int, str]:
    """Follow the chain from its start; the last entry's seq and mac (0 and START for none).

    Raises:
        LedgerBroken: an entry was edited, or one is missing between two, or two were swapped.
    """
    seq, mac = 0, START
    for entry in entries:
        if entry.seq != seq + 1:
            raise LedgerBroken(seq + 1, f"is missing; {entry.seq} follows {seq}")
        check(key, entry)
        if entry.prev != mac:
            raise LedgerBroken(entry.seq, f"does not follow row {seq}")
        seq, mac = entry.seq, entry.mac
    return seq, mac


def anchor_to_json(key: bytes, anchor: Anchor) -> bytes:
    """The anchor file's content, sealed."""
    return canonical({"seq": anchor.seq, "mac": anchor.mac, "seal": _seal(key, anchor)}).encode() + b"\n"


def anchor_from_json(key: bytes, content: bytes) -> Anchor:
    """The anchor from its file's content.

    Raises:
        LedgerBroken: it cannot be read, or its seal is not this key's.
    """
    try:
        parsed = json.loads(content)
        anchor, seal_found = Anchor(int(parsed["seq"]), str(parsed["mac"])), str(parsed["seal"])
    except (ValueError, KeyError, TypeError) as err:
        raise LedgerBroken(0, f"the anchor file cannot be read ({err})") from err
    if not hmac.compare_digest(_seal(key, anchor).encode(), seal_found.encode()):
        raise LedgerBroken(anchor.seq, f"the anchor file was edited, or sealed with {OTHER}")
    return anchor


def _mac(key: bytes, entry: Entry) -> str:
    content = {f.name: getattr(entry, f.name) for f in fields(entry) if f.name not in ("prev", "mac")}
    try:
        text = f"{entry.prev}|{canonical(content)}"
    except (TypeError, ValueError) as err:
        raise LedgerBroken(entry.seq, f"holds what is not JSON ({err})") from err
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _seal(key: bytes, anchor: Anchor) -> str:
    return hmac.new(key, f"anchor|{anchor.seq}|{anchor.mac}".encode(), hashlib.sha256).hexdigest()
