"""What publishing leaves beside the data version."""

from __future__ import annotations

import json
from types import SimpleNamespace

from pillars.data.cleaning import prepare
from pillars.data.versions import with_outcomes
from pillars.stores import Stores
from tasks.data import publish
from tests.pillars.data.batches import collected, outcomes, project, rows
from tests.pillars.data.conftest import stores  # noqa: F401


def test_an_accepted_batch_says_which_segments_it_covers(stores: Stores) -> None:  # noqa: F811
    parcels = project(coverage={"segments": ["carrier"], "floor": 10}, suite=[])
    for period in ("2013-01", "2013-02"):
        table = rows(period, n=60)
        came = collected(stores, parcels, table, outcomes(table), period)
        publish.fn(SimpleNamespace(stores=stores, config=parcels, dropped=lambda _: {}), came, prepare(stores, parcels, came))
    beside = stores.var / "reports/parcels/2013-02"
    assert "carrier: A" in (beside / "validation.html").read_text()
    assert "carrier" in json.dumps(json.loads((beside / "coverage.json").read_text()))


def test_outcomes_of_rows_that_retention_dropped_stay_out(stores: Stores) -> None:  # noqa: F811
    parcels = project(suite=[])
    table = rows("2013-01", n=60)
    came = collected(stores, parcels, table, outcomes(table), "2013-01")
    opened = SimpleNamespace(stores=stores, config=parcels, dropped=lambda _: {"2013-01": 7})
    batch = publish.fn(opened, came, prepare(stores, parcels, came))
    assert batch.outcomes == 0
    assert with_outcomes(stores, batch.version) == ()
