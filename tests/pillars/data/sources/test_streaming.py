"""Files and queries that are read in pieces: what is wrong with them is said as it is of small ones, and nothing is kept."""

from __future__ import annotations

import gzip
import os
import sqlite3
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.data.collection import collect, open_source
from pillars.data.source import whole
from pillars.data.sources import queries, tables
from pillars.errors import SourceBroken, StoreUnavailable
from pillars.stores import Stores
from tests.pillars.data.sources.ways import csv_text, parcels, project_of

GOOD = csv_text(parcels("2013-01"))
LINES = GOOD.splitlines(keepends=True)


@pytest.fixture
def large(stores: Stores) -> Stores:
    """Stores in which every batch is a large one."""
    return stores.model_copy(update={"large_rows": 1})


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        pytest.param("p.csv", "".join([*LINES[:30], "1,2,3\r\n", *LINES[30:]]), "its header names 9 columns, but", id="a short line"),
        pytest.param(
            "p.csv", "".join([*LINES[:9], LINES[9].replace("Person", '"Person'), *LINES[10:]]), "line 10 is never closed", id="a quote"
        ),
        pytest.param("p.csv", GOOD.encode() + b"\xff\xfe,,,,,,,,\r\n", "is not utf-8", id="another encoding"),
        pytest.param("p.csv.gz", gzip.compress(GOOD.encode())[:-200], "it cannot be", id="cut off"),
        pytest.param("p.parquet", b"PAR1" + bytes(400), "it cannot be read as parquet", id="no parquet"),
        pytest.param("p.csv", "\r\n" * 300, "not even a header", id="empty lines"),
    ],
)
def test_a_file_that_is_none_is_refused_and_nothing_is_kept(large: Stores, name: str, content: str | bytes, said: str) -> None:
    (large.root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    project = project_of({"file": name})
    with pytest.raises(SourceBroken, match=said):
        collect(large, project, open_source(large, project), "2013-01")
    assert not (large.var / "raw").exists()


def test_a_file_that_changes_while_it_is_read_is_refused(large: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    file = large.root / "parcels.csv"
    file.write_text(GOOD)
    project = project_of({"file": "parcels.csv"})
    source = open_source(large, project)
    rows = source.rows("2013-01")
    file.write_text(GOOD + LINES[-1])
    with pytest.raises(SourceBroken, match="was changed while it was read"):
        whole(rows)


def test_a_file_that_is_gone_is_named(large: Stores) -> None:
    file = large.root / "parcels.csv"
    file.write_text(GOOD)
    project = project_of({"file": "parcels.csv"})
    source = open_source(large, project)
    source.periods()
    file.unlink()
    with pytest.raises(StoreUnavailable, match=r"parcels\.csv: there is no such file"):
        source.rows("2013-01")


def test_rows_of_several_files_are_numbered_through(large: Stores) -> None:
    for number in range(2):
        pq.write_table(parcels("2013-01").slice(number * 20, 20), large.root / f"part-{number}.parquet")
    project = project_of({"file": "part-*.parquet", "row_number": "number"}, columns={"number": {"type": "int"}})
    given = open_source(large, project).rows("2013-01")
    assert isinstance(given, pa.RecordBatchReader)
    assert given.read_all().column("number").to_pylist() == list(range(1, 41))


def test_a_query_of_many_rows_has_the_types_of_all_of_them(large: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "FETCHED", 3)
    connection = sqlite3.connect(large.root / "parcels.db")
    connection.execute("CREATE TABLE things (month, a, b)")
    connection.executemany("INSERT INTO things VALUES ('2013-01', ?, ?)", [*((i, i) for i in range(7)), (7.5, "seven"), (8, None)])
    connection.commit()
    connection.close()
    sql = {"url_from": "PARCELS_DB", "periods": "SELECT '2013-01'", "rows": "SELECT a, b FROM things ORDER BY rowid"}
    project = project_of({"sql": sql})
    given = open_source(large, project).rows("2013-01")
    assert isinstance(given, pa.RecordBatchReader)
    assert given.read_all().to_pydict() == {"a": [*map(float, range(7)), 7.5, 8.0], "b": [*map(str, range(7)), "seven", None]}


def nameless(folder: Path) -> list[bytes]:
    """Contents of this process's open files of a folder that have no name (any more)."""
    links = [(link, os.readlink(link)) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [link.read_bytes() for link, target in links if target.startswith(str(folder)) and target.endswith("(deleted)")]


def test_the_rows_of_a_query_are_on_no_disk_as_they_came(large: Stores, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    connection = sqlite3.connect(large.root / "parcels.db")
    connection.execute("CREATE TABLE things (person)")
    connection.executemany("INSERT INTO things VALUES (?)", [("Zaphod Beeblebrox",)] * 500)
    connection.commit()
    connection.close()
    project = project_of({"sql": {"url_from": "PARCELS_DB", "periods": "SELECT '2013-01'", "rows": "SELECT person FROM things"}})
    source = open_source(large, project)
    given = source.rows("2013-01")
    aside = nameless(tmp_path)
    assert aside
    assert not any(b"Zaphod" in content for content in [*aside, *(p.read_bytes() for p in tmp_path.glob("*") if p.is_file())])
    assert whole(given).num_rows == 500
    del given, source
    assert not nameless(tmp_path)


def test_what_cannot_be_large_is_read_at_once(stores: Stores) -> None:
    file = stores.root / "parcels.csv"
    file.write_text(GOOD)
    assert not tables.may_be_large(file, 1_000_000)
    assert tables.may_be_large(file, 10)
    assert not tables.may_be_large(stores.root / "nothing.csv", 1)


def test_a_parquet_file_says_itself_how_many_rows_it_has(stores: Stores) -> None:
    file = stores.root / "zeros.parquet"
    pq.write_table(pa.table({"zero": [0] * 5_000}), file)
    assert file.stat().st_size < 5_000
    assert tables.may_be_large(file, 4_999)
    assert not tables.may_be_large(file, 5_000)
    file.write_bytes(b"PAR1 and nothing else")
    assert not tables.may_be_large(file, 1), "reading it says what is wrong"
