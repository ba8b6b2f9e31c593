"""The finished year: one row per scheduled flight as it looked at its prediction moment, and the outcomes apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from projects.flights.past import past
from projects.flights.plane import fleet, previous_leg
from projects.flights.raw import Raw
from projects.flights.timetable import timetable
from projects.flights.traffic import LATE_MIN, traffic
from projects.flights.weather import weather


@dataclass(frozen=True)
class Year:
    """`rows` and `outcomes`, (n,) each, in key order; `starts`: period to its first row and the first row after it."""

    rows: pa.Table
    outcomes: pa.Table
    starts: dict[str, tuple[int, int]]


def build(raw: Raw, horizon_min: int) -> Year:
    """Everything known `horizon_min` minutes before each scheduled departure: seconds for the year, bytes equal on every machine."""
    asked = raw.scheduled - horizon_min
    key = {"scheduled_at": raw.local, "carrier": raw.flights["carrier"], "flight": raw.flights["flight"]}
    place = {"origin": raw.flights["origin"], "dest": raw.flights["dest"]}
    known = [family(raw, asked) for family in (weather, traffic, previous_leg, fleet, past)]
    rows = pa.table({**key, **place, **timetable(raw), **{name: column for family in known for name, column in family.items()}})
    return Year(rows, pa.table({**key, **_outcomes(raw)}), _periods(raw))


def _outcomes(raw: Raw) -> dict[str, pa.Array]:
    """What is known later: a flight that was cancelled or diverted is neither late nor in time."""
    left, landed = raw.known("dep_delay"), raw.known("arr_delay")
    delay = raw.ints("arr_delay")
    return {
        "late": pa.array(delay > LATE_MIN, mask=~landed),
        "arr_delay_min": pa.array(delay.astype(np.float64), mask=~landed),
        "cancelled": pa.array(~left),
        "diverted": pa.array(left & ~landed),
    }


def _periods(raw: Raw) -> dict[str, tuple[int, int]]:
    month = raw.ints("year") * 100 + raw.ints("month")
    found, first = np.unique(month, return_index=True)
    ends = [*first[1:], len(month)]
    return {f"{m // 100}-{m % 100:02d}": (int(a), int(b)) for m, a, b in zip(found.tolist(), first, ends, strict=True)}
