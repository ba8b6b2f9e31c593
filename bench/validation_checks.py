"""What the sides of the validation bench check. It imports nothing: one of them runs in an environment of its own."""

from __future__ import annotations

KEY = ["flight", "departs"]
FULL = (*KEY, "carrier", "origin", "dest", "distance")  # without a null
SETS = {"carrier": ["UA", "AA", "DL", "B6", "WN", "EV", "MQ", "US", "9E", "VX"], "origin": ["JFK", "LGA", "EWR"]}
RANGES: dict[str, tuple[float, float]] = {
    "distance": (50, 5000),
    "minute": (0, 59),
    "hour": (0, 23),
    "month": (1, 12),
    "dep_delay": (-200, 2000),
    "arr_delay": (-300, 2000),
    "air_time": (10, 800),
    "temp": (-60, 140),
    "humid": (0, 100),
    "pressure": (900, 1100),
}
