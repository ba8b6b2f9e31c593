"""FLAML's side of `bench.automl`; runs in its own environment."""

from __future__ import annotations

import pickle
import time

import numpy as np
from automl_side import TOLD, frames, newest, tell
from flaml import AutoML

if __name__ == "__main__":
    x, y, test = frames()
    regression, started = TOLD["task"] == "regression", time.perf_counter()
    ordered = {"eval_method": "holdout", "split_type": "time", "split_ratio": float(newest().mean())} if TOLD["ordered"] else {}
    automl = AutoML()
    automl.fit(
        x,
        y,
        task="regression" if regression else "classification",
        metric="rmse" if regression else "log_loss",
        time_budget=TOLD["seconds"],
        seed=TOLD["seed"],
        n_jobs=2,
        verbose=0,
        **ordered,
    )
    classes = TOLD["classes"]

    def predict() -> np.ndarray:
        """What the comparison takes."""
        if regression:
            return automl.predict(test)
        p = automl.predict_proba(test)
        return p[:, [list(automl.classes_).index(name) for name in classes]] if classes else p[:, 1]

    tell(started, predict, len(pickle.dumps(automl.model)), str(automl.best_estimator))
