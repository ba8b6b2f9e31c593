"""Our side of `bench.automl`: the search of a retraining, and the fit of what it found on all rows."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.automl_side import FOLDER, TOLD, tell
from bench.laid import arrays, project_of, rows_of
from pillars.bundle import booster
from pillars.development import models
from pillars.stores import Stores
from pillars.training.fitting import Ground, fit
from pillars.training.rows import Rows, subset
from pillars.training.tuning import tune

SETTINGS: dict[str, Any] = {
    "encodings": ["codes", "onehot", "native"],
    "growth": ["depth", "leaves"],
    "average": 4,
    "trials": 150,
    "lead": "best",
}
FEW = 10_000  # rows; of fewer without an order in time, all take their turn at validating, and trees may be shallow and many
FOLDS: dict[str, Any] = {"by": "outcome", "count": 5}
SLOW: dict[str, Any] = {
    "max_rounds": 1000,
    "space": {
        "eta": {"low": 0.02, "high": 0.3, "log": True},
        "max_depth": {"low": 2, "high": 9},
        "min_child_weight": {"low": 1, "high": 100, "log": True},
        "subsample": {"low": 0.5, "high": 1},
        "colsample_bytree": {"low": 0.2, "high": 1},
        "reg_lambda": {"low": 0.5, "high": 50, "log": True},
    },
}
SHARE = 0.8  # of the seconds for the search; the fit of what it found on all rows takes the others


if __name__ == "__main__":
    train, test = (pq.read_table(FOLDER / f"{name}.parquet") for name in ("train", "test"))
    parts, y = np.load(FOLDER / "parts.npy"), train.column("y").to_pylist()
    train, started = train.drop_columns(["y"]), time.perf_counter()
    few = train.num_rows < FEW and not TOLD["ordered"]
    search = {"seed": TOLD["seed"], "seconds": SHARE * TOLD["seconds"], **SETTINGS, **(SLOW if few else {})}
    folds = FOLDS if few else None
    project = project_of(train, TOLD["task"], TOLD["classes"], "day" if TOLD["ordered"] else "row", search, folds=folds)
    rows = rows_of(train, y, np.load(FOLDER / "blocks.npy"), TOLD["classes"])
    periods = [
        f"{2000 + part // 12}-{part % 12 + 1:02}" for part in range(int(parts.max()) + 2)
    ]  # the last one would judge: it has no rows

    def read(wanted: Sequence[str]) -> Rows:
        """The rows of some parts."""
        return subset(rows, np.flatnonzero(np.isin(parts, [periods.index(period) for period in wanted])))

    with tempfile.TemporaryDirectory() as folder:
        stores = Stores(root=Path(folder), var=Path(folder) / "var", threads=2)
        prior = models.prior_recipe(project)
        found = tune(stores, project, read, periods, periods[-1], models.stock_recipe(project), [prior])
        ground = Ground(project, rows)
        boosters = fit(ground, found.recipe, 2)
        loaded, columns = booster.load(boosters, 2), arrays(test)

        def predict() -> np.ndarray:
            """What the comparison takes."""
            return booster.scores(loaded, ground.encoder.encode(columns), len(TOLD["classes"]))

        tell(started, predict, sum(map(len, boosters)), f"{found.recipe.name}, {len(found.leaderboard)} tried; {found.verdict}")
