"""What a model must beat to be worth its keep: what it would say of everybody, and a linear model."""

from __future__ import annotations

import warnings

import numpy as np

from pillars.bundle.encoder import MISSING, Encoder
from pillars.config import Project
from pillars.training.metrics import average, middle
from pillars.training.rows import Rows
from pillars.training.streamed import Streamed, newest_of

LINEAR_ROWS = 20_000  # the newest; more rows did not change its place on the scorecard
STEPS = 60  # of the solver at most: a baseline may stop early
WIDEST = 5.0  # standard deviations; linear models do not bear heavy tails


def constant(project: Project, fit_rows: Rows | Streamed, rows: int) -> np.ndarray:
    """The same for everybody: base rate (rows,), shares of the classes (rows, classes), or what loses least, mean or median (rows,)."""
    match project.task:
        case "multiclass":
            shares = np.bincount(fit_rows.y.astype(np.int64), weights=fit_rows.weights, minlength=len(project.classes))
            return np.tile(shares / shares.sum(), (rows, 1))
        case "regression" if project.gate.loss == "absolute_error":
            return np.full(rows, middle(fit_rows.y, fit_rows.weights))
        case _:
            return np.full(rows, average(fit_rows.y, fit_rows.weights))


def linear(project: Project, fit_rows: Rows | Streamed, judged: Rows) -> np.ndarray:
    """Scores of a linear model on scaled numbers and one-hot categories, for the m judged rows, float64.

    A logistic regression: probabilities, shape (m,), of several classes (m, classes). Of numbers: a ridge regression, shape (m,).
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression, Ridge

    sample = newest_of(fit_rows, LINEAR_ROWS)
    if len(np.unique(sample.y)) < 2:
        return constant(project, sample, len(judged.y))
    features = project.features
    encoder = Encoder.fit(sample.columns, features.numeric, features.categorical, features.min_category_rows)
    learned_on, asked = encoder.encode(sample.columns), encoder.encode(judged.columns)
    number = project.task == "regression"
    model = Ridge(alpha=1.0) if number else LogisticRegression(C=1.0, max_iter=STEPS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a baseline may stop early
        model.fit(_linear(encoder, learned_on, learned_on), sample.y, sample_weight=sample.weights)
    wide = _linear(encoder, asked, learned_on)
    if number:
        return np.asarray(model.predict(wide), dtype=np.float64)
    told = np.asarray(model.predict_proba(wide), dtype=np.float64)
    if project.task == "binary":
        return told[:, 1]
    every = np.zeros((len(told), len(project.classes)))  # a class that the sample lacks has no chance
    every[:, model.classes_.astype(np.int64)] = told
    return every


def _linear(encoder: Encoder, encoded: np.ndarray, learned_on: np.ndarray) -> np.ndarray:
    """Columns for a linear model, float32: numbers scaled as in `learned_on`, missing ones as their mean, and one column per category."""
    count = len(encoder.numeric)
    known = np.where(learned_on[:, :count] == MISSING, np.nan, learned_on[:, :count]).astype(np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # a column without any value
        mean, spread = np.nan_to_num(np.nanmean(known, axis=0)), np.nan_to_num(np.nanstd(known, axis=0))
    numbers = np.where(encoded[:, :count] == MISSING, mean, encoded[:, :count].astype(np.float64))
    scaled = np.clip((numbers - mean) / np.where(spread > 0, spread, 1.0), -WIDEST, WIDEST).astype(np.float32)
    hot = [
        encoded[:, [place]] == np.arange(len(encoder.codes[name]) + 1, dtype=np.float32)
        for place, name in enumerate(encoder.categorical, start=count)
    ]
    return np.hstack([scaled, *(one.astype(np.float32) for one in hot)])
