"""Nothing that happens after the prediction moment reaches a row: the future is scrambled, and the past must not notice."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from projects.flights import raw as tables
from projects.flights import weather
from projects.flights.clock import NEVER, minutes
from projects.flights.raw import READINGS, Raw
from projects.flights.weather import observed
from projects.flights.year import build
from tests.projects.years import HORIZON_MIN, whole_raw, whole_year


def minute(day: str) -> int:
    return int(minutes(pa.chunked_array([pa.array([np.datetime64(day, "s")])]))[0])


def scrambled(raw: Raw, now: int, seed: int) -> Raw:
    """Everything from minute `now` on, replaced: delays and cancellations of what has not left or landed, weather, and for flights that
    nobody has asked about yet also plane and destination; a third of those are gone.
    """
    rng = np.random.default_rng(seed)
    n = len(raw.scheduled)
    left = np.where(rng.random(n) < 0.3, NEVER, np.maximum(now, raw.scheduled - 30) + rng.integers(0, 900, n))
    unasked = raw.scheduled - HORIZON_MIN > now
    landed = np.maximum(now, raw.scheduled) + rng.integers(0, 2_000, n) + 1440 * unasked  # a day more: their duration changes too
    landed = np.where((rng.random(n) < 0.3) | (left == NEVER), NEVER, landed)
    flights = raw.flights
    flights = _set(flights, "dep_delay", raw.departed >= now, left - raw.scheduled, left == NEVER)
    flights = _set(flights, "arr_delay", raw.landed >= now, landed - raw.scheduled - raw.duration, landed == NEVER)
    other = pa.array(np.where(unasked, rng.permutation(n), np.arange(n)))
    for name in ("tailnum", "dest", "sched_arr_time"):
        flights = flights.set_column(flights.column_names.index(name), name, flights[name].take(other))
    flights = flights.filter(pa.array(~unasked | (rng.random(n) < 0.67)))
    return replace(tables.raw(flights, _other_weather(raw, now), raw.planes, raw.airports))


def _set(table: pa.Table, name: str, at: np.ndarray, values: np.ndarray, null: np.ndarray) -> pa.Table:
    old = table[name].combine_chunks()
    new = pa.array(
        np.where(at, values, old.fill_null(0).to_numpy()), mask=np.where(at, null, ~old.is_valid().to_numpy(zero_copy_only=False))
    )
    return table.set_column(table.column_names.index(name), name, new)


def _other_weather(raw: Raw, now: int) -> pa.Table:
    table, later = raw.weather, observed(raw) > now
    for name in READINGS:
        old = table[name].cast(pa.float64()).combine_chunks()
        known = old.is_valid().to_numpy(zero_copy_only=False)
        new = pa.array(np.where(later, 999.0, old.fill_null(0).to_numpy()), mask=~known & ~later)
        table = table.set_column(table.column_names.index(name), name, new)
    return table


CUTS = [pytest.param("2013-02-08T21:17", id="a blizzard"), pytest.param("2013-07-10T22:45", id="a thunderstorm")]


@pytest.mark.parametrize("cut", CUTS)
def test_rows_asked_for_before_a_moment_do_not_depend_on_what_comes_after_it(cut: str):
    raw, now = whole_raw(), minute(cut)
    known = int(np.searchsorted(raw.scheduled, now + HORIZON_MIN, side="right"))
    found = build(scrambled(raw, now, seed=7), HORIZON_MIN).rows
    assert known > 30_000
    for name in found.column_names:
        assert found[name].slice(0, known).equals(whole_year().rows[name].slice(0, known)), name
    assert not found.slice(known, 2_000).equals(whole_year().rows.slice(known, 2_000))


def test_the_scrambling_would_show_weather_taken_at_its_label(monkeypatch: pytest.MonkeyPatch):
    raw, now = whole_raw(), minute("2013-07-10T22:45")
    changed = scrambled(raw, now, seed=7)
    monkeypatch.setattr(weather, "COMPLETE_MIN", 0)
    asked = raw.scheduled[raw.scheduled <= now + HORIZON_MIN] - HORIZON_MIN
    before = weather.weather(replace(raw, flights=raw.flights.slice(0, len(asked))), asked)
    after = weather.weather(replace(changed, flights=changed.flights.slice(0, len(asked))), asked)
    assert not before["temp"].equals(after["temp"])


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
