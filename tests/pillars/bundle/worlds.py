"""One small bundle on disk."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from pillars.bundle.bundle import write_bundle
from pillars.bundle.encoder import Encoder

LINEAGE = {"data": "23b6ec22.dir", "recipe": {"name": "stock", "params": {"eta": 0.3}, "rounds": 8, "seed": 1, "bags": 2}}


def some_columns(rows: int = 300, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    distance = random.uniform(100, 2000, rows)
    distance[::7] = np.nan
    return {"distance": distance, "carrier": random.choice(np.array(["UA", "AA", None], dtype=object), rows)}


@cache
def some_boosters(bags: int = 2) -> tuple[Encoder, tuple[bytes, ...]]:
    import xgboost

    columns = some_columns()
    encoder = Encoder.fit(columns, ["distance"], ["carrier"], 1)
    late = (np.nan_to_num(columns["distance"]) > 900) ^ (columns["carrier"] == "UA")
    matrix = xgboost.DMatrix(encoder.encode(columns), late)
    params = {"objective": "binary:logistic", "max_depth": 3, "nthread": 1, "subsample": 0.7}
    return encoder, tuple(bytes(xgboost.train({**params, "seed": bag}, matrix, 8).save_raw("ubj")) for bag in range(bags))


def write_some_bundle(path: Path, **changes: Any) -> str:
    encoder, boosters = some_boosters()
    golden = {name: column[:9] for name, column in some_columns().items()}
    parts: dict[str, Any] = {
        "project": "trams",
        "boosters": boosters,
        "encoder": encoder,
        "calibration": {"kind": "sigmoid", "a": 0.9, "b": 0.1},
        "decision": {"threshold": 0.4},
        "schema": {"inputs": [{"name": "distance", "type": "double"}]},
        "golden": golden,
        "lineage": LINEAGE,
    }
    return write_bundle(path, **{**parts, **changes})
