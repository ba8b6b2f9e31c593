"""Groups of rows: missing and new ones are named, and nothing is said of a few rows."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from pillars.data import coverage, versions
from pillars.data.cleaning import prepare
from pillars.data.validation_page import page
from pillars.stores import Stores
from tests.pillars.data.batches import NOW, collected, outcomes, project, rows

PARCELS = project(coverage={"segments": ["carrier"], "floor": 10}, suite=[])


def states(batch: dict[str, int], population: dict[str, int], floor: int = 30) -> dict[str, str]:
    return {s.value: s.state for s in coverage.compare("origin", batch, population, floor)}


def test_a_group_that_stops_is_missing_and_one_that_begins_is_new() -> None:
    assert states({"EWR": 400, "SWF": 40}, {"EWR": 5000, "LGA": 5000}) == {"EWR": "present", "LGA": "missing", "SWF": "new"}


def test_below_the_floor_nothing_is_claimed() -> None:
    assert states({"EWR": 400, "SWF": 29}, {"EWR": 9900, "LGA": 100}) == {"EWR": "present", "LGA": "no_claim", "SWF": "no_claim"}
    assert set(states({"EWR": 400}, {}).values()) == {"no_claim"}


def test_a_null_is_a_group_too() -> None:
    assert coverage.count(pa.table({"origin": ["EWR", None, None]}), "origin") == Counter({coverage.NONE: 2, "EWR": 1})


def test_a_batch_is_held_against_the_earlier_periods_with_outcomes(stores: Stores) -> None:
    for period in ("2013-01", "2013-02"):
        table = rows(period, n=60)
        if period == "2013-02":
            table = table.set_column(3, "carrier", pa.array(["A"] * 40 + ["D"] * 20))
        made = prepare(stores, PARCELS, collected(stores, PARCELS, table, outcomes(table), period))
        version = versions.publish(stores, PARCELS, made, NOW)
    covered = coverage.report(stores, PARCELS, version, "2013-02")
    assert covered.against == ("2013-01",)
    assert (covered.of("missing"), covered.of("new")) == (("carrier=B", "carrier=C"), ("carrier=D",))
    assert not coverage.report(stores, PARCELS, version, "2013-01").of("missing")
    text = page(made.validation, covered)
    assert "against 2013-01" in text
    assert text.count("missing</span>") == 2
    assert "Groups of rows" not in page(made.validation)


@pytest.mark.parametrize(
    ("segment", "why"),
    [
        pytest.param("carier", "not declared under columns; nearest: carrier", id="unknown"),
        pytest.param("person", "is personal or sensitive", id="protected"),
        pytest.param("weight_kg", "must be a category", id="number"),
        pytest.param("late", "must be a category", id="outcome"),
    ],
)
def test_columns_that_are_no_groups_are_refused(segment: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        project(coverage={"segments": [segment]})
