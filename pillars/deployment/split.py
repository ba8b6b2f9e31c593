"""Which arm of a trial an entity belongs to: as the prediction server deals them, so that batch and online agree."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa

from pillars.config_rollout import BASIS
from pillars.vocabulary import Trial


def bucket(entity: bytes, salt: str) -> int:
    """In [0, 10,000): the place of an entity, the same for ever under one salt. Below a challenger's weight it is the challenger's, so that
    nobody leaves while the weight grows."""
    key = blake2b(salt.encode(), digest_size=16).digest()
    return int.from_bytes(blake2b(entity, digest_size=8, key=key).digest(), "big") % BASIS


def entities(rows: pa.Table, names: Sequence[str]) -> list[bytes]:
    """An entity's bytes for every row, from the columns that name it; a null is an entity, too."""
    columns: list[list[Any]] = [rows[name].to_pylist() for name in names]
    return [b"\x1f".join(str(value).encode() for value in values) for values in zip(*columns, strict=True)]


def challengers(trial: Trial, of: Sequence[bytes]) -> np.ndarray:
    """Which rows the challenger answers, bool, (rows,); none of a shadow's."""
    if trial.mode == "shadow":
        return np.zeros(len(of), dtype=bool)
    weight, known = trial.stages[-1].weight_bp, {entity: bucket(entity, trial.salt) for entity in set(of)}
    return np.array([known[entity] < weight for entity in of], dtype=bool)
