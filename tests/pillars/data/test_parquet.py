from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from pillars.data.parquet import parquet_bytes, parquet_pieces, read_parquet, write_parquet
from pillars.errors import DataCorrupt, StoreUnavailable
from tests.pillars.data.batches import rows

TABLE = rows("2013-01")


@pytest.mark.parametrize(
    "same",
    [
        pytest.param(pa.concat_tables([TABLE.slice(0, 7), TABLE.slice(7)]), id="chunked"),
        pytest.param(TABLE.replace_schema_metadata({"pandas": "3.0"}), id="annotated"),
        pytest.param(TABLE.set_column(3, "carrier", TABLE["carrier"].dictionary_encode()), id="dictionary"),
        pytest.param(TABLE.set_column(3, "carrier", TABLE["carrier"].cast(pa.large_string())), id="large strings"),
        pytest.param(TABLE.cast(pa.schema([f.with_nullable(i > 1) for i, f in enumerate(TABLE.schema)])), id="required columns"),
        pytest.param(pa.Table.from_pandas(TABLE.to_pandas(), schema=TABLE.schema), id="through pandas"),
    ],
)
def test_equal_content_gives_equal_bytes(same: pa.Table) -> None:
    assert parquet_bytes(same) == parquet_bytes(TABLE)


def test_another_value_gives_other_bytes() -> None:
    assert parquet_bytes(rows("2013-01", seed=1)) != parquet_bytes(TABLE)


def test_what_is_written_comes_back_with_its_types(tmp_path: Path) -> None:
    write_parquet(tmp_path / "deep" / "t.parquet", TABLE)
    assert read_parquet(tmp_path / "deep" / "t.parquet").equals(TABLE)


def test_seconds_come_back_as_milliseconds(tmp_path: Path) -> None:
    seconds = TABLE.set_column(0, "at", TABLE["at"].cast(pa.timestamp("s")))
    write_parquet(tmp_path / "t.parquet", seconds)
    assert read_parquet(tmp_path / "t.parquet").equals(TABLE)


def test_nothing_of_pandas_is_in_the_file() -> None:
    assert b"pandas" not in parquet_bytes(pa.Table.from_pandas(TABLE.to_pandas()))


def test_other_bytes_are_no_table(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_bytes(b"not Parquet")
    with pytest.raises(DataCorrupt, match=r"t\.parquet"):
        read_parquet(tmp_path / "t.parquet")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match=r"gone\.parquet"):
        read_parquet(tmp_path / "gone.parquet")


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_pieces_are_the_table(size: int) -> None:
    table = read_parquet(parquet_bytes(TABLE))
    pieces = list(parquet_pieces(parquet_bytes(table), "rows", size))
    assert max(piece.num_rows for piece in pieces) <= size
    assert pa.concat_tables(pieces) == table


def test_a_table_without_rows_is_one_piece_with_its_columns() -> None:
    table = TABLE.slice(0, 0)
    assert [piece.column_names for piece in parquet_pieces(parquet_bytes(table), "rows", 10)] == [table.column_names]


def test_pieces_of_other_bytes_are_refused() -> None:
    with pytest.raises(DataCorrupt, match="there"):
        list(parquet_pieces(b"no table", "there", 10))
