from __future__ import annotations

import hashlib
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pillars.data import sealing
from pillars.data.collection import collect, open_source, periods, read_collected
from pillars.errors import ConfigInvalid, DataCorrupt, SourceBroken, UnknownName
from pillars.stores import Stores
from tests.pillars.data.batches import CANARY, Memory, changed, outcomes, project, rows, table_at

MONTHS = ("2013-01", "2013-02", "2013-03")


@pytest.fixture
def source() -> Memory:
    return Memory({m: rows(m) for m in MONTHS})


def files(stores: Stores) -> dict[str, bytes]:
    return {p.relative_to(stores.var).as_posix(): p.read_bytes() for p in stores.var.rglob("*.parquet")}


def test_a_batch_is_kept_under_its_hash(stores: Stores, source: Memory) -> None:
    found = collect(stores, project(), source, "2013-02")
    content = sealing.read(stores, found.rows_path)
    assert found.rows_sha256 == hashlib.sha256(content).hexdigest()
    assert found.rows_path == f"raw/parcels/2013-02/rows-{found.rows_sha256[:16]}.parquet"
    assert (found.rows, found.outcomes, found.outcomes_period) == (40, 40, "2013-02")
    assert found.first_time == str(rows("2013-02")["at"][0].as_py()).replace(" ", "T")


def test_collecting_twice_changes_nothing(stores: Stores, source: Memory) -> None:
    first = collect(stores, project(), source, "2013-02")
    before = files(stores)
    assert collect(stores, project(), source, "2013-02") == first
    assert files(stores) == before


def test_a_corrected_batch_lies_beside_the_first(stores: Stores, source: Memory) -> None:
    first = collect(stores, project(), source, "2013-02")
    source.tables["2013-02"] = changed(source.tables["2013-02"], "weight_kg", 0, 7.0)
    second = collect(stores, project(), source, "2013-02")
    assert second.rows_path != first.rows_path
    assert (stores.var / first.rows_path).is_file()


@pytest.mark.parametrize(("lag", "period", "expected"), [(0, "2013-01", "2013-01"), (1, "2013-01", None), (2, "2013-03", "2013-01")])
def test_outcomes_arrive_after_their_lag(stores: Stores, source: Memory, lag: int, period: str, expected: str | None) -> None:
    found = collect(stores, project(lag=lag), source, period)
    assert found.outcomes_period == expected
    if expected:
        assert table_at(stores, found.outcomes_path).equals(outcomes(rows(expected)))
    else:
        assert (found.outcomes_path, found.outcomes_sha256, found.outcomes) == (None, None, 0)


def test_no_protected_value_is_written(stores: Stores, source: Memory) -> None:
    source.tables["2013-01"] = source.tables["2013-01"].append_column("signed_by", pa.array([CANARY] * 40))
    collect(stores, project(), source, "2013-01")
    kept = [p for p in stores.var.rglob("*") if p.is_file()]
    assert kept
    assert not [p for p in kept if CANARY.encode() in p.read_bytes()]


def test_an_unknown_period_names_the_known_ones(stores: Stores, source: Memory) -> None:
    with pytest.raises(UnknownName, match="2013-01"):
        collect(stores, project(), source, "2013-1")


def test_a_batch_without_rows_or_time_is_still_collected(stores: Stores) -> None:
    late = rows("2013-02")
    empty = Memory({"2013-01": rows("2013-01").slice(0, 0), "2013-02": late.drop_columns(["at"])}, {"2013-02": outcomes(late)})
    assert collect(stores, project(), empty, "2013-01").first_time == ""
    assert collect(stores, project(), empty, "2013-02").last_time == ""


class Broken(Memory):
    def rows(self, period: str) -> Any:
        raise ValueError(f"cannot read {CANARY}")


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        pytest.param(Broken({"2013-01": rows("2013-01")}), r"rows\(\) failed \(ValueError\)", id="raises"),
        pytest.param(Memory({"2013-01": [1, 2]}), "must give a pyarrow.Table or RecordBatchReader, not list", id="gives a list"),
        pytest.param(Memory({"2013-01": pa.table([[1], [2]], names=["a", "a"])}), "two columns of one name", id="repeats a column"),
        pytest.param(Memory({"../2013": rows("2013-01")}), "names such as 2013-01, not '../2013'", id="leaves its folder"),
    ],
)
def test_a_source_that_breaks_its_contract_is_named(stores: Stores, given: Memory, problem: str) -> None:
    with pytest.raises(SourceBroken, match=problem) as caught:
        collect(stores, project(), given, given.periods()[0])
    assert not files(stores)
    assert CANARY not in str(caught.value)
    assert caught.value.__cause__ is None, "a traceback would quote the row"


def test_what_a_source_without_people_says_is_passed_on(stores: Stores) -> None:
    with pytest.raises(SourceBroken, match="cannot read"):
        collect(stores, project(columns={"person": {"type": "text"}}), Broken({"2013-01": rows("2013-01")}), "2013-01")


def test_repeated_periods_are_refused() -> None:
    class Repeating(Memory):
        def periods(self) -> list[str]:
            return ["2013-01", "2013-01"]

    with pytest.raises(SourceBroken, match="distinct"):
        periods(Repeating({}), project())


@pytest.mark.parametrize("name", [pytest.param("person", id="protected"), pytest.param("new", id="undeclared")])
@pytest.mark.parametrize("zone", ["Mars/Phobos", "../zones"])
def test_times_of_a_zone_that_this_machine_lacks_are_named_where_they_become_pseudonyms(stores: Stores, name: str, zone: str) -> None:
    table = rows("2013-01")
    times = table["at"].cast(pa.timestamp("ms", zone))
    table = table.drop_columns([name]) if name in table.column_names else table
    with pytest.raises(SourceBroken, match="it gave what cannot be kept"):
        collect(stores, project(), Memory({"2013-01": table.append_column(name, times)}, {"2013-01": outcomes(table)}), "2013-01")
    assert not files(stores)


def test_a_changed_raw_file_is_not_used(stores: Stores, source: Memory) -> None:
    found = collect(stores, project(), source, "2013-01")
    path = stores.var / found.rows_path
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(DataCorrupt, match=found.rows_sha256):
        read_collected(stores, found.rows_path, found.rows_sha256)
    path.unlink()
    with pytest.raises(DataCorrupt, match="no file"):
        read_collected(stores, found.rows_path, found.rows_sha256)


MODULES = {
    "good": """class Here:
    def __init__(self, n): self.n = n
    def periods(self): return []
    rows = outcomes = None.__eq__

def source(n=1):
    return Here(n)
""",
    "empty": "x = 1\n",
    "needs": "import nothing_of_that_name\n",
    "wrong": "def source():\n    raise KeyError('away')\n",
}


@pytest.fixture
def named(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Writes a source module of some content, and gives the project that names it."""
    monkeypatch.setattr(sys, "path", [*sys.path])

    def write(content: str, **options: int) -> Any:
        name = f"of_{abs(hash(content)) % 10**8}_{stores.root.parent.name}".replace("-", "_")
        Path(stores.root, f"{name}.py").write_text(MODULES[content])
        given = project(columns={"person": {"type": "text"}})
        return given.model_copy(update={"source": given.source.model_copy(update={"python": name, "options": options})})

    return write


def test_a_source_is_opened_with_its_options(stores: Stores, named: Any) -> None:
    assert open_source(stores, named("good", n=3)).n == 3  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("content", "options", "error", "problem"),
    [
        pytest.param("good", {"m": 3}, ConfigInvalid, "does not take them", id="unknown option"),
        pytest.param("empty", {}, ConfigInvalid, "must have a function source", id="no source"),
        pytest.param("needs", {}, SourceBroken, "nothing_of_that_name", id="missing package"),
        pytest.param("wrong", {}, SourceBroken, "KeyError: 'away'", id="fails when opened"),
    ],
)
def test_a_source_that_cannot_be_opened_says_why(
    stores: Stores, named: Any, content: str, options: dict[str, int], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        open_source(stores, named(content, **options))


def test_a_missing_module_is_a_fault_of_the_yaml(stores: Stores, named: Any) -> None:
    given = named("good")
    given = given.model_copy(update={"source": given.source.model_copy(update={"python": "projects_that.are_not"})})
    with pytest.raises(ConfigInvalid, match=r"parcels\.yaml"):
        open_source(stores, given)
