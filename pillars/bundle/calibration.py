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
    """Calibrated probabilities, float64, in [0, 1]; shape (n,), of several classes (n, classes).

    none: unchanged. sigmoid: 1 / (1 + exp(-(a logit(p) + b))) (Platt 1999, on logits). isotonic: linear between the knots (x, y).
    sigmoid_each, isotonic_each: each class against the rest by its own, then divided by their sum (Zadrozny and Elkan 2002, section 4);
    `knots` says how many of (x, y) each class has. A row in which no class is left keeps its probabilities.

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
        case "sigmoid_each":
            a, b = np.asarray(calibration["a"], np.float64), np.asarray(calibration["b"], np.float64)
            return _shared(1 / (1 + np.exp(-(a * logit(probability) + b))), probability)
        case "isotonic_each":
            ends = np.cumsum(np.asarray(calibration["knots"], np.int64))[:-1]
            knots = zip(*(np.split(np.asarray(calibration[name], np.float64), ends) for name in "xy"), strict=True)
            each = [np.interp(probability[:, place], x, y) for place, (x, y) in enumerate(knots)]
            return _shared(np.column_stack(each), probability)
        case kind:
            raise ValueError(f"unknown calibration {kind!r}")


def _shared(each: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    """Rows of (n, classes) divided by their sums, added class by class: a row's sum does not depend on the others."""
    total = np.zeros(len(each))
    for place in range(each.shape[1]):
        total += each[:, place]
    left = (total > 0)[:, None]
    return np.where(left, each / np.where(left, total[:, None], 1.0), otherwise)
