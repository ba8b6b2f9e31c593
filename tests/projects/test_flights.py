"""The source: periods, keys, outcomes, errors, and that the same data gives the same table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pillars.errors import ConfigInvalid, PillarsError, SourceBroken, UnknownName
from projects import flights
from projects.flights import raw as tables
from projects.flights.clock import utc_offsets
from projects.flights.year import build
from tests.projects.years import HORIZON_MIN, quarter, shuffled, whole_year


@pytest.fixture(autouse=True)
def one_year(monkeypatch: pytest.MonkeyPatch) -> None:
    """The source and the tests share one build."""
    monkeypatch.setattr(flights, "_year", lambda horizon_min: whole_year())


def test_the_year_has_twelve_months_and_every_scheduled_flight():
    source = flights.source()
    assert source.periods() == [f"2013-{month:02d}" for month in range(1, 13)]
    assert sum(source.rows(period).num_rows for period in source.periods()) == 336_776


def test_rows_are_unique_and_sorted_by_their_key():
    key = whole_year().rows.select(["scheduled_at", "carrier", "flight"])
    assert key.group_by(key.column_names).aggregate([]).num_rows == key.num_rows
    assert key.sort_by([(name, "ascending") for name in key.column_names]).equals(key.combine_chunks())


def test_every_row_lies_in_its_period():
    source = flights.source()
    for period in ("2013-03", "2013-11", "2013-12"):
        assert set(pc.strftime(source.rows(period)["scheduled_at"], "%Y-%m").to_pylist()) == {period}


def test_local_time_is_the_timetable_s_in_summer_and_winter():
    rows = whole_year().rows
    assert pc.hour(rows["scheduled_at"]).equals(rows["hour"])
    assert pc.minute(rows["scheduled_at"]).equals(rows["minute"])


def test_landing_moments_are_the_arrival_times_on_record(monkeypatch: pytest.MonkeyPatch):
    """Across zones, daylight saving and midnight: the local clock at the destination, a column that nothing is computed from."""
    monkeypatch.setattr(tables, "FLIGHTS", [*tables.FLIGHTS, "arr_time"])
    raw = tables.read()
    zones = dict(zip(raw.airports["faa"].to_pylist(), raw.airports["tzone"].to_pylist(), strict=True))
    local = (raw.landed - utc_offsets(raw.flights["dest"], raw.scheduled, zones)) % 1440
    clock = raw.ints("arr_time")
    landed = raw.known("arr_delay")
    assert landed.sum() == 327_346
    assert (local == (clock // 100 * 60 + clock % 100) % 1440)[landed].all()


def test_outcomes_are_null_exactly_for_cancelled_and_diverted_flights():
    outcomes = whole_year().outcomes
    without = pc.or_(outcomes["cancelled"], outcomes["diverted"])
    assert outcomes["late"].is_null().equals(without)
    assert outcomes["arr_delay_min"].is_null().equals(without)
    assert pc.sum(outcomes["cancelled"]).as_py() == 8_255
    assert pc.sum(outcomes["diverted"]).as_py() == 1_175
    assert pc.greater(outcomes["arr_delay_min"], 15).equals(outcomes["late"])


def test_rows_hold_nothing_of_the_outcome():
    assert not {"dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "tailnum", "cancelled"} & set(whole_year().rows.column_names)


def test_new_destinations_appear_after_january():
    source = flights.source()
    later = set().union(*(source.rows(period)["dest"].unique().to_pylist() for period in source.periods()[1:]))
    assert len(later - set(source.rows("2013-01")["dest"].unique().to_pylist())) == 11


def test_the_same_flights_in_another_order_give_the_same_tables():
    raw = quarter()
    first, second = build(raw, HORIZON_MIN), build(shuffled(raw, seed=1), HORIZON_MIN)
    assert first.rows.equals(second.rows)
    assert first.outcomes.equals(second.outcomes)


def test_a_period_is_the_same_whether_or_not_later_ones_exist():
    short = build(quarter(), HORIZON_MIN)
    assert list(short.starts) == ["2013-01", "2013-02", "2013-03"]
    assert short.rows.equals(whole_year().rows.slice(0, short.rows.num_rows))


def test_a_longer_horizon_sees_less():
    far = build(quarter(), 180).rows
    near = whole_year().rows.slice(0, far.num_rows)
    assert far["previous_departure_delay"].null_count > near["previous_departure_delay"].null_count
    assert far["past_late_flight"].null_count > near["past_late_flight"].null_count


def test_no_value_is_nan_where_null_is_meant():
    rows = whole_year().rows
    for name in rows.column_names:
        if pa.types.is_floating(rows[name].type):
            assert not pc.any(pc.is_nan(rows[name])).as_py(), name


def test_an_unknown_month_names_the_nearest_one():
    for ask in (flights.source().rows, flights.source().outcomes):
        with pytest.raises(UnknownName, match="2013-1") as caught:
            ask("2013-13")
        assert "2013-12" in caught.value.known


@pytest.mark.parametrize(
    "horizon", [pytest.param(-1, id="after departure"), pytest.param(1441, id="over a day"), pytest.param(0.5, id="not whole")]
)
def test_a_horizon_out_of_range_is_refused_before_anything_is_read(horizon: float):
    with pytest.raises(ConfigInvalid, match="horizon_min"):
        flights.source(horizon)  # type: ignore[arg-type]


def test_a_missing_package_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    with pytest.raises(SourceBroken, match="not installed"):
        tables.read()


def test_a_package_without_its_columns_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(tables, "FLIGHTS", [*tables.FLIGHTS, "gate"])
    with pytest.raises(PillarsError, match="gate"):
        tables.read()


def test_an_airport_without_a_time_zone_says_so():
    raw = quarter()
    with pytest.raises(SourceBroken, match="ATL"):
        build(replace(raw, airports=raw.airports.filter(pc.not_equal(raw.airports["faa"], "ATL"))), HORIZON_MIN)


def test_all_figures_come_from_integers(monkeypatch: pytest.MonkeyPatch):
    """Sums of floats depend on the machine; a running sum of floats is refused here."""
    real = np.cumsum

    def exact(values: np.ndarray) -> np.ndarray:
        assert values.dtype.kind in "bi"
        return real(values)

    monkeypatch.setattr(np, "cumsum", exact)
    build(quarter(), HORIZON_MIN)
