"""A project's folder and a web server for every test of sources."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillars.stores import Stores
from tests.pillars.data.sources.ways import Site, served


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """Stores of an empty project."""
    monkeypatch.setenv("PARCELS_DB", "sqlite:///parcels.db")
    root = tmp_path / "work"
    root.mkdir()
    return Stores(root=root, var=root / "var")


@pytest.fixture
def site() -> Iterator[Site]:
    """An empty web server."""
    with served() as found:
        yield found
