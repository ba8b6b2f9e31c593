"""A year on record, fresh for each test."""

from __future__ import annotations

from pathlib import Path

import pytest

from pillars.stores import Stores
from tests.pillars.answers.years import Year
from tests.pillars.monitoring.worlds import project


def begun(root: Path) -> Year:
    written = Year(Stores(root=root, var=root / "var", key="ab" * 32), project())
    written.configure()
    return written


@pytest.fixture(scope="session")
def finished_quarter(tmp_path_factory: pytest.TempPathFactory) -> Year:
    """Three finished periods; v3 answers. Written once: each entry of a ledger waits for the disk."""
    written = begun(tmp_path_factory.mktemp("quarter"))
    for number, period in enumerate(("2013-01", "2013-02", "2013-03"), start=1):
        written.full_period(period, number)
    return written


@pytest.fixture
def year(tmp_path: Path) -> Year:
    """Configured, and nothing run yet."""
    return begun(tmp_path)


@pytest.fixture
def quarter(finished_quarter: Year, tmp_path: Path) -> Year:
    """Three finished periods, to go on from."""
    return finished_quarter.moved_to(tmp_path)
