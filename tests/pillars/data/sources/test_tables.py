from __future__ import annotations

import bz2
import gzip
import lzma
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.config_data import Csv
from pillars.data.sources.tables import read_table
from pillars.errors import SourceBroken, StoreUnavailable

LINES = b'a,b\r\n1,"x, y"\r\n2,NA\r\n3,"two\r\nlines"\r\n'
ROWS = [{"a": "1", "b": "x, y"}, {"a": "2", "b": None}, {"a": "3", "b": "two\r\nlines"}]


def zstd(content: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(content, asbytes=True))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.csv", LINES, id="plain"),
        pytest.param("a.CSV", LINES, id="capitals"),
        pytest.param("a.csv", b"\xef\xbb\xbf" + LINES, id="with a byte order mark"),
        pytest.param("a.csv", LINES.removesuffix(b"\r\n"), id="no end of line at the end"),
        pytest.param("a.csv.gz", gzip.compress(LINES), id="gzip"),
        pytest.param("a.csv.bz2", bz2.compress(LINES), id="bzip2"),
        pytest.param("a.csv.xz", lzma.compress(LINES), id="xz"),
        pytest.param("a.csv.zst", zstd(LINES), id="zstd"),
        pytest.param("a.tsv", LINES.replace(b",", b"\t").replace(b"x\t y", b"x, y"), id="tabs"),
    ],
)
def test_values_of_a_csv_stay_text(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert read_table(tmp_path / name, name, Csv()).to_pylist() == ROWS
    assert read_table(content, name, Csv()).to_pylist() == ROWS, "from its content"


def test_words_that_mean_nothing_can_be_declared() -> None:
    found = read_table(b"a,b\n?,NA\n", "a.csv", Csv(nulls=("?",)))
    assert found.to_pylist() == [{"a": None, "b": "NA"}]


def test_an_inch_mark_within_a_value_is_no_quote() -> None:
    assert read_table(b'a,b\n1,5" pipe\n2,x\n', "a.csv", Csv()).num_rows == 2


def test_a_header_alone_is_a_table_without_rows() -> None:
    found = read_table(b"a,b\n", "a.csv", Csv())
    assert (found.column_names, found.num_rows) == (["a", "b"], 0)


BAD = [
    pytest.param("a.csv", b"", "it is empty: not even a header is in it", id="empty"),
    pytest.param("a.csv", b"\n\n\n", "it is empty", id="empty lines"),
    pytest.param("a.csv", b"a,,c\n1,2,3\n", "column 2 has no name in the header", id="a column without a name"),
    pytest.param("a.csv", b"a,b,a\n1,2,3\n", "its header names columns 1 and 3 alike; has it a header", id="two of one name"),
    pytest.param("a.csv", b"a,b\n1,2\n3\n4,5\n6,7,8\n", r"names 2 columns, but row 2 has 1; row 4 has 3", id="lines cut off and too long"),
    pytest.param("a.csv", b"a,b\n" + b"1\n" * 9, r"row 3 has 1; and 6 more", id="many"),
    pytest.param("a.csv", b"a,b\n1,caf\xe9\n", r"not utf-8; set source.csv.encoding", id="another encoding"),
    pytest.param("a.csv", b"a,caf\xe9\n1,2\n", r"byte 0xe9 at position 5 is not utf-8", id="another encoding, in the header"),
    pytest.param("a.csv.gz", gzip.compress(LINES * 99)[:-20], "it cannot be unpacked as gz", id="cut off"),
    pytest.param("a.csv.gz", LINES, "it cannot be unpacked as gz", id="not packed at all"),
    pytest.param("a.csv.xz", lzma.compress(LINES)[:-9], "it cannot be unpacked as xz", id="xz, cut off"),
    pytest.param("a.csv", b'a,b\n1,2\n3,"x\n4,y\n5,z\n', "a quote in line 3 is never closed", id="cut off within quotes"),
    pytest.param("a.csv", b"a,b\n" + b"".join(b"%d,%s\n" % (i, b'"t5' if i == 5 else b"t") for i in range(9)), "line 7", id="stray quote"),
    pytest.param("a.parquet", b"", "it cannot be read as parquet", id="empty Parquet"),
    pytest.param("a.parquet", b"PAR1" + b"\0" * 40, "it cannot be read as parquet", id="no Parquet"),
    pytest.param("a.xlsx", b"PK", r"it ends neither in one of \.csv", id="a spreadsheet"),
    pytest.param("data", LINES, r"it ends neither in one of \.csv", id="no ending"),
]


@pytest.mark.parametrize(("name", "content", "message"), BAD)
def test_a_file_that_is_no_table_is_named_with_its_fault(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceBroken, match=message) as caught:
        read_table(tmp_path / name, name, Csv())
    assert caught.value.source == name


def test_half_a_parquet_file_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": range(1000)}), tmp_path / "a.parquet")
    content = (tmp_path / "a.parquet").read_bytes()
    with pytest.raises(SourceBroken, match=r"source a\.parquet: it cannot be read as parquet"):
        read_table(content[: len(content) // 2], "a.parquet", Csv())


def test_a_file_that_is_not_there_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"source a\.csv: there is no such file\. Put it there"):
        read_table(tmp_path / "a.csv", "a.csv", Csv())


def test_a_folder_in_a_file_s_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(StoreUnavailable, match=r"source a\.csv: cannot be read \(Is a directory\)"):
        read_table(tmp_path / "a.csv", "a.csv", Csv())
