"""A real PostgreSQL as the source, whose own time zone is far from UTC."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import BigInteger, Boolean, Column, DateTime, Engine, Float, MetaData, Numeric, String, Table, create_engine, text

from pillars.config import Project
from pillars.data.cleaning import prepare
from pillars.data.collection import collect, open_source, periods
from pillars.data.contract import hold
from pillars.data.parquet import read_parquet
from pillars.errors import SourceBroken, StoreUnavailable
from pillars.stores import Stores
from tests.bad_days.peers import SERVERS, postgresql_server
from tests.pillars.data import batches
from tests.pillars.data.sources.test_ways import plain
from tests.pillars.data.sources.ways import PERIODS, parcels, project_of, whole
from tests.waiting import wait_until

pytestmark = pytest.mark.slow
WHOLE = {"rows": "SELECT * FROM parcels ORDER BY at, parcel"}
BY_PERIOD = {
    "periods": "SELECT DISTINCT to_char(at, 'YYYY-MM') FROM parcels ORDER BY 1",
    "rows": "SELECT * FROM parcels WHERE at >= :start AND at < :end",
    "outcomes": "SELECT at, parcel, late, delay_min FROM parcels WHERE to_char(at, 'YYYY-MM') = :period",
}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A database whose sessions are in Auckland unless they say otherwise; times have a zone and amounts are decimals there."""
    with postgresql_server(tmp_path_factory.mktemp("postgresql")) as port:
        url = f"postgresql+psycopg://pillars:{SERVERS}@127.0.0.1:{port}/postgres"
        engine = create_engine(url)
        wait_until(lambda: _answers(engine), what="PostgreSQL")
        kinds = {"at": DateTime(timezone=True), "parcel": BigInteger, "stops": Numeric(9, 0), "express": Boolean, "late": Boolean}
        kinds |= {"weight_kg": Numeric(9, 2), "delay_min": Float}
        table = Table("parcels", MetaData(), *(Column(name, kinds.get(name, String)) for name in whole().column_names))
        with engine.begin() as connection:
            connection.execute(text("ALTER DATABASE postgres SET timezone TO 'Pacific/Auckland'"))
            connection.execute(text("SET TIME ZONE 'UTC'"))
            table.create(connection)
            connection.execute(table.insert(), whole().to_pylist())
        engine.dispose()
        yield url


def _answers(engine: Engine) -> bool:
    try:
        with engine.connect():
            return True
    except Exception:  # it starts
        return False


@pytest.fixture
def stores(tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch) -> Stores:
    monkeypatch.setenv("PARCELS_DB", address)
    return Stores(root=tmp_path, var=tmp_path / "var")


def project(sql: dict[str, str], **sections: Any) -> Project:
    return project_of({"sql": {"url_from": "PARCELS_DB", **sql}}, **sections)


@pytest.mark.parametrize("sql", [pytest.param(WHOLE, id="one query"), pytest.param(BY_PERIOD, id="queries by period")])
def test_the_same_rows_are_published_as_from_a_file(stores: Stores, sql: dict[str, str]) -> None:
    given = project(sql)
    assert [p for p in hold(given, lambda: open_source(stores, given)) if not p.kept] == []
    source = open_source(stores, given)
    assert periods(source, given) == list(PERIODS)
    for period in PERIODS:
        collected = collect(stores, given, source, period)
        prepared = prepare(stores, given, collected)
        assert (prepared.validation.decision.outcome, prepared.rows, prepared.outcomes) == ("accept", 40, 40), prepared.validation.decision
        expected = parcels(period).drop_columns(["person"])
        rows, outcomes = (read_parquet(stores.var / str(path)) for path in (prepared.rows_path, prepared.outcomes_path))
        assert plain(rows.drop_columns(["person"])) == plain(expected.select([n for n in rows.column_names if n != "person"]))
        assert plain(outcomes) == plain(expected.select(outcomes.column_names))


def test_a_row_of_the_first_hour_is_of_its_month_in_utc(stores: Stores, address: str) -> None:
    engine = create_engine(address)
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE edge (at timestamptz, parcel bigint, late bool)"))
        connection.execute(text("INSERT INTO edge VALUES ('2013-01-31 23:59:59+00', 1, true), ('2013-02-01 00:00:00+00', 2, false)"))
    engine.dispose()
    rows = "SELECT at, parcel, late FROM edge WHERE at >= :start AND at < :end"
    given = project({"periods": "SELECT DISTINCT to_char(at, 'YYYY-MM') FROM edge ORDER BY 1", "rows": rows})
    source = open_source(stores, given)
    assert source.periods() == ["2013-01", "2013-02"]
    assert [source.rows(period)["parcel"].to_pylist() for period in PERIODS] == [[1], [2]]


OPEN = {name: {**c, "role": ["info"]} if "protected" in c.get("role", ()) else c for name, c in batches.COLUMNS.items()}


@pytest.mark.parametrize(
    ("query", "words"),
    [
        pytest.param("SELECT * FROM parcel", 'relation "parcel" does not exist', id="no such table"),
        pytest.param("DELETE FROM parcels RETURNING *", "syntax error", id="it would change rows"),
        pytest.param("SELECT 1 / 0 AS at", "division by zero", id="fails while it runs"),
    ],
)
def test_a_query_that_is_refused_is_said_and_nothing_is_written(stores: Stores, address: str, query: str, words: str) -> None:
    given = project({"rows": query}, columns=OPEN)
    with pytest.raises(SourceBroken, match=words) as caught:
        open_source(stores, given).periods()
    assert SERVERS not in str(caught.value)
    engine = create_engine(address)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM parcels")).scalar() == 80
    engine.dispose()


def test_an_endless_query_of_a_server_that_goes_away_is_said(stores: Stores, address: str) -> None:
    given = project({"rows": "SELECT pg_terminate_backend(pg_backend_pid())"}, columns=OPEN)
    with pytest.raises(StoreUnavailable, match=r"Nothing was kept; run again\."):
        open_source(stores, given).periods()


def test_types_that_only_postgresql_has_come_as_text_or_numbers(stores: Stores) -> None:
    query = "SELECT 1.50::numeric AS price, '{1,2}'::int[] AS places, 'a'::text AS word, '10.0.0.1'::inet AS place, now() - now() AS took"
    given = project({"rows": query}, columns=OPEN)
    from pillars.data.sources.queries import Queries

    assert given.source.sql
    table = Queries(stores.root, given, given.source.sql)._in_memory(query)
    assert table.schema.field("price").type == pa.float64()
    assert table["word"].to_pylist() == ["a"]
    assert table.num_rows == 1
