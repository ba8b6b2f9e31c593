"""Settings that cannot be are refused where they are read, and no password leaves in a message."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars import stores as places
from pillars.errors import SettingInvalid
from pillars.stores import Stores, parquet_bytes, parquet_of, scratch, without_password


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("no answer from http://bob:secret@host/a: refused", "no answer from http://host/a: refused", id="a password"),
        pytest.param("http://bob:se/cret@host", "http://host", id="with a slash"),
        pytest.param("http://bob:p@ss@host", "http://host", id="with an @"),
        pytest.param("http://token@host", "http://host", id="a token"),
        pytest.param("postgresql+psycopg://u:p@h/x and s3://k:s@b", "postgresql+psycopg://h/x and s3://b", id="two"),
        pytest.param("see http://host/a or write to me@host", "see http://host/a or write to me@host", id="none"),
    ],
)
def test_a_url_is_said_without_its_password(text: str, expected: str) -> None:
    assert without_password(text) == expected


@pytest.mark.parametrize("url", ["http://bob:se/cret@host/a", "ssh://bob:p@ss@host/a", "s3://key:secret@bucket", "https://token@host/a"])
def test_a_remote_with_a_password_is_refused_before_git_keeps_it(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingInvalid, match=r"PILLARS_REMOTE .* environment variables") as caught:
        Stores(root=tmp_path, remote=url)
    assert not [word for word in ("bob", "cret", "ss@", "key:", "token@") if word in str(caught.value)]


@pytest.mark.parametrize("url", ["s3://bucket/data@v1", "ssh://git@host:22/data", "../beside", "/mnt/a:b@c", "http://host:80/data"])
def test_a_remote_without_one_is_taken(tmp_path: Path, url: str) -> None:
    assert Stores(root=tmp_path, remote=url).remote == url


def test_a_scratch_folder_goes_and_takes_those_of_the_killed_with_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("pillars-run-killed", "pillars-run-new", "pillars-model-other"):
        (tmp_path / name / "inside").mkdir(parents=True)
    os.utime(tmp_path / "pillars-run-killed", (0, 0))
    os.utime(tmp_path / "pillars-model-other", (0, 0))
    with scratch("run") as living:
        os.utime(living, (0, 0))
        with scratch("run") as folder:
            assert living.is_dir(), "it is locked"
            (folder / "file").write_text("x")
            assert {p.name for p in tmp_path.iterdir()} == {living.name, folder.name, "pillars-run-new", "pillars-model-other"}
    assert {p.name for p in tmp_path.iterdir()} == {"pillars-run-new", "pillars-model-other"}


@pytest.mark.parametrize("size", [1, 7, 50, 100, 1000])
def test_pieces_are_the_bytes_of_the_whole(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    table = pa.table({"n": range(100), "word": [str(n % 3) for n in range(100)]})
    pieces = [table.slice(start, size) for start in range(0, 100, size)]
    assert parquet_of(pieces) == (parquet_bytes(table), 100)
    monkeypatch.setattr(places, "ROW_GROUP", 30)
    assert pq.ParquetFile(pa.BufferReader(parquet_of(pieces)[0])).read() == table
    assert pq.ParquetFile(pa.BufferReader(parquet_of(pieces)[0])).num_row_groups == 4


def test_of_no_piece_there_is_no_file() -> None:
    with pytest.raises(ValueError, match="nothing"):
        parquet_of([])
