"""Rows that were set aside are listed, shown, and come back once the rule is mended, without the source."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.data import versions
from pillars.stores import Stores
from tests.bad_input.door import entries, say
from tests.bad_input.parcels import CONFIG, ROWS, outcomes, rows, write_config, write_month

pytestmark = pytest.mark.flow


def spoilt(period: str, heavy: int, unknown: int) -> pa.Table:
    """A month with some rows that are too heavy, and some of a carrier nobody knows."""
    table = rows(period)
    weights = [120.0] * heavy + table["weight_kg"].to_pylist()[heavy:]
    carriers = ["Z"] * unknown + table["carrier"].to_pylist()[unknown:]
    return table.set_column(2, "weight_kg", pa.array(weights)).set_column(3, "carrier", pa.array(carriers))


def allow(root: Path, most_kg: float) -> None:
    """The rule, mended."""
    suite = [dict(check) for check in CONFIG["expectations"]["suite"]]
    suite[0]["kwargs"] = {**suite[0]["kwargs"], "max_value": most_kg}
    write_config(root, "parcels", expectations={**CONFIG["expectations"], "suite": suite})


def listed(*arguments: str) -> Any:
    return json.loads(say("data", "quarantine", *arguments, "--json").out)


def test_what_is_set_aside_comes_back_once_the_rule_is_mended(root: Path) -> None:
    write_month(root, "2013-01", spoilt("2013-01", heavy=3, unknown=1), outcomes(rows("2013-01")))
    assert say("ingest", "parcels", "2013-01").exit_code == 0
    assert say("ingest", "parcels", "2013-02").exit_code == 0
    (held,) = listed("list", "parcels")
    assert (held["period"], held["rejected"], held["rows"]) == ("2013-01", False, 6), "three rows and their outcomes"
    assert held["reasons"]["its row is in quarantine"] == 3
    assert sorted(held["reasons"].values()) == [1, 3, 3]
    assert (Stores().var / held["path"]).is_file()
    said = say("data", "quarantine", "list", "parcels").out
    assert said.startswith("2013-01  6 rows  var/quarantine/parcels/2013-01-")

    shown = listed("show", "parcels", "2013-01", "--rows", "3")["held"]
    assert [row["weight_kg"] for row in shown] == [120.0] * 3
    assert all(row["reasons"] for row in shown)
    assert "weight_kg  120.0" in say("data", "quarantine", "show", "parcels", "2013-01").out

    assert listed("replay", "parcels") == [], "no rule was mended"
    (root / "files" / "rows-2013-01.parquet").unlink()  # the source has forgotten it
    (root / "files" / "outcomes-2013-01.parquet").unlink()
    allow(root, 200.0)
    refused = say("data", "quarantine", "replay", "parcels")
    assert refused.exit_code == 3
    assert "--continue" in refused.err
    (taken,) = listed("replay", "parcels", "--continue")
    assert (taken["taken"], taken["set aside before"], taken["set aside now"], taken["rows"]) == (True, 6, 1, ROWS - 1)
    kept = versions.read(Stores(), versions.head(Stores(), project()), "rows", ["2013-01"])  # type: ignore[arg-type]
    assert kept.num_rows == ROWS - 1
    assert kept["weight_kg"].to_pylist().count(120.0) == 2, "the row of nobody's carrier stays out"
    assert entries(decision="ingest")[-1].inputs["replaces"] == entries(decision="ingest")[0].seq
    (held,) = listed("list", "parcels")
    assert held["rows"] == 2
    assert listed("replay", "parcels") == []


def test_a_rejected_batch_is_listed_and_comes_back_whole(root: Path) -> None:
    write_config(root, "parcels")
    write_month(root, "2013-03", spoilt("2013-03", heavy=20, unknown=0), outcomes(rows("2013-03")))
    assert json.loads(say("data", "quarantine", "replay", "parcels", "--continue", "--json").out) != []
    assert say("ingest", "parcels", "2013-03").exit_code == 0
    held = next(one for one in listed("list", "parcels") if one["period"] == "2013-03")
    assert (held["rejected"], held["rows"]) == (True, ROWS)
    assert pq.read_table(Stores().var / held["path"] / "rows.parquet").num_rows == ROWS
    said = say("data", "quarantine", "show", "parcels", "2013-03").out
    assert "the batch was rejected: 20 of 40 rows" in said
    allow(root, 200.0)
    (taken,) = listed("replay", "parcels", "2013-03", "--continue")
    assert (taken["taken"], taken["set aside now"], taken["rows"]) == (True, 0, ROWS)


def test_a_period_with_nothing_aside_or_a_lost_file_is_named(root: Path) -> None:
    for verb in ("show", "replay"):
        said = say("data", "quarantine", verb, "parcels", "2013-02")
        assert said.exit_code == 2
        assert "no period with rows in quarantine named '2013-02'" in said.err
    held = listed("list", "parcels")[0]
    (Stores().var / held["path"]).unlink()
    said = say("data", "quarantine", "list", "parcels")
    assert said.exit_code == 6
    assert held["path"] in said.err
    assert "Traceback" not in said.err


def project() -> Any:
    from pillars import project_file

    return project_file.load(Stores().config_file("parcels"))
