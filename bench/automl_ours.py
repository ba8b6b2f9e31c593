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

SETTINGS: dict[str, Any] = {"encodings": ["codes", "onehot", "native"], "growth": ["depth", "leaves"], "average": 4, "trials": 150}
SHARE = 0.8  # of the seconds for the search; the fit of what it found on all rows takes the others


if __name__ == "__main__":
    train, test = (pq.read_table(FOLDER / f"{name}.parquet") for name in ("train", "test"))
    parts, y = np.load(FOLDER / "parts.npy"), train.column("y").to_pylist()
    train, started = train.drop_columns(["y"]), time.perf_counter()
    search = {"seed": TOLD["seed"], "seconds": SHARE * TOLD["seconds"], **SETTINGS}
    project = project_of(train, TOLD["task"], TOLD["classes"], "day" if TOLD["ordered"] else "row", search)
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
