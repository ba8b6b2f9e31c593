"""Pieces of the flights' year for tests."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from projects.flights import raw as tables
from projects.flights.raw import Raw
from projects.flights.year import Year, build

HORIZON_MIN = 60


@lru_cache(maxsize=1)
def whole_raw() -> Raw:
    return tables.read()


@lru_cache(maxsize=1)
def whole_year() -> Year:
    return build(whole_raw(), HORIZON_MIN)


def quarter() -> Raw:
    """January to March, as if the source ended there."""
    raw = whole_raw()
    return replace(raw, flights=raw.flights.filter(pc.less_equal(raw.flights["month"], 3)))


def shuffled(raw: Raw, seed: int) -> Raw:
    order = np.random.default_rng(seed).permutation(raw.flights.num_rows)
    return tables.raw(raw.flights.take(pa.array(order)), raw.weather, raw.planes, raw.airports)


def auc_of_null(column: pa.ChunkedArray, positive: np.ndarray, negative: np.ndarray) -> float:
    """AUC of "it is null" as a sign of `positive` (n,) rather than `negative` (n,); .5 tells nothing."""
    null = column.is_null().to_numpy()
    return float(0.5 + (null[positive].mean() - null[negative].mean()) / 2)
