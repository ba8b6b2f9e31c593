"""Nothing that happens after the prediction moment reaches a row: the future is scrambled, and the past must not notice."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pytest

from pillars import project_file
from pillars.bundle.encoder import Encoder
from pillars.development import features
from projects.flights import past, plane, traffic, weather
from projects.flights.clock import minutes
from projects.flights.future import scrambled, until
from projects.flights.raw import Raw
from projects.flights.weather import observed
from projects.flights.windows import Ints
from projects.flights.year import build
from tests.clone import CHECKOUT
from tests.projects.years import HORIZON_MIN, whole_raw, whole_year

PROJECT = project_file.load(CHECKOUT / "configs" / "flights.yaml")
DAY_MIN = 1440


def minute(day: str) -> int:
    return int(minutes(pa.chunked_array([pa.array([np.datetime64(day, "s")])]))[0])


def asked_before(raw: Raw, moment: int) -> int:
    """How many of the flights, which are in the order of their departures, have been asked about by a moment."""
    return int(np.searchsorted(raw.scheduled, moment + HORIZON_MIN, side="right"))


def moments(month: int, count: int = 2) -> list[int]:
    """Prediction moments of flights of a month, drawn by its number: at such a moment a leak of one minute is one."""
    rng, of_month = np.random.default_rng(month), np.flatnonzero(whole_raw().ints("month") == month)
    return [int(whole_raw().scheduled[i]) - HORIZON_MIN for i in rng.choice(of_month, count, replace=False)]


@lru_cache(maxsize=1)
def encoder() -> Encoder:
    """One that a bundle of January and February would carry."""
    columns = features.design(PROJECT, whole_year().rows.slice(0, 50_000))
    return Encoder.fit(columns, PROJECT.features.numeric, PROJECT.features.categorical, PROJECT.features.min_category_rows)


def encoded(rows: pa.Table) -> bytes:
    """What a model would be given."""
    return encoder().encode(features.design(PROJECT, rows)).tobytes()


@pytest.mark.parametrize("month", range(1, 13))
def test_whatever_comes_after_a_moment_no_row_asked_about_by_then_changes_in_any_bit(month: int):
    for now in moments(month):
        raw = until(whole_raw(), now + 2 * DAY_MIN)
        known = asked_before(raw, now)
        found, expected = build(scrambled(raw, now, month, HORIZON_MIN), HORIZON_MIN).rows, whole_year().rows
        for name in found.column_names:
            assert found[name].slice(0, known).equals(expected[name].slice(0, known)), (now, name)
        since = asked_before(raw, now - DAY_MIN)
        assert encoded(found.slice(since, known - since)) == encoded(expected.slice(since, known - since))
        assert not found.slice(known, 200).equals(expected.slice(known, 200)), "the future was not scrambled"


CUTS = [pytest.param("2013-02-08T21:17", id="a blizzard"), pytest.param("2013-07-10T22:45", id="a thunderstorm")]


@pytest.mark.parametrize("cut", CUTS)
def test_rows_asked_for_before_a_moment_do_not_depend_on_what_comes_after_it(cut: str):
    raw, now = whole_raw(), minute(cut)
    known = asked_before(raw, now)
    found = build(scrambled(raw, now, 7, HORIZON_MIN), HORIZON_MIN).rows
    assert known > 30_000
    for name in found.column_names:
        assert found[name].slice(0, known).equals(whole_year().rows[name].slice(0, known)), name
    assert not found.slice(known, 2_000).equals(whole_year().rows.slice(known, 2_000))


Family = Callable[[Raw, Ints], dict[str, pa.Array]]
LEAKS = [
    pytest.param(weather.weather, 51, "temp", id="weather at its label"),
    pytest.param(plane.previous_leg, 300, "previous_departure_delay", id="the previous leg leaves later"),
    pytest.param(plane.previous_leg, 300, "previous_arrival_delay", id="the previous leg lands later"),
    pytest.param(plane.fleet, 15, "fleet_seats", id="planes that flew the route later"),
    pytest.param(past.past, 1, "past_late_dest", id="a minute more in the target encoding"),
    pytest.param(past.past, 15, "past_delay_carrier_origin", id="landings of a later quarter in the mean delay"),
    pytest.param(past.past, 60, "past_n_carrier_dest_28d", id="landings of the coming hour counted"),
    pytest.param(traffic.traffic, 1, "landed_n_180_all", id="a minute more of landings counted"),
    pytest.param(traffic.traffic, 15, "waiting_all", id="departures of the next quarter no longer wait"),
]


@pytest.mark.parametrize(("family", "late_min", "column"), LEAKS)
def test_the_scrambling_shows_a_family_that_asks_too_late(family: Family, late_min: int, column: str):
    """Each kind of leak, planted: a column asked for as if its moment were `late_min` minutes later. Asked in time it does not change."""

    def changed(late_min: int, now: int) -> bool:
        raw = until(whole_raw(), now + 2 * DAY_MIN)
        known = asked_before(raw, now)
        both = [
            family(one, one.scheduled - HORIZON_MIN + late_min)[column].slice(0, known)
            for one in (raw, scrambled(raw, now, 7, HORIZON_MIN))
        ]
        return not both[0].equals(both[1])

    busy = minute("2013-07-10T22:45" if family is plane.previous_leg else "2013-01-30T23:00")  # legs are still under way in a storm alone
    assert not changed(0, busy)
    assert changed(late_min, busy)


def test_weather_is_the_last_complete_hour_and_never_a_later_one():
    raw, rows = whole_raw(), whole_year().rows
    station, reading, complete = raw.weather["origin"].to_numpy(), raw.weather["temp"].to_numpy(), observed(raw)
    rng = np.random.default_rng(3)
    for i in rng.choice(rows.num_rows, 200, replace=False):
        asked = raw.scheduled[i] - HORIZON_MIN
        at = np.flatnonzero((station == rows["origin"][i].as_py()) & (complete <= asked) & (complete >= asked - 360))
        expected = reading[at[np.argmax(complete[at])]] if len(at) else None
        assert rows["temp"][i].as_py() == (None if expected is None or np.isnan(expected) else expected)


def test_traffic_and_encodings_are_what_plain_counting_gives():
    raw, rows = whole_raw(), whole_year().rows
    origin, dest = (raw.flights[name].to_numpy() for name in ("origin", "dest"))
    late_out, late_in = raw.ints("dep_delay") > 15, raw.ints("arr_delay") > 15
    rng = np.random.default_rng(4)
    for i in rng.choice(np.arange(5_000, rows.num_rows), 40, replace=False):
        asked = raw.scheduled[i] - HORIZON_MIN
        left = (origin == origin[i]) & (raw.departed < asked) & (raw.departed >= asked - 60)
        assert rows["left_late_60_origin"][i].as_py() == (late_out[left].sum() / left.sum() if left.any() else None)
        waits = (origin == origin[i]) & (raw.scheduled < asked) & (raw.scheduled >= asked - 180) & (raw.departed >= asked)
        assert rows["waiting_origin"][i].as_py() == waits.sum()
        assert rows["waiting_min_origin"][i].as_py() == ((asked - raw.scheduled[waits]).sum() / waits.sum() if waits.any() else None)
        landed = raw.landed < asked
        there = landed & (dest == dest[i])
        rate = late_in[landed].sum() / landed.sum()
        assert rows["past_late_dest"][i].as_py() == (late_in[there].sum() + 50 * rate) / (there.sum() + 50)
        recent = there & (raw.landed >= asked - 180)
        assert rows["landed_delay_180_dest"][i].is_valid == bool(recent.any())
