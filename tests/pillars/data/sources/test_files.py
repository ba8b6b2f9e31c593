from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest

from pillars.config import Project
from pillars.data.collection import open_source, periods
from pillars.errors import SourceBroken, StoreUnavailable
from pillars.stores import Stores
from tests.pillars.data.sources.ways import PERIODS, csv_text, parcels, project_of, whole


def opened_periods(stores: Stores, project: Project) -> list[str]:
    return periods(open_source(stores, project), project)


def test_a_file_that_grows_is_read_again(stores: Stores) -> None:
    project, file = project_of({"file": "a.csv"}), stores.root / "a.csv"
    file.write_text(csv_text(parcels("2013-01")))
    assert opened_periods(stores, project) == ["2013-01"]
    file.write_text(csv_text(whole()))
    os.utime(file, ns=(file.stat().st_atime_ns, file.stat().st_mtime_ns + 1))
    assert opened_periods(stores, project) == list(PERIODS)


def test_the_newest_period_waits_for_the_next_one(stores: Stores) -> None:
    (stores.root / "a.csv").write_text(csv_text(whole()))
    assert opened_periods(stores, project_of({"file": "a.csv", "batches": {"hold_newest": True}})) == ["2013-01"]


def test_a_path_of_its_own_is_taken_as_it_stands(stores: Stores, tmp_path: Path) -> None:
    (tmp_path / "elsewhere.csv").write_text(csv_text(whole()))
    assert opened_periods(stores, project_of({"file": str(tmp_path / "elsewhere.csv")})) == list(PERIODS)


def test_columns_may_differ_from_file_to_file_and_validation_sees_it(stores: Stores) -> None:
    (stores.root / "in").mkdir()
    (stores.root / "in" / "1.csv").write_text(csv_text(parcels("2013-01")))
    (stores.root / "in" / "2.csv").write_text(csv_text(parcels("2013-02").drop_columns(["stops"])))
    project = project_of({"file": "in/*.csv"})
    assert open_source(stores, project).rows("2013-02")["stops"].null_count == 40


def test_rows_whose_outcome_has_not_come_have_none(stores: Stores) -> None:
    table = parcels("2013-01").slice(0, 3).to_pylist()
    table[1] |= {"late": None, "delay_min": None}
    table[2] |= {"delay_min": None}
    (stores.root / "a.csv").write_text(csv_text(pa.Table.from_pylist(table)))
    source = open_source(stores, project_of({"file": "a.csv"}))
    assert source.rows("2013-01").num_rows == 3
    assert source.outcomes("2013-01")["parcel"].to_pylist() == ["0", "2"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        pytest.param(["March.csv"], r"source in/March\.csv: by file, its name must be that of a period: 2013, 2013-Q1", id="no period"),
        pytest.param(["2013-01.csv", "2013-01.tsv"], r"source in/2013-01\.tsv: in/2013-01\.csv is of period 2013-01, too", id="twice"),
        pytest.param(["12.csv"], "its name must be that of a period", id="a number too short to sort"),
    ],
)
def test_a_file_that_is_named_after_no_period_is_named(stores: Stores, names: list[str], message: str) -> None:
    (stores.root / "in").mkdir()
    for name in names:
        (stores.root / "in" / name).write_text(csv_text(parcels("2013-01")))
    with pytest.raises(SourceBroken, match=message):
        opened_periods(stores, project_of({"file": "in", "batches": {"by": "file"}}))


@pytest.mark.parametrize("pattern", ["in", "in/*.csv", "in/**/*.csv"])
def test_an_empty_folder_asks_for_a_file(stores: Stores, pattern: str) -> None:
    (stores.root / "in").mkdir()
    (stores.root / "in" / "a.csv.part").write_text("half")
    with pytest.raises(StoreUnavailable, match=r"no file fits\. Put one there, or mend source\.file"):
        opened_periods(stores, project_of({"file": pattern}))


def test_rows_and_outcomes_are_of_one_state_of_the_file(stores: Stores) -> None:
    (stores.root / "in").mkdir()
    file = stores.root / "in" / "2013-01.csv"
    file.write_text(csv_text(parcels("2013-01").slice(0, 20)))
    source = open_source(stores, project_of({"file": "in", "batches": {"by": "file"}}))
    assert source.rows("2013-01").num_rows == 20
    file.write_text(csv_text(parcels("2013-01").slice(7)))
    os.utime(file, ns=(0, 1))
    assert source.outcomes("2013-01")["parcel"].to_pylist() == source.rows("2013-01")["parcel"].to_pylist()


def test_rows_of_several_files_are_numbered_as_one(stores: Stores) -> None:
    (stores.root / "in").mkdir()
    for number in range(2):
        (stores.root / "in" / f"{number}.csv").write_text(csv_text(parcels("2013-01").slice(number * 4, 4)))
    project = project_of({"file": "in", "row_number": "row", "batches": {"by": "rows", "size": 100}})
    assert open_source(stores, project).rows("00000001")["row"].to_pylist() == list(range(1, 9))


def test_a_name_with_brackets_is_a_name_before_it_is_a_pattern(stores: Stores) -> None:
    (stores.root / "data [1].csv").write_text(csv_text(parcels("2013-01")))
    (stores.root / "data 1.csv").write_text(csv_text(parcels("2013-02")))
    assert opened_periods(stores, project_of({"file": "data [1].csv"})) == ["2013-01"]


def test_numbers_of_other_lengths_would_not_sort(stores: Stores) -> None:
    (stores.root / "in").mkdir()
    for name in ("99999", "100000"):
        (stores.root / "in" / f"{name}.csv").write_text(csv_text(parcels("2013-01")))
    with pytest.raises(SourceBroken, match="its files' numbers have other lengths, and would not sort"):
        opened_periods(stores, project_of({"file": "in", "batches": {"by": "file"}}))


def test_a_file_that_is_not_there_is_asked_for(stores: Stores) -> None:
    with pytest.raises(StoreUnavailable, match=r"source a\.csv: there is no such file"):
        opened_periods(stores, project_of({"file": "a.csv"}))
