"""Which arm of a trial an entity belongs to: as the prediction server deals them, so that batch and online agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from pillars.deployment.server import routing
from pillars.vocabulary import Trial

ALONE = b"\x1e"  # before the key of a row that is of no entity: it is nobody else's


def entities(rows: pa.Table, names: Sequence[str], key: Sequence[str]) -> list[bytes]:
    """An entity's bytes for every row, from the columns that name it. A row that lacks one of them is an entity of its own, by its `key`,
    as online a request without one is."""
    named, keyed = map(routing.entity_of, _values(rows, names)), _values(rows, key)
    return [
        ALONE + b"\x1f".join(str(value).encode() for value in own) if who is None else who for who, own in zip(named, keyed, strict=True)
    ]


def _values(rows: pa.Table, names: Sequence[str]) -> list[tuple[Any, ...]]:
    return list(zip(*(rows[name].to_pylist() for name in names), strict=True))


def challengers(trial: Trial, of: Sequence[bytes]) -> np.ndarray:
    """Which rows the challenger answers, bool, (rows,); none of a shadow's."""
    if trial.mode == "shadow":
        return np.zeros(len(of), dtype=bool)
    weights, salt = [trial.stages[-1].weight_bp], routing.key(trial.salt)
    known = {entity: routing.challenger(routing.bucket(entity, salt), weights) == 0 for entity in set(of)}
    return np.array([known[entity] for entity in of], dtype=bool)
