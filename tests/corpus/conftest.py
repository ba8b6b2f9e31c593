"""One repository with two good months, in which every case is played; and a web server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pillars.data.cleaning import prepare
from pillars.data.versions import publish
from pillars.stores import Stores
from tests.corpus import good
from tests.pillars.data import batches
from tests.pillars.data.sources.ways import Site, served


@pytest.fixture(scope="module")
def depot(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    """Stores in which January and February are the data set."""
    root = batches.repository(tmp_path_factory.mktemp("corpus") / "work")
    stores, project = Stores(root=root, var=root / "var"), good.project({"file": "none.csv"}, {})
    for period in good.HISTORY:
        table = good.parcels(period)
        rows, outcomes = table.select(project.row_columns), table.select(project.outcome_columns)
        prepared = prepare(stores, project, batches.collected(stores, project, rows, outcomes, period))
        assert not prepared.validation.quarantined
        publish(stores, project, prepared, batches.NOW)
    return stores


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A real server on this machine."""
    with served() as site:
        yield site
