"""Golden rows: a few real rows as JSON that reads back to the same bits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

LARGEST = float(np.finfo(np.float64).max)  # JSON has no infinity; both encode alike


def to_json(columns: Mapping[str, np.ndarray]) -> dict[str, list[Any]]:
    """Raw columns, each of shape (n,): numbers as shortest decimals that read back equal, NaN and None as null."""
    return {name: [_value(v) for v in np.asarray(column).tolist()] for name, column in columns.items()}


def from_json(content: Mapping[str, list[Any]]) -> dict[str, np.ndarray]:
    """Columns as `Encoder.encode` takes them: text (and null) as objects, everything else as float64 with NaN."""
    return {name: np.array(v, dtype=object if any(isinstance(x, str) for x in v) else np.float64) for name, v in content.items()}


def _value(value: Any) -> Any:
    if isinstance(value, str) or value is None:
        return value
    return None if np.isnan(value) else float(np.clip(value, -LARGEST, LARGEST))
