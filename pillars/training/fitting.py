"""The fitting door to XGBoost: one fit is a function of rows and recipe; the number of threads changes speed, never bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from pillars.bundle.encoder import Encoder
from pillars.config import Project
from pillars.errors import ConfigInvalid
from pillars.training.rows import Rows
from pillars.vocabulary import Recipe

if TYPE_CHECKING:
    from xgboost import QuantileDMatrix

BASE = {"tree_method": "hist", "device": "cpu", "verbosity": 0}
KNOWN = {  # parameters of `hist` on the CPU; XGBoost drops others without an error
    *("eta", "learning_rate", "gamma", "min_split_loss", "max_depth", "max_leaves", "grow_policy", "min_child_weight", "max_delta_step"),
    *("subsample", "sampling_method", "colsample_bytree", "colsample_bylevel", "colsample_bynode", "num_parallel_tree", "max_bin"),
    *("lambda", "reg_lambda", "alpha", "reg_alpha", "scale_pos_weight", "base_score", "monotone_constraints", "interaction_constraints"),
}
# timed with one thread and with all: two threads are 1.8 times faster on two quiet cores, 1.6 times slower beside one busy process
PROBE_ROUNDS = 2
# rounds between two looks at the validation rows: XGBoost's own look after each round took 40 % of a trial (28k rows, 60 columns)
LOOK_EVERY = 5


Form = tuple[int, bool, tuple[str, ...]]  # what a matrix depends on: number of bins, whether codes are categories, columns


@dataclass(frozen=True)
class Ground:
    """Rows to fit on. What fits need is made when it is first asked for: ask before threads share it."""

    project: Project
    rows: Rows
    matrices: dict[Form, QuantileDMatrix] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def encoder(self) -> Encoder:
        """Learned from these rows."""
        features = self.project.features
        return Encoder.fit(self.rows.columns, features.numeric, features.categorical, features.min_category_rows)

    @cached_property
    def encoded(self) -> np.ndarray:
        """float32, shape (n, features)."""
        return self.encoder.encode(self.rows.columns)

    @cached_property
    def objective(self) -> dict[str, Any]:
        """What boosters minimize: the task's own loss."""
        match self.project.task, self.project.gate.loss:
            case "multiclass", _:
                return {"objective": "multi:softprob", "eval_metric": "mlogloss", "num_class": len(self.project.classes)}
            case "regression", "absolute_error":
                return {"objective": "reg:absoluteerror", "eval_metric": "mae"}
            case "regression", _:
                return {"objective": "reg:squarederror", "eval_metric": "rmse"}
            case _:
                return {"objective": "binary:logistic", "eval_metric": "logloss"}

    def params(self, recipe: Recipe) -> dict[str, Any]:
        """What XGBoost is given, less seed and threads."""
        return {**recipe.params, **self._of_categories(recipe), **self.objective, **BASE}

    def matrix(self, recipe: Recipe, threads: int) -> QuantileDMatrix:
        """The rows as the recipe's trees see them, made once per form.

        The numbers are those of the encoder, whatever the form, so a booster is served alike: it knows itself which columns hold
        categories, and a column that it may not split on is one number here.

        Raises:
            ConfigInvalid: none of the recipe's columns is a feature any more.
        """
        import xgboost

        names, form = self.encoder.feature_names, form_of(self.project, recipe)
        max_bin, of_categories, _ = form
        if form not in self.matrices:
            kept = [name in recipe.columns or not recipe.columns for name in names]
            if not any(kept):
                raise ConfigInvalid("features", [f"recipe {recipe.name} splits on {', '.join(recipe.columns)}: none of them is a feature"])
            encoded = self.encoded if all(kept) else np.where(kept, self.encoded, np.float32(0))
            types = ["c" if name in self.encoder.codes else "q" for name in names] if of_categories else None
            self.matrices[form] = xgboost.QuantileDMatrix(
                encoded, self.rows.y, max_bin=max_bin, nthread=threads, feature_types=types, enable_categorical=of_categories
            )
        return self.matrices[form]

    def _of_categories(self, recipe: Recipe) -> dict[str, int]:
        """How trees split on categories; empty where codes are numbers to them, or there are none."""
        if not form_of(self.project, recipe)[1]:
            return {}
        most = max(len(codes) + 1 for codes in self.encoder.codes.values())
        return {"max_cat_to_onehot": most + 1 if recipe.encoding == "onehot" else 1}  # below so many categories: one against the others


def form_of(project: Project, recipe: Recipe) -> Form:
    """The form of a recipe's matrix."""
    max_bin = int(recipe.params.get("max_bin", 256))  # 256: XGBoost's default
    return max_bin, recipe.encoding != "codes" and bool(project.features.categorical), recipe.columns


def fit(on: Ground, recipe: Recipe, threads: int = 1) -> tuple[bytes, ...]:
    """Boosters of a recipe as UBJ bytes, one per bag and member, in their order.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    import xgboost

    boosters, nthread = [], 1
    for place, one in enumerate(recipe.parts):
        with _refusals_named(one):
            matrix, params = on.matrix(one, threads), on.params(one)
            if place == 0 and recipe.rounds * len(recipe.parts) >= 20 * PROBE_ROUNDS:
                nthread = _faster(matrix, params, threads)
            booster = xgboost.train({**params, "seed": one.seed, "nthread": nthread}, matrix, one.rounds)
            boosters.append(bytes(booster.save_raw("ubj")))
    return tuple(boosters)


def fit_until_stopped(
    on: Ground, valid: np.ndarray, y: np.ndarray, recipe: Recipe, patience: int, threads: int = 1
) -> tuple[Recipe, np.ndarray]:
    """The recipe with the rounds after which `patience` more brought no gain in what boosters minimize, and its scores there.

    The rounds are a multiple of `LOOK_EVERY`, or the recipe's own where it never stopped.

    `valid`: encoded rows, float32, shape (m, features), with outcomes `y` (m,). Scores: float64, shape (m,), of several classes
    (m, classes); those of `fit` with the returned recipe, bit for bit. One booster, whatever the bags and members.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    import xgboost

    with _refusals_named(recipe):
        matrix = on.matrix(recipe, threads)
        nthread = _faster(matrix, on.params(recipe), threads) if threads > 1 else 1
        booster = xgboost.Booster({**on.params(recipe), "seed": recipe.seed, "nthread": nthread}, [matrix])
        margin, best_loss, best_rounds = None, np.inf, 0
        for rounds in range(1, recipe.rounds + 1):
            booster.update(matrix, rounds - 1)
            if rounds % LOOK_EVERY and rounds < recipe.rounds:
                continue
            seen = ((rounds - 1) // LOOK_EVERY * LOOK_EVERY, rounds)
            margin = booster.inplace_predict(
                valid, iteration_range=seen, predict_type="margin", base_margin=margin, validate_features=False
            )
            loss = _loss(str(on.objective["objective"]), y, margin)
            if loss < best_loss:
                best_loss, best_rounds = loss, rounds
            elif rounds - best_rounds >= patience:
                break
        scores = booster.inplace_predict(valid, iteration_range=(0, best_rounds), validate_features=False)
    return replace(recipe, rounds=best_rounds), scores.astype(np.float64)


def _loss(objective: str, y: np.ndarray, margin: np.ndarray) -> float:
    """Mean of what the objective minimizes, from margins (m,), of several classes (m, classes)."""
    match objective:
        case "multi:softprob":
            highest = margin.max(axis=1)
            whole = highest + np.log(np.exp(margin - highest[:, None]).sum(axis=1))
            return float(np.mean(whole - margin[np.arange(len(y)), y.astype(np.int64)]))
        case "reg:squarederror":
            return float(np.mean(np.square(y - margin)))
        case "reg:absoluteerror":
            return float(np.mean(np.abs(y - margin)))
        case _:
            return float(np.mean(np.logaddexp(0, margin) - y * margin))


def _faster(matrix: QuantileDMatrix, params: dict[str, Any], threads: int) -> int:
    """1 or `threads`, whichever fits the first rounds faster just now."""
    import xgboost

    taken_s = {}
    for count in {1, threads}:
        start = time.perf_counter()
        xgboost.train({**params, "nthread": count}, matrix, PROBE_ROUNDS)
        taken_s[count] = time.perf_counter() - start
    return min(taken_s, key=lambda count: taken_s[count])


@contextmanager
def _refusals_named(recipe: Recipe) -> Iterator[None]:
    import xgboost

    where = f"search (recipe {recipe.name})"
    if unknown := sorted(set(recipe.params) - KNOWN):
        nearest = {name: "".join(f"; nearest: {near}" for near in get_close_matches(name, KNOWN, n=1)) for name in unknown}
        raise ConfigInvalid(where, [f"XGBoost has no parameter {name}{hint}" for name, hint in nearest.items()])
    try:
        yield
    except xgboost.core.XGBoostError as err:
        raise ConfigInvalid(where, [str(err).splitlines()[0]]) from err
