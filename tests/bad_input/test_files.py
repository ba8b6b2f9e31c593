"""A file as other programs leave it, given to the command: refused by name, or its bad rows set aside. No row that came in is lost."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from pillars.stores import Stores
from tests.bad_input.door import entries, say, state
from tests.bad_input.parcels import CONFIG, ROWS, outcomes, rows, write_config
from tests.pillars.data.sources.ways import csv_text

pytestmark = pytest.mark.flow
PERIOD = "2013-01"
TRUTH = outcomes(rows(PERIOD))
TABLE = rows(PERIOD).append_column("late", TRUTH["late"]).append_column("delay_min", TRUTH["delay_min"])
TEXT = csv_text(TABLE)
LINES = TEXT.splitlines(keepends=True)
KEPT = "Nothing was kept; mend the source and run again."


def line(at: int, change: Callable[[list[str]], list[str]]) -> str:
    """The file with one row changed."""
    return "".join([*LINES[:at], ",".join(change(LINES[at].rstrip().split(","))) + "\r\n", *LINES[at + 1 :]])


def spoiled(column: str, value: str, *at: int) -> str:
    """The file with a value in some rows of a column."""
    place = TABLE.column_names.index(column)
    lines = [row.rstrip().split(",") for row in LINES]
    for i in at:
        lines[i][place] = value
    return "\r\n".join(map(",".join, lines)) + "\r\n"


REFUSED = [
    pytest.param("a.csv", None, 6, "source a.csv: there is no such file. Put it there, or mend source.file in the YAML.", id="missing"),
    pytest.param("a.csv", b"", 4, f"source a.csv: it is empty: not even a header is in it. {KEPT}", id="empty"),
    pytest.param("a.csv", TEXT[:-9].rpartition(",")[0].encode(), 4, "its header names 9 columns, but row 40 has", id="cut off"),
    pytest.param("a.csv.gz", gzip.compress(TEXT.encode())[:-30], 4, "source a.csv.gz: it cannot be unpacked as gz", id="packed, cut off"),
    pytest.param("a.csv", line(3, lambda v: [*v, "more"]).encode(), 4, "names 9 columns, but row 3 has 10", id="shifted"),
    pytest.param("a.csv", TEXT.replace("parcel 7", "café").encode("cp1252"), 4, "is not utf-8; set source.csv.encoding", id="encoding"),
    pytest.param("a.csv", TEXT.encode("utf-16"), 4, "is not utf-8; set source.csv.encoding", id="UTF-16"),
    pytest.param("a.csv", TEXT.replace(",", ";").encode(), 4, "source file a.csv: it has no column at, by which", id="another separator"),
    pytest.param("a.csv", TEXT.replace("2013-01", "01/2013").encode(), 4, "no row has a time in column at; say its format", id="dates"),
    pytest.param("a.parquet", TEXT.encode(), 4, "source a.parquet: it cannot be read as parquet", id="no Parquet"),
    pytest.param("a.xlsx", b"PK\3\4", 4, "it ends neither in one of .csv", id="spreadsheet"),
]


@pytest.mark.parametrize(("file", "content", "code", "message"), REFUSED)
def test_a_file_that_is_no_table_changes_nothing(
    root: Path, request: pytest.FixtureRequest, file: str, content: bytes | None, code: int, message: str
) -> None:
    name = "file-" + request.node.callspec.id.lower().replace(" ", "-").replace(",", "")
    (root / file).unlink(missing_ok=True)
    if content is not None:
        (root / file).write_bytes(content)
    write_config(root, name, source={"file": file})
    said = say("ingest", name, PERIOD)
    assert (said.exit_code, said.out) == (code, "")
    assert said.err.startswith("pillars: source ")
    assert message in said.err
    assert [e.decision for e in entries(name)] == ["configure"]
    assert state(name).data == ""
    assert not (Stores().var / "raw" / name).exists()


ASIDE = [
    pytest.param(TEXT, 0, "", id="good"),
    pytest.param(spoiled("weight_kg", "heavy", 2, 5), 2, "weight_kg is no float", id="words for numbers"),
    pytest.param(spoiled("at", "2013-02-30", 7), 1, "at is no timestamp", id="no such day"),
    pytest.param(spoiled("at", "", 7), 1, "expect_column_values_to_not_be_null(at)", id="no time"),
    pytest.param(spoiled("parcel", "one", 3), 1, "parcel is no int", id="no key"),
    pytest.param(spoiled("weight_kg", "lots", *range(1, 5)), 4, "weight_kg is no float", id="10 % junk"),
]


@pytest.mark.parametrize(("text", "aside", "reason"), ASIDE)
def test_rows_that_cannot_be_read_are_set_aside_as_they_came(
    root: Path, request: pytest.FixtureRequest, text: str, aside: int, reason: str
) -> None:
    name = "rows-" + request.node.callspec.id.replace(" ", "-").replace("%", "percent")
    (root / f"{name}.csv").write_bytes(text.encode())
    write_config(root, name, source={"file": f"{name}.csv", "licence": "ours"})
    said = say("ingest", name, PERIOD, "--json")
    batch = json.loads(said.out)
    assert (said.exit_code, batch["decision"]["outcome"], batch["rows"], batch["quarantined"]) == (0, "accept", ROWS - aside, aside)
    assert (batch["collected"]["source"], batch["collected"]["licence"]) == (f"file {name}.csv", "ours")
    found = [row for p in Stores().var.glob(f"quarantine/{name}/*.parquet") for row in pq.read_table(p).to_pylist()]
    came = [row for row in found if row["quarantined_from"] == "rows"]
    assert len(came) == aside
    lines = text.splitlines()
    for row in came:
        assert reason in row["reasons"]
        said_then = ",".join("" if row[c] is None else row[c] for c in TABLE.column_names[:7])
        assert any(each.startswith(said_then) for each in lines), "as it came"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(spoiled("weight_kg", "?", *range(1, 12)), "quarantine, budget 20.00%: weight_kg is no float 11", id="junk"),
        pytest.param(TEXT.replace("weight_kg", "weight"), "failed (unexpected: weight; missing: weight_kg)", id="renamed"),
        pytest.param(TEXT.replace("carrier", "x").replace("note", "carrier").replace("x", "note"), "budget 20.00%", id="swapped"),
        pytest.param(spoiled("late", "perhaps", *range(1, 12)), "late is no bool 11", id="poisoned labels"),
    ],
)
def test_a_file_with_too_much_of_it_is_rejected_whole(root: Path, request: pytest.FixtureRequest, text: str, reason: str) -> None:
    name = f"much-{request.node.callspec.id.replace(' ', '-')}"
    (root / f"{name}.csv").write_bytes(text.encode())
    write_config(root, name, source={"file": f"{name}.csv"})
    batch = json.loads(say("ingest", name, PERIOD, "--json").out)
    assert batch["decision"]["outcome"] == "refuse"
    assert reason in batch["decision"]["reason"]
    assert batch["version"] is None
    kept = pq.read_table(Stores().var / batch["kept_at"] / "rows.parquet")
    assert kept.num_rows == ROWS


def test_a_database_s_address_that_is_not_set_is_asked_for(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PARCELS_DB", raising=False)
    write_config(root, "sql", source={"sql": {"url_from": "PARCELS_DB", "rows": "SELECT 1"}})
    said = say("ingest", "sql", PERIOD)
    assert (said.exit_code, said.out) == (2, "")
    assert "PARCELS_DB is not set: source.sql.url_from expects the database's SQLAlchemy URL in it" in said.err


def test_a_source_is_held_to_its_contract_and_nothing_is_kept(root: Path) -> None:
    (root / "held.csv").write_bytes(TEXT.encode())
    write_config(root, "held", source={"file": "held.csv"})
    said = say("data", "source", "held", "--json")
    assert said.exit_code == 0
    assert {p["what"]: p["kept"] for p in json.loads(said.out)}["times lie in the period"] is True
    (root / "held.csv").write_bytes((TEXT + LINES[1] + spoiled("parcel", "x", 3).splitlines()[3] + "\r\n").encode())
    said = say("data", "source", "held")
    assert said.exit_code == 1
    assert "BROKEN  rows(2013-01) and outcomes(2013-01) give tables that can be read: parcel is no int in 1 of 42 rows" in said.out
    assert "BROKEN  keys name one row each, and outcomes have a row: 1 rows have the key of another" in said.out
    assert entries("held") == []
    assert not (Stores().var / "raw" / "held").exists()


def test_a_file_without_a_header_leaves_no_value_of_a_person_anywhere(root: Path) -> None:
    columns = {name: {**c, "role": ["protected"]} if name == "note" else c for name, c in CONFIG["columns"].items()}
    (root / "headless.csv").write_bytes("".join(LINES[1:]).replace("parcel 0", "Zaphod").encode())
    write_config(root, "headless", source={"file": "headless.csv", "batches": {"by": "rows"}}, columns=columns, split={"block": "row"})
    said = say("ingest", "headless", "00000001")
    assert said.exit_code == 4
    assert "has it a header?" in said.err
    assert "Zaphod" not in said.err
    assert not [p for folder in ("raw", "rejected", "reports") for p in (Stores().var / folder / "headless").glob("**/*")]
