from __future__ import annotations

import pytest

from pillars.bundle.bundle import Bundle
from tests.releases import write_small_bundle


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[Bundle]:
    """Two models of the same columns."""
    folder = tmp_path_factory.mktemp("bundles")
    for seed in (1, 2):
        write_small_bundle(folder / str(seed), seed)
    return [Bundle.load(folder / str(seed)) for seed in (1, 2)]
