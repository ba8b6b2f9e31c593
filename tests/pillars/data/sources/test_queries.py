from __future__ import annotations

import sqlite3
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from pillars.config import Project
from pillars.data.parquet import joined
from pillars.data.sources.queries import Queries, _column, _moment
from pillars.errors import SettingInvalid, SourceBroken, StoreUnavailable
from pillars.stores import Stores
from tests.pillars.data import batches
from tests.pillars.data.sources.ways import database, project_of

ROWS = "SELECT * FROM parcels"


def queries(stores: Stores, project: Project | None = None, **sql: str) -> Queries:
    project = project or project_of({"sql": {"url_from": "PARCELS_DB", "rows": ROWS} | sql})
    assert project.source.sql
    return Queries(stores.root, project, project.source.sql)


OPEN = {name: {**c, "role": ["info"]} if "protected" in c.get("role", ()) else c for name, c in batches.COLUMNS.items()}


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        pytest.param({"rows": "SELECT * FROM parcel"}, r"refuses the query \(no such table: parcel\)", id="no such table"),
        pytest.param({"rows": "SELEC 1"}, r'refuses the query \(near "SELEC": syntax error\)', id="no SQL"),
        pytest.param({"rows": f"{ROWS} WHERE depot = :depot"}, r"the query names :depot; there are :period", id="a parameter nobody knows"),
        pytest.param({"rows": "SELECT at, at FROM parcels"}, "gives two columns of one name", id="two of one name"),
        pytest.param({"rows": "DELETE FROM parcels"}, "the query cannot be sent", id="no query"),
    ],
)
def test_a_query_that_the_database_refuses_is_named(stores: Stores, sql: dict[str, str], message: str) -> None:
    file = database(stores.root)
    with pytest.raises(SourceBroken, match=message):
        queries(stores, project_of({"sql": {"url_from": "PARCELS_DB"} | sql}, columns=OPEN)).periods()
    with sqlite3.connect(file) as connection:
        assert connection.execute("SELECT count(*) FROM parcels").fetchone() == (80,), "nothing is ever written"


def test_a_complaint_that_could_quote_a_protected_value_is_left_out(stores: Stores) -> None:
    database(stores.root)
    with pytest.raises(SourceBroken, match=r"refuses the query \(OperationalError\)"):
        queries(stores, rows=f"SELECT '{batches.CANARY}' FROM nowhere").periods()


@pytest.mark.parametrize(
    ("address", "error", "message"),
    [
        pytest.param("", SettingInvalid, "PARCELS_DB is not set: source.sql.url_from expects", id="not set"),
        pytest.param("secret no address", SettingInvalid, "PARCELS_DB is no SQLAlchemy URL", id="no address"),
        pytest.param("oracle+secret://u:secret@h/d", SettingInvalid, "PARCELS_DB is no SQLAlchemy URL", id="no such driver"),
        pytest.param("sqlite:///secret.db", StoreUnavailable, r"there is no file secret\.db. Mend PARCELS_DB", id="no such file"),
        pytest.param("postgresql+psycopg://u:geheim@127.0.0.1:9/d", StoreUnavailable, "the database does not answer", id="nobody there"),
    ],
)
def test_an_address_that_leads_nowhere_is_named_by_its_variable(
    stores: Stores, monkeypatch: pytest.MonkeyPatch, address: str, error: type[Exception], message: str
) -> None:
    monkeypatch.setenv("PARCELS_DB", address)
    with pytest.raises(error, match=message) as caught:
        queries(stores).periods()
    assert "geheim" not in str(caught.value)
    assert not list(stores.root.glob("*.db")), "SQLite would make an empty one"


BY_PERIOD = {
    "periods": "SELECT DISTINCT substr(at, 1, 7) FROM parcels ORDER BY 1",
    "rows": f"{ROWS} WHERE substr(at, 1, 7) = :period ORDER BY at",
}


def test_numbered_rows_and_a_query_of_periods_go_together(stores: Stores) -> None:
    database(stores.root)
    source = queries(stores, project_of({"sql": {"url_from": "PARCELS_DB"} | BY_PERIOD, "row_number": "row"}))
    assert source.periods() == ["2013-01", "2013-02"]
    assert source.rows("2013-02")["row"].to_pylist() == list(range(1, 41))


def test_rows_and_outcomes_of_one_query_are_of_one_state(stores: Stores) -> None:
    file = database(stores.root)
    source = queries(stores, project_of({"sql": {"url_from": "PARCELS_DB"} | BY_PERIOD}))
    before = source.rows("2013-01")["parcel"].to_pylist()
    with sqlite3.connect(file) as connection:
        connection.execute("DELETE FROM parcels WHERE parcel < 9")
    assert source.outcomes("2013-01")["parcel"].to_pylist() == before


def test_the_newest_period_of_a_query_can_wait(stores: Stores) -> None:
    database(stores.root)
    assert queries(stores, project_of({"sql": {"url_from": "PARCELS_DB"} | BY_PERIOD, "batches": {"hold_newest": True}})).periods() == [
        "2013-01"
    ]


def test_a_period_without_a_name_is_refused(stores: Stores) -> None:
    database(stores.root)
    with pytest.raises(SourceBroken, match="a period without a name"):
        queries(stores, rows=ROWS, periods="SELECT NULL UNION SELECT '2013-01'").periods()


def test_a_file_that_is_no_database_is_refused(stores: Stores) -> None:
    (stores.root / "parcels.db").write_bytes(b"no database" * 100)
    with pytest.raises(SourceBroken, match=r"refuses the query \(file is not a database\)"):
        queries(stores, project_of({"sql": {"url_from": "PARCELS_DB", "rows": ROWS}}, columns=OPEN)).periods()


def test_a_database_that_somebody_writes_is_asked_again_later(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    file = database(stores.root)
    monkeypatch.setenv("PARCELS_DB", "sqlite:///parcels.db?timeout=0")
    writer = sqlite3.connect(file, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(StoreUnavailable, match=r"database is locked. Nothing was kept; run again"):
        queries(stores).periods()
    writer.close()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        pytest.param((1, 2.5, None), [1.0, 2.5, None], id="numbers"),
        pytest.param((1, "two", None), ["1", "two", None], id="numbers and words"),
        pytest.param((Decimal("1.10"), Decimal("22.5")), [1.1, 22.5], id="decimals"),
        pytest.param(
            (Decimal(12345678901234567), Decimal(12345678901234568)), [12345678901234567, 12345678901234568], id="long whole ones"
        ),
        pytest.param((Decimal(10**20), None), [str(10**20), None], id="longer ones"),
        pytest.param((date(2013, 2, 1), None), [date(2013, 2, 1), None], id="days"),
        pytest.param((2**70, 1), [str(2**70), "1"], id="beyond 64 bits"),
        pytest.param((None, None), [None, None], id="nothing"),
    ],
)
def test_what_a_driver_gives_becomes_a_column(values: tuple[object, ...], expected: list[object]) -> None:
    assert _column(values).to_pylist() == expected


def test_pieces_of_other_types_become_text() -> None:
    found = joined([pa.table({"a": [1, 2]}), pa.table({"a": ["x", None]})])
    assert found["a"].to_pylist() == ["1", "2", "x", None]
    assert joined([pa.table({"a": [1]}), pa.table({"a": [1.5]}), pa.table({"a": pa.nulls(1)})])["a"].to_pylist() == [1.0, 1.5, None]


@pytest.mark.parametrize(("at", "text"), [(datetime(2013, 2, 1), "2013-02-01"), (datetime(2013, 2, 1, 13), "2013-02-01 13:00:00")])
def test_sqlite_compares_times_as_text(at: datetime, text: str) -> None:
    assert _moment(at, "sqlite") == text
    assert _moment(at, "postgresql") == at
