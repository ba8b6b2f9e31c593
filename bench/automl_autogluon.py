"""AutoGluon's side of `bench.automl`; runs in its own environment. `best` asks for the preset best_quality."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from autogluon.tabular import TabularPredictor
from automl_side import TOLD, frames, newest, tell

METRIC = {"binary": "log_loss", "multiclass": "log_loss", "regression": "root_mean_squared_error"}

if __name__ == "__main__":
    x, y, test = frames()
    rows, task, best = x.assign(y=y.to_numpy()), TOLD["task"], sys.argv[2] == "best"
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        predictor = TabularPredictor("y", problem_type=task, eval_metric=METRIC[task], path=folder, verbosity=0)
        asked = {"time_limit": TOLD["seconds"], "num_cpus": 2, "presets": "best_quality" if best else "medium_quality"}
        if TOLD["ordered"] and not best:
            predictor.fit(rows[~newest()], tuning_data=rows[newest()], **asked)
        else:
            predictor.fit(rows, **asked)
        if not best:
            predictor.refit_full()

        def predict() -> np.ndarray:
            """What the comparison takes."""
            if task == "regression":
                return predictor.predict(test).to_numpy()
            p = predictor.predict_proba(test)
            return p[TOLD["classes"]].to_numpy() if TOLD["classes"] else p[1].to_numpy()

        kept = Path(folder) / "kept"
        predictor.clone_for_deployment(str(kept))
        size = sum(one.stat().st_size for one in kept.rglob("*") if one.is_file())
        tell(started, predict, size, predictor.model_best)
