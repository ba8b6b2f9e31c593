"""A repository and its stores, for every test of pillar 1."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillars.stores import Stores
from tests.pillars.data.batches import repository


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    """Stores of an empty project in a git repository of its own."""
    root = repository(tmp_path / "work")
    return Stores(root=root, var=root / "var")
