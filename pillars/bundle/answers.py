"""From scores to answers: the class that is expected to cost least, and between which two numbers a number lies. Plain numpy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .encoder import Words


def cheapest(costs: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The place of the class to say, int64, shape (n,): the least expected cost (Elkan 2001, section 1), of equal ones the first.

    `costs`: of what came true and what is said, shape (classes, classes). `probabilities`: (n, classes).
    """
    expected = sum(probabilities[:, [actual]] * costs[actual] for actual in range(len(costs)))  # in this order, so that no batch has a say
    return np.asarray(expected).argmin(axis=1)


def bounds(interval: Mapping[str, Any], score: np.ndarray, ends: np.ndarray | None, groups: np.ndarray | Words | None) -> np.ndarray:
    """Low and high of each number, float64, shape (n, 2); the number itself always lies between them.

    `interval` as `pillars.training.intervals` learned it: its `width`, or that of the row's value among `groups` (str or None, shape (n,)),
    is laid around `score` (n,); of method cqr around `ends`, what the boosters of the two quantiles say, (n, 2).
    """
    inner = np.column_stack([score, score]) if ends is None else np.sort(np.asarray(ends, dtype=np.float64), axis=1)
    of = dict(zip(interval.get("groups", ()), interval.get("widths", ()), strict=True))
    width = np.full(len(score), float(interval["width"]))
    if groups is not None and of:
        width = np.array([of.get(group, width[0]) for group in groups.tolist()], dtype=np.float64)
    return np.column_stack([np.minimum(inner[:, 0] - width, score), np.maximum(inner[:, 1] + width, score)])
