"""How flights like this one fared: expanding and four-week encodings over flights that landed before the prediction moment."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from projects.flights.raw import Raw
from projects.flights.traffic import delays, measure
from projects.flights.windows import Ints, codes, pair, where

SMOOTH = 50  # an expanding late rate starts as if 50 flights had been late at the overall rate
EVER, DAY = None, 1440
PAST = (  # what, over how many days, among which flights
    ("late", 1, "all"),
    ("late", 7, "all"),
    ("late", 28, "all"),
    ("late", EVER, "dest"),
    ("late", EVER, "flight"),
    ("late", 28, "flight"),
    ("delay", EVER, "flight"),
    ("delay", 28, "flight"),
    ("delay", EVER, "carrier_origin"),
    ("delay", EVER, "carrier_dest"),
    ("delay", EVER, "carrier_hour"),
    ("delay", EVER, "origin_hour"),
    ("delay", 28, "dest_hour"),
    ("n", 28, "flight"),
    ("n", 28, "carrier_dest"),
    ("n", 28, "origin_hour"),
)


def past(raw: Raw, asked: Ints) -> dict[str, pa.Array]:
    """Columns (n,): late rates in [0, 1], mean arrival delays (minutes), counts of landed flights. No flight sees its own outcome."""
    carrier, origin, dest, number = (codes(raw.flights[name]) for name in ("carrier", "origin", "dest", "flight"))
    hour = raw.ints("hour")
    groups = {
        "all": np.zeros_like(hour),
        "dest": dest,
        "flight": pair(pair(pair(carrier, number), origin), dest),  # numbers are used again on other routes
        "carrier_origin": pair(carrier, origin),
        "carrier_dest": pair(carrier, dest),
        "carrier_hour": pair(carrier, hour),
        "origin_hour": pair(origin, hour),
        "dest_hour": pair(dest, hour),
    }
    seen = {name: delays(raw, group, raw.landed, "arr_delay") for name, group in groups.items()}
    start, stop = seen["all"].before(groups["all"], groups["all"]), seen["all"].before(groups["all"], asked)
    landed, late = seen["all"].total("n", start, stop), seen["all"].total("late", start, stop)
    rate = late / np.maximum(landed, 1)
    found = {}
    for what, days, name in PAST:
        group, column = groups[name], f"past_{what}_{name}" + (f"_{days}d" if days else "")
        if what == "late" and days is EVER:
            start, stop = seen[name].before(group, groups["all"]), seen[name].before(group, asked)
            count, lates = seen[name].total("n", start, stop), seen[name].total("late", start, stop)
            found[column] = where(landed > 0, (lates + SMOOTH * rate) / (count + SMOOTH))
        else:
            found[column] = measure(seen[name], what, group, asked - days * DAY if days else np.zeros_like(asked), asked)
    return found
