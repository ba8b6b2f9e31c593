"""From a booster's probability to a calibrated one. What is kept is JSON; how it is learned is `pillars.training.calibrating`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

NONE: dict[str, Any] = {"kind": "none"}
EDGE = 1e-7  # float32 probabilities closer to 0 or 1 than this carry no information


def logit(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), p held in [EDGE, 1 - EDGE]; any shape."""
    held = np.clip(probability, EDGE, 1 - EDGE)
    return np.log(held) - np.log1p(-held)


def apply(calibration: Mapping[str, Any], probability: np.ndarray) -> np.ndarray:
    """Calibrated probabilities, float64, shape (n,), in [0, 1].

    none: unchanged. sigmoid: 1 / (1 + exp(-(a logit(p) + b))) (Platt 1999, on logits). isotonic: linear between the knots (x, y).

    Raises:
        ValueError: a kind that this code does not know.
    """
    probability = np.asarray(probability, dtype=np.float64)
    match calibration["kind"]:
        case "none":
            return probability
        case "sigmoid":
            return 1 / (1 + np.exp(-(calibration["a"] * logit(probability) + calibration["b"])))
        case "isotonic":
            return np.interp(probability, np.asarray(calibration["x"], np.float64), np.asarray(calibration["y"], np.float64))
        case kind:
            raise ValueError(f"unknown calibration {kind!r}")
