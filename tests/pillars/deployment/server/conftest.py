"""A served project that tests only ask."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pillars.deployment.server.settings import Limits
from tests.pillars.deployment.server.world import InProcess, settings, write_policy, write_release


@pytest.fixture(scope="session")
def asked_only(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcess]:
    """The app over one release, with small limits."""
    var = tmp_path_factory.mktemp("served")
    write_policy(var, 1, write_release(var, 1))
    with InProcess(settings(var, limits=Limits(body_bytes=500_000, rows=50, text=100)), ("s3cret-token",)) as app:
        yield app.ready()


@pytest.fixture
def var(tmp_path: Path) -> Path:
    return tmp_path
