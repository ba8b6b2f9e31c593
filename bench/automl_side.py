"""What every tool's script of `bench.automl` does alike, whatever environment it runs in: read the rows, say what came of it."""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(sys.argv[1])
TOLD = json.loads((FOLDER / "told.json").read_bytes())


def frames() -> tuple[pd.DataFrame, pd.Series, pd.DataFrame]:
    """Features and target to fit on, features to predict; strings are categories."""
    train, test = (pd.read_parquet(FOLDER / f"{name}.parquet") for name in ("train", "test"))
    y = train.pop("y")
    for name in train.columns:
        if not pd.api.types.is_numeric_dtype(train[name]):
            kinds = pd.CategoricalDtype(sorted(set(train[name]) | set(test[name])))
            train[name], test[name] = train[name].astype(kinds), test[name].astype(kinds)
    return train, y, test


def newest() -> np.ndarray:
    """Which fitting rows are of the newest part, bool, (n,)."""
    parts = np.load(FOLDER / "parts.npy")
    return parts == parts.max()


def tell(started: float, predict: Callable[[], np.ndarray], size_bytes: int, what: str) -> None:
    """Write what was made; `started` by `time.perf_counter`. Rows are predicted twice, and the second time counts."""
    taken = time.perf_counter() - started
    predict()
    begun = time.perf_counter()
    p = np.asarray(predict(), dtype=np.float64)
    per_thousand = (time.perf_counter() - begun) * 1e6 / len(p)
    np.save(FOLDER / "made.npy", p)
    own, children = (resource.getrusage(one).ru_maxrss / 1024 for one in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    told = {"seconds": taken, "predict_ms": per_thousand, "size_mb": size_bytes / 1e6, "peak_mb": max(own, children), "what": what}
    (FOLDER / "made.json").write_text(json.dumps(told))
