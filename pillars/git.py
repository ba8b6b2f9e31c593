"""Git as a process: in the folder that is named, whatever a hook or another tool has set, and it never asks."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from pillars.errors import StoreUnavailable

Done = subprocess.CompletedProcess[bytes]


def run(root: Path, arguments: Sequence[str], given: bytes = b"", extra: Mapping[str, str] | None = None) -> Done:
    """What git says in `root`, and how it ended. Variables with which a hook or another tool points git elsewhere are left out, those of
    `extra` are set.

    Raises:
        StoreUnavailable: there is no git.
    """
    clean = {k: v for k, v in os.environ.items() if not k.startswith("GIT_") or k.startswith("GIT_CONFIG")}
    env = {**clean, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C", **(extra or {})}
    try:
        return subprocess.run(["git", "-C", str(root), *arguments], input=given, capture_output=True, env=env, check=False)
    except OSError as err:
        raise StoreUnavailable("git", f"cannot be run ({err.strerror})", "Install git; data versions are commits.") from err


def told(root: Path, *arguments: str) -> bytes:
    """What git says; nothing where there is no git, no repository, or nothing of what was asked for."""
    try:
        done = run(root, arguments)
    except StoreUnavailable:
        return b""
    return done.stdout if done.returncode == 0 else b""
