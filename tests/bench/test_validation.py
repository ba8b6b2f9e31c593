"""The sides of the validation bench do the same work: they find the same rows, and write the same files."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench import validation_side as sides
from bench.validation import STEP, table, write


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "batch.parquet"
    write(path, STEP + 2_000)  # the second part repeats keys of the first
    return path


@pytest.mark.slow
def test_every_way_finds_the_same_rows(batch: Path):
    found = sides.pandas(batch)
    assert [n > 0 for n in (found[6], found[8], found[9], found[11], found[13])] == [True] * 5, "dest, key, carrier, distance, hour"
    assert sides.duckdb(batch) == sides.by_hand(batch) == found


@pytest.mark.slow
def test_what_is_kept_and_what_is_set_aside_are_all_rows_in_either_order(batch: Path):
    known = sides.masks(batch)
    for key in (sides.KEY, ("tailnum", *sides.KEY)):
        sides.split(batch, known, key)
        kept, aside = (pq.read_table(batch.parent / f"{name}.parquet") for name in ("kept", "quarantine"))
        assert kept.num_rows + aside.num_rows == STEP + 2_000
        assert kept.equals(kept.sort_by([(name, "ascending") for name in key]))


@pytest.mark.slow
def test_in_pieces_and_in_memory_the_same_files_are_written(batch: Path):
    assert sides.ingested(batch, 100_000) == sides.ingested(batch, 10**9)


def test_ratios_are_to_the_peer_of_their_group():
    of = {"cpu": 1.0, "wall": 2.0, "peak": 3.0}
    text = table(5, {"duckdb": of, "pandas": of | {"cpu": 4.0}, "split": of, "copy": of | {"cpu": 2.0}, "whole": of})
    assert [line.rsplit("|", 2)[1].strip() for line in text.splitlines()[2:]] == ["0.25", "1.00", "0.50", "1.00", "1.00"]
