"""The serving door to XGBoost: boosters from their UBJ bytes, and the mean of their scores."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from xgboost import Booster


def load(files: Sequence[bytes], threads: int = 1) -> tuple[Booster, ...]:
    """Boosters ready to predict with `threads` threads each (a row's score does not depend on it).

    Raises:
        ValueError: bytes that XGBoost cannot read.
    """
    import xgboost

    loaded = []
    for content in files:
        booster = xgboost.Booster({"nthread": threads})
        try:
            booster.load_model(bytearray(content))
        except xgboost.core.XGBoostError as err:
            raise ValueError(f"XGBoost cannot read the booster ({str(err).splitlines()[0]})") from err
        loaded.append(booster)
    return tuple(loaded)


def scores(boosters: Sequence[Booster], encoded: np.ndarray, classes: int = 0) -> np.ndarray:
    """Mean over the boosters, float64, for encoded rows (float32, shape (n, features)).

    Shape (n,): a probability in [0, 1], or the number itself; with `classes`, shape (n, classes): a probability for each.
    """
    total = np.zeros((len(encoded), classes) if classes else len(encoded), dtype=np.float64)
    if len(encoded):
        for booster in boosters:  # one after the other: the order of the sum is part of the score
            total += booster.inplace_predict(encoded, validate_features=False)
    return total / len(boosters)


def contributions(boosters: Sequence[Booster], encoded: np.ndarray) -> np.ndarray:
    """Mean over the boosters of what each encoded column adds to a row's margin; see `Bundle.contributions`."""
    import xgboost

    rows = xgboost.DMatrix(encoded, nthread=1)
    return np.mean([booster.predict(rows, pred_contribs=True, validate_features=False) for booster in boosters], axis=0)


def objective(booster: Booster) -> str:
    """What it was fitted to minimize, by XGBoost's name: `binary:logistic`."""
    return str(json.loads(booster.save_config())["learner"]["objective"]["name"])


def gains(boosters: Sequence[Booster], features: int) -> np.ndarray:
    """Share of each encoded column in the boosters' total gain, float64, shape (features,), summing to 1 (or all 0 without a split)."""
    total = np.zeros(features)
    for booster in boosters:
        for name, gain in booster.get_score(importance_type="total_gain").items():
            total[int(name.removeprefix("f"))] += float(np.asarray(gain).sum())
    return total / total.sum() if total.any() else total
