"""Plain Optuna's side of `bench.automl`: its defaults, cross_val_score, XGBoost's estimator, until the seconds are over."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import optuna
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from xgboost import XGBClassifier, XGBModel, XGBRegressor

from bench.automl_side import TOLD, frames, tell
from bench.plain import distribution
from pillars.training.trials import SPACE

ROUNDS = 200

if __name__ == "__main__":
    x, y, test = frames()
    regression, started = TOLD["task"] == "regression", time.perf_counter()
    if TOLD["classes"]:
        y = y.map({name: place for place, name in enumerate(TOLD["classes"])})
    scoring = "neg_root_mean_squared_error" if regression else "neg_log_loss"
    splits = TimeSeriesSplit(5) if TOLD["ordered"] else 5

    def model(given: dict[str, Any]) -> XGBModel:
        """XGBoost's estimator with some parameters."""
        kind = XGBRegressor if regression else XGBClassifier
        return kind(n_estimators=ROUNDS, n_jobs=2, random_state=TOLD["seed"], enable_categorical=True, **given)

    def objective(trial: optuna.Trial) -> float:
        """Mean loss over the folds."""
        given = {name: trial._suggest(name, distribution(one)) for name, one in SPACE.items()}
        return float(-cross_val_score(model(given), x, y, cv=splits, scoring=scoring).mean())

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=TOLD["seed"]))
    study.optimize(objective, timeout=TOLD["seconds"])
    best = model(study.best_params).fit(x, y)

    def predict() -> np.ndarray:
        """What the comparison takes."""
        if regression:
            return best.predict(test)
        p = best.predict_proba(test)
        return np.asarray(p) if TOLD["classes"] else p[:, 1]

    tell(started, predict, len(best.get_booster().save_raw("ubj")), f"{len(study.trials)} trials")
