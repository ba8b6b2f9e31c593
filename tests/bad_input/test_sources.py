"""A source that does not keep its contract is named with its period and its fault; nothing of the period is kept."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.stores import Stores
from tests.bad_input.door import entries, say, say_apart, state
from tests.bad_input.parcels import ROWS, SOURCE, rows, write_config, write_month

pytestmark = pytest.mark.flow
PERIOD = "2013-01"
GIVING = """from tests.bad_input.parcels import outcomes, rows
class Given:
    def periods(self):
        {periods}
    def rows(self, period):
        {rows}
    def outcomes(self, period):
        {outcomes}
def source():
    return Given()
"""


def giving(periods: str = "return ['2013-01']", rows: str = "return rows(period)", outcomes: str = "return outcomes(rows(period))") -> str:
    """A source module with other lines in its methods."""
    return GIVING.format(periods=periods, rows=rows, outcomes=outcomes)


INTERVAL = "import pyarrow as pa; return rows(period).set_column(4, 'stops', pa.array([pa.MonthDayNano([1, 2, 3])] * 40))"
KEPT = "Nothing was kept; mend the source and run again."
BROKEN = [
    pytest.param("def source(:\n", 4, f"it cannot be opened (SyntaxError: invalid syntax (source_syntax.py, line 1)). {KEPT}", id="syntax"),
    pytest.param("import nothing_like_this\n", 4, f"it needs the module nothing_like_this, which is not installed. {KEPT}", id="needs"),
    pytest.param("1 / 0\n", 4, "it cannot be opened (ZeroDivisionError: division by zero)", id="fails"),
    pytest.param("import sys\nsys.exit(7)\n", 4, "it cannot be opened (SystemExit: 7)", id="exits"),
    pytest.param("x = 1\n", 2, "source.python: source_no_source must have a function source(**options)", id="no_source"),
    pytest.param("def source(depot):\n    ...\n", 2, "source.options: source_asks.source does not take them (missing a req", id="asks"),
    pytest.param("def source():\n    ...\n", 4, "source() gave NoneType, which has no periods(), rows(), outcomes()", id="gives_none"),
    pytest.param(giving("return ['2013-02', '2013-01']"), 4, "periods() gave 2013-01 after 2013-02; names must sort", id="unsorted"),
    pytest.param(giving("return ['2013-01', '2013-01']"), 4, "periods() gave 2013-01 twice; names must be distinct", id="repeated"),
    pytest.param(giving("return ['2013-01', 201302]"), 4, "periods() must be names such as 2013-01, not 201302", id="numbers"),
    pytest.param(giving("return ['2013/01']"), 4, "periods() must be names such as 2013-01, not '2013/01'", id="slash"),
    pytest.param(giving("return None"), 4, "periods() failed (TypeError: 'NoneType' object is not iterable)", id="no_list"),
    pytest.param(giving("raise OSError(5, 'Input/output error')"), 4, "periods() failed (OSError: [Errno 5] Input/output", id="raises"),
    pytest.param(giving("return iter(lambda: '2013-01', None)"), 4, "periods() gave more than 100,000 names", id="endless"),
    pytest.param(giving("return [input()]"), 4, "periods() failed (EOFError: ", id="asks_the_user"),
    pytest.param(giving("return []"), 2, "no period named '2013-01'. There are: none yet.", id="empty"),
    pytest.param(giving(rows="raise KeyError('tail')"), 4, "period 2013-01: rows() failed (KeyError: 'tail')", id="rows_raise"),
    pytest.param(giving(rows="return None"), 4, "rows() must give a pyarrow.Table or RecordBatchReader, not NoneType", id="rows_none"),
    pytest.param(giving(rows="return rows(period).to_pandas()"), 4, "RecordBatchReader, not DataFrame", id="rows_pandas"),
    pytest.param(giving(rows=INTERVAL), 4, "it gave what cannot be kept (ArrowNotImplementedError: ", id="no_parquet"),
    pytest.param(giving(outcomes="return 3"), 4, "outcomes() must give a pyarrow.Table or Record", id="outcomes_number"),
]


@pytest.mark.parametrize(("content", "code", "message"), BROKEN)
def test_a_broken_source_is_named_with_its_fault(root: Path, request: pytest.FixtureRequest, content: str, code: int, message: str) -> None:
    name = f"source_{request.node.callspec.id}"
    (root / f"{name}.py").write_text(content)
    write_config(root, name, source={"python": name})
    said = say("ingest", name, PERIOD)
    assert said.exit_code == code
    assert said.err.startswith("pillars: ")
    assert name in said.err or code == 2
    assert message in said.err
    assert said.out == ""
    assert [e.decision for e in entries(name)] == ["configure"], "that a first run began is all there is to know"
    assert state(name).data == ""
    assert not (Stores().var / "raw" / name).exists()


def test_a_mended_source_is_taken(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (root / "mended.py").write_text(giving(rows="return None"))
    write_config(root, "mended", source={"python": "mended"})
    assert say("ingest", "mended", PERIOD).exit_code == 4
    (root / "mended.py").write_text(SOURCE)
    monkeypatch.delitem(sys.modules, "mended")
    importlib.invalidate_caches()
    assert say("ingest", "mended", PERIOD).exit_code == 0
    assert [e.outcome for e in entries("mended", "ingest")] == ["accept"]


@pytest.mark.parametrize(
    ("python", "options", "message"),
    [
        pytest.param("parcels_sauce", {}, "source.python: there is no module parcels_sauce", id="no module"),
        pytest.param("parcels_source", {"dept": "north"}, "got an unexpected keyword argument 'dept'", id="unknown option"),
        pytest.param("parcels-source", {}, "line 4: source.python is 'parcels-source'; it must be the full name of a module", id="no name"),
        pytest.param("json", {}, "source.python: json must have a function source(**options)", id="another module"),
    ],
)
def test_a_source_that_the_yaml_names_wrongly_is_a_fault_of_the_yaml(
    root: Path, request: pytest.FixtureRequest, python: str, options: dict[str, str], message: str
) -> None:
    name = request.node.callspec.id.replace(" ", "_")
    write_config(root, name, source={"python": python, "options": options})
    said = say("ingest", name, PERIOD)
    assert (said.exit_code, said.out) == (2, "")
    assert said.err.startswith(f"pillars: {name}.yaml is not a valid project; nothing was changed.\n")
    assert message in said.err


def test_a_rebuild_from_a_source_without_periods_says_so(root: Path) -> None:
    (root / "nothing.py").write_text(giving("return []"))
    write_config(root, "nothing", source={"python": "nothing"})
    said = say("data", "rebuild", "nothing")
    assert said.exit_code == 4
    assert said.err == f"pillars: source nothing: periods() gave none. {KEPT}\n"


def utf8_broken() -> pa.Table:
    """A table whose carriers are no text, as another writer's file may hold them."""
    raw = pa.array([b"\xff"] * ROWS).buffers()
    table = rows(PERIOD)
    return table.set_column(3, "carrier", pa.StringArray.from_buffers(ROWS, raw[1], raw[2]))


def spoil(file: Path, how: str) -> None:
    content = file.read_bytes()
    half = len(content) // 2
    match how:
        case "gone":
            file.unlink()
        case "0 bytes":
            file.write_bytes(b"")
        case "truncated":
            file.write_bytes(content[:half])
        case "corrupt":
            file.write_bytes(content[:200] + b"\xee" * 200 + content[400:])
        case "text":
            file.write_text("at,parcel\n2013-01-01,1\n")
        case "not UTF-8":
            pq.write_table(utf8_broken(), file)


FILES = [
    pytest.param("gone", "FileNotFoundError", id="gone"),
    pytest.param("0 bytes", "Parquet file size is 0 bytes", id="0 bytes"),
    pytest.param("truncated", "Parquet magic bytes not found in footer", id="truncated"),
    pytest.param("corrupt", "rows() failed (OSError: ", id="corrupt in the middle"),
    pytest.param("text", "Parquet magic bytes not found in footer", id="a text file"),
    pytest.param("not UTF-8", "rows() gave a column carrier that is damaged", id="text that is not UTF-8"),
]


@pytest.mark.parametrize(("how", "message"), FILES)
def test_a_damaged_file_of_the_source_is_named_and_nothing_is_kept(root: Path, how: str, message: str) -> None:
    if not entries():
        assert say("ingest", "parcels", "2013-02").exit_code == 0
    before, raw = state(), sorted(Stores().var.glob("raw/parcels/**/*"))
    kind = "outcomes" if how == "gone" else "rows"  # without its rows the period would not be known
    file = root / "files" / f"{kind}-{PERIOD}.parquet"
    spoil(file, how)
    said = say("ingest", "parcels", PERIOD) if how != "truncated" else say_apart(root, "ingest", "parcels", PERIOD)
    write_month(root, PERIOD)
    assert said.exit_code == 4
    assert said.err.startswith(f"pillars: source parcels_source, period {PERIOD}: {kind}() ")
    assert message in said.err
    assert said.err.endswith("Nothing of this period was kept; mend the source and run again.\n")
    assert file.name in said.err or how in ("corrupt", "not UTF-8")
    assert state() == before
    assert sorted(Stores().var.glob("raw/parcels/**/*")) == raw


def test_once_its_file_is_whole_the_period_is_taken(root: Path) -> None:
    spoil(root / "files" / f"rows-{PERIOD}.parquet", "text")
    assert say("ingest", "parcels", PERIOD).exit_code == 4
    write_month(root, PERIOD)
    assert say("ingest", "parcels", PERIOD).exit_code == 0
    assert entries(decision="ingest")[-1].outcome == "accept"
