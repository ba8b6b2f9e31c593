"""A clone as a user has it, for tests and benches."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]


def make_clone(root: Path, of: Path = CHECKOUT) -> Path:
    """A git repository like a user's clone: configs/, projects/ of another, one commit."""
    for folder in ("configs", "projects"):
        shutil.copytree(of / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in ("prefect.toml", ".gitignore"):
        shutil.copy(of / file, root / file)
    identity = ["-c", "user.name=A User", "-c", "user.email=user@example.org"]
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "a project"]):
        subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True)
    return root
