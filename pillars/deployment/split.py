"""Which arm of a trial an entity belongs to: as the prediction server deals them, so that batch and online agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pillars.deployment.server import routing
from pillars.vocabulary import Trial


def entities(rows: pa.Table, names: Sequence[str]) -> list[bytes]:
    """An entity's bytes for every row, from the columns that name it; a null is an entity, too."""
    columns: list[list[Any]] = [rows[name].to_pylist() for name in names]
    return [b"\x1f".join(str(value).encode() for value in values) for values in zip(*columns, strict=True)]


def challengers(trial: Trial, of: Sequence[bytes]) -> np.ndarray:
    """Which rows the challenger answers, bool, (rows,); none of a shadow's."""
    if trial.mode == "shadow":
        return np.zeros(len(of), dtype=bool)
    weights, salt = [trial.stages[-1].weight_bp], routing.key(trial.salt)
    known = {entity: routing.challenger(routing.bucket(entity, salt), weights) == 0 for entity in set(of)}
    return np.array([known[entity] for entity in of], dtype=bool)
