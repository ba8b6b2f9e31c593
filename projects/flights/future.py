"""Another future for the year (`pillars data future`): everything from a moment on is replaced, what was known by then stays."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa

from projects.flights import raw as tables
from projects.flights.clock import NEVER
from projects.flights.raw import READINGS, Raw
from projects.flights.weather import observed


def until(raw: Raw, moment: int) -> Raw:
    """The year as if the source ended at a minute of the clock: what comes later is not even there to be scrambled, and costs nothing."""
    flights = raw.flights.slice(0, int(np.searchsorted(raw.scheduled, moment, side="right")))
    return replace(raw, flights=flights, weather=raw.weather.filter(pa.array(observed(raw) <= moment)))


def scrambled(raw: Raw, now: int, seed: int, horizon_min: int) -> Raw:
    """Everything from minute `now` on, replaced: delays and cancellations of what has not left or landed, weather, and for flights that
    nobody has asked about yet also plane and destination; a third of those are gone.
    """
    rng = np.random.default_rng(seed)
    n = len(raw.scheduled)
    left = np.where(rng.random(n) < 0.3, NEVER, np.maximum(now, raw.scheduled - 30) + rng.integers(0, 900, n))
    unasked = raw.scheduled - horizon_min > now
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
