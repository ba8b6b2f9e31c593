"""One clock for all moments: whole minutes since `EPOCH` in UTC, so that no hour is missing or double."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from pillars.errors import SourceBroken
from projects.flights.windows import Ints

EPOCH = datetime(2012, 12, 1, tzinfo=UTC)
EPOCH_MIN = int(EPOCH.timestamp()) // 60
NEVER = 1 << 23  # a minute after all others, fifteen years on
UNLISTED = dict.fromkeys(("BQN", "PSE", "SJU", "STT"), "America/Puerto_Rico")  # destinations that the package's airports lack


def minutes(moments: pa.ChunkedArray) -> Ints:
    """Timestamps in UTC as minutes (n,) of the clock."""
    return moments.cast(pa.int64()).to_numpy() // 60 - EPOCH_MIN


def utc_offsets(airport: pa.ChunkedArray, minute: Ints, zones: dict[str, str]) -> Ints:
    """UTC minus local time (n,), in minutes, at each airport and moment; `zones` names each airport's time zone.

    Raises:
        SourceBroken: an airport without a time zone; no arrival there could be placed in time.
    """
    found, listed = airport.combine_chunks().dictionary_encode(), UNLISTED | zones
    if strange := sorted({code for code in found.dictionary.to_pylist() if not listed.get(code)}):
        raise SourceBroken("projects.flights", "all", f"no time zone is known for {', '.join(strange)}")
    names = [listed[code] for code in found.dictionary.to_pylist()]
    hours = int(minute.max(initial=0)) // 60 + 1
    table = {name: _hourly(ZoneInfo(name), hours) for name in sorted(set(names))}
    return np.stack([table[name] for name in names])[found.indices.to_numpy(), minute // 60]


def _hourly(zone: ZoneInfo, hours: int) -> Ints:
    moments = ((EPOCH + timedelta(hours=hour)).astimezone(zone) for hour in range(hours))
    return np.array([-int((moment.utcoffset() or timedelta()).total_seconds()) // 60 for moment in moments])
