"""What the timetable says: known months ahead."""

from __future__ import annotations

from datetime import date

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from projects.flights.raw import Raw

DAYS = (
    (1, 1),
    (1, 21),
    (2, 18),
    (5, 27),
    (7, 4),
    (9, 2),
    (10, 14),
    (11, 11),
    (11, 28),
    (12, 25),
    (13, 1),
)  # federal, of 2013 and the next
HOLIDAYS = np.array([date(2013 + month // 13, (month - 1) % 12 + 1, day).toordinal() for month, day in DAYS])


def timetable(raw: Raw) -> dict[str, pa.Array]:
    """Columns (n,): local departure and arrival, weekday (1: Monday), length, days to the nearest federal holiday (negative: since)."""
    day = raw.local.cast(pa.date32()).cast(pa.int32()).to_numpy().astype(np.int64) + date(1970, 1, 1).toordinal()
    days, place = np.unique(day, return_inverse=True)
    apart = HOLIDAYS[None, :] - days[:, None]
    nearest = apart[np.arange(len(days)), np.abs(apart).argmin(axis=1)]
    return {
        "hour": pa.array(raw.ints("hour")),
        "minute": pa.array(raw.ints("minute")),
        "arrival_hour": pa.array(raw.ints("sched_arr_time") // 100),
        "day_of_week": pc.day_of_week(raw.local, count_from_zero=False),
        "holiday_days": pa.array(nearest[place]),
        "duration_min": pa.array(raw.duration),
        "distance": pa.array(raw.ints("distance")),
    }
