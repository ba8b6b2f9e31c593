"""A batch that is not what the YAML declares: rejected whole, or its bad rows set aside. Every row that came in is somewhere."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.stores import Stores
from tests.bad_input.door import Said, entries, say, state
from tests.bad_input.parcels import ROWS, outcomes, rows, write_month

pytestmark = pytest.mark.flow
PERIOD = "2013-01"
GOOD = rows(PERIOD)
TRUTH = outcomes(GOOD)
KEYS = np.arange(ROWS)


def column(name: str, values: Any, table: pa.Table = GOOD) -> pa.Table:
    """`table` with another column in the place of one."""
    return table.set_column(table.schema.get_field_index(name), name, values)


def value(name: str, at: int, new: Any, table: pa.Table = GOOD) -> pa.Table:
    """`table` with one other value."""
    values = table.column(name).to_pylist()
    values[at] = new
    return column(name, pa.array(values, table.schema.field(name).type), table)


def typed(name: str, kind: str) -> str:
    return f"expect_column_values_to_be_in_type_list({name}) failed ({kind})"


def aside(count: int, why: str, what: str = "rows", of: int = ROWS) -> str:
    return f"{count} of {of} {what} ({count / of:.2%}) would go to quarantine, budget 20.00%: {why}"


SET = "expect_table_columns_to_match_set"
NOT_NULL = "expect_column_values_to_not_be_null"
TIMES = pa.array([dt.datetime(2014, 1, 1) + dt.timedelta(days=i) for i in range(ROWS)], pa.timestamp("ms"))
ZONED = GOOD["at"].cast(pa.timestamp("ms", "UTC"))
NOWHERE = GOOD["at"].cast(pa.timestamp("ms", "Mars/Phobos"))
SWAPPED = ["at", "parcel", "carrier", "weight_kg", "stops", "express", "note"]
KEY_SWAPPED = ["at", "stops", "weight_kg", "carrier", "parcel", "express", "note"]

NO_NUMBERS = column("weight_kg", pa.array(["heavy"] * ROWS), column("stops", pa.array([Decimal("1.5")] * ROWS)))
NO_NUMBERS = column("express", pa.array([1] * ROWS), column("carrier", GOOD["carrier"].cast(pa.binary()), NO_NUMBERS))
NO_NUMBERS = column("note", pa.array([[1]] * ROWS), NO_NUMBERS)
NO_NUMBERS_SAID = "; ".join(
    typed(name, kind)
    for name, kind in {
        "weight_kg": "string",
        "carrier": "binary",
        "stops": "decimal128(2, 1)",
        "express": "int64",
        "note": "list<element: int64>",
    }.items()
)
NO_SUCH = column("parcel", pa.array([[i] for i in KEYS]), column("stops", pa.array([1.5] * ROWS)))
NO_SUCH = column("weight_kg", pa.array([True] * ROWS), column("at", pa.array(["2013-01-05"] * ROWS), NO_SUCH))
NO_SUCH_SAID = "; ".join(
    typed(name, kind) for name, kind in {"at": "string", "parcel": "list<element: int64>", "weight_kg": "bool", "stops": "double"}.items()
)

REJECTED = [
    pytest.param(GOOD.drop_columns(["stops"]), TRUTH, f"{SET} failed (missing: stops)", id="missing column"),
    pytest.param(GOOD.drop_columns(["parcel"]), TRUTH, f"{SET} failed (missing: parcel)", id="missing key"),
    pytest.param(GOOD.drop_columns(["at"]), TRUTH, f"{SET} failed (missing: at)", id="missing time"),
    pytest.param(GOOD, TRUTH.drop_columns(["late"]), f"{SET}(outcomes: ) failed (missing: late)", id="missing target"),
    pytest.param(GOOD.append_column("extra", pa.array(KEYS)), TRUTH, f"{SET} failed (unexpected: extra)", id="extra column"),
    pytest.param(
        GOOD.rename_columns({"weight_kg": "weight"}), TRUTH, f"{SET} failed (unexpected: weight; missing: weight_kg)", id="renamed column"
    ),
    pytest.param(GOOD.rename_columns(SWAPPED), TRUTH, typed("weight_kg", "string"), id="swapped columns"),
    pytest.param(GOOD.rename_columns(KEY_SWAPPED), TRUTH, "no such row", id="swapped columns of one type"),
    pytest.param(GOOD.slice(0, 0), TRUTH, "expect_table_row_count_to_be_between failed (0)", id="zero rows"),
    pytest.param(NO_NUMBERS, TRUTH, NO_NUMBERS_SAID, id="text, decimal fractions, numbers for flags, bytes for text, lists"),
    pytest.param(NO_SUCH, TRUTH, NO_SUCH_SAID, id="lists as a key, fractions, flags for numbers, text for times"),
    pytest.param(column("stops", pa.array([2**63] * ROWS, pa.uint64())), TRUTH, typed("stops", "uint64"), id="numbers that overflow"),
    pytest.param(column("at", ZONED), TRUTH, typed("at", "timestamp[ms, tz=UTC]"), id="times with a zone"),
    pytest.param(column("at", NOWHERE), TRUTH, typed("at", "timestamp[ms, tz=Mars/Phobos]"), id="times of an unknown zone"),
    pytest.param(GOOD, column("late", pa.array(["yes"] * ROWS), TRUTH), typed("outcomes: late", "string"), id="target as text"),
    pytest.param(column("parcel", pa.nulls(ROWS, pa.int64())), TRUTH, aside(40, f"{NOT_NULL}(parcel) 40"), id="no key at all"),
    pytest.param(column("carrier", pa.nulls(ROWS)), TRUTH, aside(40, f"{NOT_NULL}(carrier) 40"), id="nulls where none may be"),
    pytest.param(
        pa.concat_tables([GOOD, GOOD]), TRUTH, aside(40, "expect_compound_columns_to_be_unique(at, parcel) 40", of=80), id="every key twice"
    ),
    pytest.param(column("at", TIMES), TRUTH, aside(40, "expect_column_values_to_be_between(at) 40"), id="all of another year"),
    pytest.param(
        column("at", pa.array([2**50] * ROWS).cast(pa.timestamp("s"))),
        TRUTH,
        "year 35680317 is out of range",
        id="a year without a calendar",
    ),
    pytest.param(GOOD, column("parcel", pa.array(KEYS + 1000), TRUTH), aside(40, "no such row 40", "outcomes"), id="outcomes of others"),
]


@pytest.mark.parametrize(("table", "results", "reason"), REJECTED)
def test_a_batch_that_is_not_what_was_declared_is_rejected_whole(root: Path, table: pa.Table, results: pa.Table, reason: str) -> None:
    before = state()
    said, batch = ingested(root, table, results)
    after = state()
    assert (said.exit_code, batch["decision"]["outcome"]) == (0, "refuse"), "a refusal is an answer, not an error"
    assert reason in batch["decision"]["reason"]
    assert (batch["rows"], batch["outcomes"], batch["version"]) == (0, 0, None)
    assert (after.data, after.files) == (before.data, before.files)
    assert entries(decision="ingest")[-1].outcome == "refuse"
    kept = Stores().var / batch["kept_at"]
    assert pq.read_metadata(kept / "rows.parquet").num_rows == table.num_rows
    assert pq.read_metadata(kept / "outcomes.parquet").num_rows == results.num_rows
    assert reason in (kept / "reason.txt").read_text()


ODD_TYPES = column("weight_kg", pa.array([Decimal("1.5")] * ROWS), column("stops", pa.array([1.0] * ROWS)))
ODD_TYPES = column("carrier", GOOD["carrier"].dictionary_encode(), column("note", GOOD["note"].cast(pa.large_string()), ODD_TYPES))
ODD_TYPES = ODD_TYPES.select(GOOD.column_names[::-1])
ENDLESS = value("weight_kg", 3, float("inf"), value("weight_kg", 4, float("-inf"), value("weight_kg", 5, float("nan"))))
FEW = value("carrier", 6, "", value("at", 7, dt.datetime(2014, 1, 1), ENDLESS))
FEW = value("carrier", 8, "x" * 1_000_000, value("note", 9, "y" * 1_000_000, FEW))
TWICE = pa.concat_tables([GOOD, value("weight_kg", 2, 1.0).slice(2, 1), GOOD.slice(3, 1)])
OTHERWISE = pa.concat_tables([value("parcel", 3, 999, TRUTH), value("late", 2, True, TRUTH).slice(2, 1)])
NULL = "null in every row"

TAKEN = [
    pytest.param(ODD_TYPES, TRUTH, 0, 0, "", id="other types that lose nothing, in another order"),
    pytest.param(column("weight_kg", pa.nulls(ROWS)), TRUTH, 0, 0, f"{NOT_NULL}(weight_kg) failed ({NULL})", id="a feature without values"),
    pytest.param(
        column("weight_kg", pa.array([np.nan] * ROWS)), TRUTH, 0, 0, f"{NOT_NULL}(weight_kg) failed ({NULL})", id="nothing but NaN"
    ),
    pytest.param(GOOD, column("late", pa.nulls(ROWS), TRUTH), 0, 0, f"{NOT_NULL}(late) failed ({NULL})", id="a target without values"),
    pytest.param(GOOD, TRUTH.slice(0, 0), 0, 0, "expect_table_row_count_to_be_between(outcomes: ) failed (0)", id="zero outcomes"),
    pytest.param(TWICE, TRUTH, 2, 0, "", id="some keys twice"),
    pytest.param(FEW, TRUTH, 5, 5, "", id="infinities, a row of the future, an empty and an endless category; NaN is a null"),
    pytest.param(GOOD, OTHERWISE, 0, 2, "", id="an outcome of an unknown key, and a second one that says otherwise"),
]


@pytest.mark.parametrize(("table", "results", "rows_aside", "outcomes_aside", "warning"), TAKEN)
def test_a_batch_within_its_budget_is_taken_and_no_row_is_lost(
    root: Path, table: pa.Table, results: pa.Table, rows_aside: int, outcomes_aside: int, warning: str
) -> None:
    before = set(Stores().var.glob("quarantine/**/*.parquet"))
    said, batch = ingested(root, table, results)
    assert (said.exit_code, batch["decision"]["outcome"]) == (0, "accept")
    assert warning in batch["decision"]["reason"]
    assert f"{1 if warning else 0} warning" in batch["decision"]["reason"]
    assert batch["rows"] + rows_aside == table.num_rows
    assert batch["outcomes"] + outcomes_aside == results.num_rows
    made = set(Stores().var.glob("quarantine/**/*.parquet")) - before
    found = pq.read_table(made.pop(), columns=["quarantined_from", "reasons"]).to_pylist() if made else []
    assert sorted(r["quarantined_from"] for r in found) == ["outcomes"] * outcomes_aside + ["rows"] * rows_aside
    assert all(r["reasons"] for r in found)
    assert batch["version"]["rows"] == batch["rows"], "January is all there is"


def test_the_good_batch_is_taken_afterwards(root: Path) -> None:
    ingested(root, GOOD.slice(0, 0), TRUTH)
    assert json.loads(say("status", "parcels", "--json").out)["problems"][0].startswith("the batch of 2013-01 was rejected")
    _, batch = ingested(root, GOOD, TRUTH)
    assert (batch["decision"]["outcome"], batch["rows"], batch["quarantined"]) == ("accept", ROWS, 0)


def ingested(root: Path, table: pa.Table, results: pa.Table) -> tuple[Said, dict[str, Any]]:
    """What the command says when January's files are these."""
    write_month(root, PERIOD, table, results)
    said = say("ingest", "parcels", PERIOD, "--json")
    return said, json.loads(said.out)
