"""What a model must beat to be worth its keep: what it would say of everybody, a linear model, and other families as they come."""

from __future__ import annotations

import warnings
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np

from pillars.bundle.encoder import MISSING, Encoder
from pillars.config import Comparator, Project
from pillars.errors import ConfigInvalid
from pillars.stores import Stores
from pillars.training.heldout import kept
from pillars.training.metrics import average, middle
from pillars.training.rows import Rows
from pillars.training.streamed import Streamed, newest_of

LINEAR_ROWS = 20_000  # the newest; more rows did not change its place on the scorecard
MOST_CATEGORIES = 255  # of a column; histogram bins of scikit-learn
STEPS = 60  # of the solver at most: a baseline may stop early
WIDEST = 5.0  # standard deviations; linear models do not bear heavy tails


def called(project: Project, comparator: Comparator) -> str:
    """Its name on the scorecard."""
    if comparator == "linear":
        return "linear" if project.task == "regression" else "logistic"
    if comparator == "constant":
        return "mean" if project.task == "regression" else "majority"
    return comparator


def said(stores: Stores, project: Project, comparator: Comparator, fit_rows: Rows | Streamed, judged: Rows) -> np.ndarray:
    """What a comparator says of the m judged rows, float64, shape (m,), of several classes (m, classes); asked again it is read.

    Raises:
        ConfigInvalid: it needs a package that is not installed.
    """
    match comparator:
        case "constant":
            return constant(project, fit_rows, len(judged.y))
        case "linear":
            how, made = ["scikit-learn"], lambda: linear(project, fit_rows, judged)
        case _:
            how = ["scikit-learn" if comparator == "histgb" else _installed(comparator)]
            assert not isinstance(fit_rows, Streamed), "the YAML is refused otherwise"
            made = partial(boosted, project, comparator, fit_rows, judged, stores.threads)
    how += [version(how[0]), comparator, str(project.search.seed)]
    return kept(stores, project, how, fit_rows.digest, judged.digest, made)


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
    return _probabilities(project, model, wide)


def boosted(project: Project, family: Literal["histgb", "lightgbm"], fit_rows: Rows, judged: Rows, threads: int) -> np.ndarray:
    """Scores of another family of boosted trees with its own defaults, fitted on all rows; shapes as of `linear`."""
    if len(np.unique(fit_rows.y)) < 2:
        return constant(project, fit_rows, len(judged.y))
    features = project.features
    encoder = Encoder.fit(fit_rows.columns, features.numeric, features.categorical, features.min_category_rows)
    learned_on, asked = (_with_gaps(encoder.encode(rows.columns)) for rows in (fit_rows, judged))
    of_categories = [
        place
        for place, name in enumerate(encoder.feature_names)
        if name in encoder.codes and len(encoder.codes[name]) < MOST_CATEGORIES  # more are numbers to them
    ]
    if family == "histgb":
        model = _histgb(project, of_categories).fit(learned_on, fit_rows.y, sample_weight=fit_rows.weights)
    else:
        model = _lightgbm(project, threads).fit(learned_on, fit_rows.y, sample_weight=fit_rows.weights, categorical_feature=of_categories)
    return np.asarray(model.predict(asked), dtype=np.float64) if project.task == "regression" else _probabilities(project, model, asked)


def _histgb(project: Project, of_categories: list[int]) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    given: dict[str, Any] = {"categorical_features": of_categories or None, "random_state": project.search.seed}
    if project.task == "regression":
        return HistGradientBoostingRegressor(loss=project.gate.loss, **given)
    return HistGradientBoostingClassifier(**given)


def _lightgbm(project: Project, threads: int) -> Any:
    import lightgbm

    given: dict[str, Any] = {"n_jobs": threads, "random_state": project.search.seed, "deterministic": True, "force_row_wise": True}
    given |= {"verbose": -1}
    if project.task == "regression":
        return lightgbm.LGBMRegressor(objective="l1" if project.gate.loss == "absolute_error" else "l2", **given)
    return lightgbm.LGBMClassifier(**given)


def _installed(package: str) -> str:
    if find_spec(package) is None:
        raise ConfigInvalid(
            "gate.comparators", [f"{package} is not installed; it comes with the extra of that name, five-pillars[{package}]"]
        )
    return package


def _with_gaps(encoded: np.ndarray) -> np.ndarray:
    return np.where(encoded == MISSING, np.float32(np.nan), encoded)


def _probabilities(project: Project, model: Any, asked: np.ndarray) -> np.ndarray:
    told = np.asarray(model.predict_proba(asked), dtype=np.float64)
    if project.task == "binary":
        return told[:, 1]
    every = np.zeros((len(told), len(project.classes)))  # a class that the rows lack has no chance
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
