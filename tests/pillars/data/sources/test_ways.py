"""However the parcels come, they are the same parcels, and their source keeps its contract."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pillars.data import sealing
from pillars.data.cleaning import prepare
from pillars.data.collection import collect, open_source, periods
from pillars.data.contract import hold
from pillars.data.parquet import read_parquet
from pillars.data.privacy import protect
from pillars.errors import UnknownName
from pillars.stores import Stores
from tests.pillars.data import batches
from tests.pillars.data.sources.ways import PERIODS, WAYS, Site, parcels

ALL = pytest.mark.parametrize("way", [pytest.param(way, id=way) for way in WAYS])


def plain(table: pa.Table) -> list[dict[str, object]]:
    """Rows by key, times without their unit."""
    times = pc.cast(table["at"], pa.timestamp("us"))
    table = table.set_column(table.schema.get_field_index("at"), "at", times)
    return table.sort_by([("at", "ascending"), ("parcel", "ascending")]).to_pylist()


@ALL
def test_its_source_keeps_its_contract(stores: Stores, site: Site, way: str) -> None:
    project = WAYS[way](stores.root, site)
    assert [p for p in hold(project, lambda: open_source(stores, project)) if not p.kept] == []


@ALL
def test_the_same_rows_are_published(stores: Stores, site: Site, way: str) -> None:
    project = WAYS[way](stores.root, site)
    source = open_source(stores, project)
    assert periods(source, project) == list(PERIODS)
    for period in PERIODS[1:]:
        collected = collect(stores, project, source, period)
        prepared = prepare(stores, project, collected)
        assert (prepared.validation.decision.outcome, prepared.rows, prepared.outcomes) == ("accept", 40, 40), prepared.validation.decision
        table = parcels(period)
        rows = protect(project, table.drop_columns(["late", "delay_min"]), stores.secret)
        assert plain(read_parquet(stores.var / prepared.rows_path)) == plain(rows.select(list(project.row_columns)))
        outcomes = table.select(["at", "parcel", "late", "delay_min"])
        assert plain(read_parquet(stores.var / str(prepared.outcomes_path))) == plain(outcomes)


@ALL
def test_collected_again_it_is_the_same_batch(stores: Stores, site: Site, way: str) -> None:
    project = WAYS[way](stores.root, site)
    first, second = (collect(stores, project, open_source(stores, project), "2013-02") for _ in range(2))
    assert first == second


@ALL
def test_collected_in_pieces_it_is_the_same_batch(stores: Stores, site: Site, way: str) -> None:
    project = WAYS[way](stores.root, site)
    large = stores.model_copy(update={"large_rows": 1})
    in_pieces = [
        isinstance(open_source(large, project).rows("2013-02"), pa.RecordBatchReader),
        not isinstance(open_source(stores, project).rows("2013-02"), pa.RecordBatchReader),
    ]
    assert in_pieces == [way not in ("a query", "an address", "an address a month, with checksums"), True]
    whole = collect(stores, project, open_source(stores, project), "2013-02")
    assert collect(large, project, open_source(large, project), "2013-02") == whole
    assert list(stores.var.rglob("pillars-*")) == []


@pytest.mark.parametrize("way", ["one CSV", "a query", "an address"])
def test_nothing_protected_lies_in_what_is_kept(stores: Stores, site: Site, way: str) -> None:
    project = WAYS[way](stores.root, site)
    prepare(stores, project, collect(stores, project, open_source(stores, project), "2013-01"))
    kept = [p for p in stores.var.rglob("*") if p.is_file()]
    assert {p.suffix for p in kept} > {".parquet", ".html"}
    assert not [p for p in kept if batches.CANARY in _said(stores, p)]


def _said(stores: Stores, file: Path) -> str:
    """All that a file says, opened."""
    content = sealing.read(stores, stores.relative(file))
    return str(read_parquet(content)) if file.suffix == ".parquet" else content.decode()


@ALL
def test_a_period_that_is_not_there_is_named(stores: Stores, site: Site, way: str) -> None:
    project = WAYS[way](stores.root, site)
    with pytest.raises(UnknownName, match="There are: 2013-01, 2013-02"):
        open_source(stores, project).rows("March")
