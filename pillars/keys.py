"""The installation's key: what it looks like, where it is kept, and that a lost one is never replaced in silence."""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from pillars.errors import SettingInvalid, StoreUnavailable

BYTES = 32
REMEDY = "bring the key back from a backup, or set PILLARS_KEY to it."


def given(text: str) -> bytes:
    """The key that the environment gives.

    Raises:
        SettingInvalid: it is none; never with what was given.
    """
    if (key := _parsed(text)) is None:
        raise SettingInvalid([f"PILLARS_KEY must be {2 * BYTES} hex digits (openssl rand -hex {BYTES})"])
    return key


def kept(path: Path, sealed: Path) -> bytes:
    """The key in the file `path`, made there once (mode 0600) unless `sealed`, what an earlier key sealed, exists.

    Raises:
        StoreUnavailable: the file cannot be read or made, holds no key, or is gone.
    """
    try:
        if not path.exists():
            if sealed.exists():  # rows sealed with two keys would look like a forgery
                raise StoreUnavailable(str(path), "is gone, and the ledger is sealed with it", f"Nothing was changed; {REMEDY}")
            _make(path)
        _sweep(path)
        key = _parsed(path.read_text(encoding="ascii", errors="replace"))
    except OSError as err:
        whose = "It belongs to the user who made it: work as that user" if isinstance(err, PermissionError) else "Mend it and run again"
        raise StoreUnavailable.refused(str(path), err, f"{whose}. Nothing was changed.", "read") from err
    if key is None:
        raise StoreUnavailable(str(path), f"does not hold {2 * BYTES} hex digits", f"Nothing was changed; {REMEDY}")
    return key


def _make(path: Path) -> None:
    """Make a key.

    Raises:
        StoreUnavailable: the disk refuses, or its folder.
    """
    draft = path.with_name(f".secret-{os.getpid()}-{secrets.token_hex(4)}")  # threads of one process may race too
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as handle:
            handle.write(secrets.token_hex(BYTES))
            handle.flush()
            os.fsync(handle.fileno())
        with suppress(FileExistsError, FileNotFoundError):  # somebody was first, and swept: then theirs is the key
            os.link(draft, path)
    except OSError as err:
        remedy = "Free the disk, or make the folder writable for you, and run again; or set PILLARS_KEY. Nothing was changed."
        raise StoreUnavailable.refused(str(path), err, remedy, "made") from err
    finally:
        _sweep(path)


def _sweep(path: Path) -> None:
    """Remove drafts, ours and those of who died over them: each is a copy of a key."""
    with suppress(OSError):  # a disk that became read-only keeps them, another user's folder too
        for left in path.parent.glob(".secret-*"):
            left.unlink(missing_ok=True)


def _parsed(text: str) -> bytes | None:
    """A key from its hex digits; None when it is none."""
    return bytes.fromhex(text) if re.fullmatch(rf"[0-9a-fA-F]{{{2 * BYTES}}}", text.strip()) else None
