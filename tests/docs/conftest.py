"""A clone with the code in it, for pages that change the code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.clone import CHECKOUT, make_clone


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A user's clone with the code in it."""
    root = tmp_path / "project"
    for folder in ("pillars", "tasks", "flows", "deployments"):
        shutil.copytree(CHECKOUT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    return make_clone(root)
