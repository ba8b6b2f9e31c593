"""The fitting door to XGBoost: one fit is a function of rows and recipe; the number of threads changes speed, never bytes."""

from __future__ import annotations

import logging
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
from pillars.stores import Stores
from pillars.training import engines
from pillars.training.metrics import average, losses
from pillars.training.rows import Read, Rows, gather
from pillars.training.splits import Part
from pillars.training.streamed import Streamed, streamed
from pillars.vocabulary import Recipe

if TYPE_CHECKING:
    from xgboost import Booster, QuantileDMatrix

log = logging.getLogger(__name__)
BASE = {"tree_method": "hist", "device": "cpu", "verbosity": 0}
KNOWN = {  # parameters of `hist` on the CPU; XGBoost drops others without an error
    *("eta", "learning_rate", "gamma", "min_split_loss", "max_depth", "max_leaves", "grow_policy", "min_child_weight", "max_delta_step"),
    *("subsample", "sampling_method", "colsample_bytree", "colsample_bylevel", "colsample_bynode", "num_parallel_tree", "max_bin"),
    *("lambda", "reg_lambda", "alpha", "reg_alpha", "scale_pos_weight", "base_score", "monotone_constraints", "interaction_constraints"),
}
SIGNS = {"increasing": 1, "decreasing": -1, "": 0}
# timed with one thread and with all: two threads are 1.8 times faster on two quiet cores, 1.6 times slower beside one busy process
PROBE_ROUNDS = 2
# rounds between two looks at the validation rows: XGBoost's own look after each round took 40 % of a trial (28k rows, 60 columns)
LOOK_EVERY = 5


Form = tuple[int, bool, tuple[str, ...]]  # what a matrix depends on: number of bins, whether codes are categories, columns


@dataclass(frozen=True)
class Ground:
    """Rows to fit on. What fits need is made when it is first asked for: ask before threads share it."""

    project: Project
    rows: Rows | Streamed
    dask_address: str = ""
    matrices: dict[Form, QuantileDMatrix] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def encoder(self) -> Encoder:
        """Learned from these rows."""
        if isinstance(self.rows, Streamed):
            return self.rows.encoder
        features = self.project.features
        return Encoder.fit(self.rows.columns, features.numeric, features.categorical, features.min_category_rows)

    @cached_property
    def encoded(self) -> np.ndarray:
        """float32, shape (n, features); of rows in memory."""
        assert isinstance(self.rows, Rows)
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

    @cached_property
    def directions(self) -> dict[str, Any]:
        """XGBoost's monotone constraints, in the order of the features; nothing where none is declared."""
        said = self.project.features.monotone
        return {"monotone_constraints": tuple(SIGNS[said.get(name, "")] for name in self.encoder.feature_names)} if said else {}

    @cached_property
    def shares(self) -> np.ndarray | None:
        """What `balanced` multiplies each class's weights by, float64, shape (classes,), so that all weigh alike; else None."""
        if self.project.fit.imbalance == "none":
            return None
        classes = len(self.project.classes) or 2
        held = np.bincount(self.rows.y.astype(np.int64), weights=self.rows.weights, minlength=classes)
        return np.where(held > 0, held.sum() / (np.count_nonzero(held) * np.maximum(held, np.finfo(np.float64).tiny)), 1.0)

    def weights_of(self, rows: Rows | Streamed) -> np.ndarray | None:
        """How much each of `rows` counts in what boosters minimize, float64, shape (n,); None: all alike."""
        if self.shares is None:
            return rows.weights
        by_class = self.shares[rows.y.astype(np.int64)]
        return by_class if rows.weights is None else by_class * rows.weights

    def fair(self, p: np.ndarray) -> np.ndarray:
        """Scores as if no class had been weighed: what recipes are compared by. float64, shape as `p`.

        Weights w turn probabilities p into p w / sum(p w), which is undone exactly (Elkan 2001, theorem 2).
        """
        if self.shares is None:
            return p
        each = (p if p.ndim == 2 else np.column_stack([1 - p, p])) / self.shares
        each = each / each.sum(axis=1, keepdims=True)
        return each if p.ndim == 2 else each[:, 1]

    def loss(self, judged: Rows, p: np.ndarray) -> float:
        """Mean loss of scores of `judged`, as boosters give them, in units of `gate.loss`: what recipes are compared by."""
        return average(losses(self.project.gate.loss, judged.y, self.fair(p)), judged.weights)

    def params(self, recipe: Recipe) -> dict[str, Any]:
        """What XGBoost is given, less seed and threads."""
        return {**recipe.params, **self.of_categories(recipe), **self.objective, **self.directions, **BASE, "device": self.device}

    @cached_property
    def device(self) -> str:
        """`cpu` or `cuda`. Raises: ConfigInvalid."""
        return engines.device_of(self.project.fit)

    @property
    def on_cluster(self) -> bool:
        """Whether Dask's workers fit these rows."""
        return isinstance(self.rows, Streamed) and self.project.fit.engine == "dask"

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
        if form not in self.matrices and isinstance(self.rows, Streamed):
            self.matrices[form] = engines.matrix_on_disk(self.rows, max_bin, threads)
        elif form not in self.matrices:
            kept = [name in recipe.columns or not recipe.columns for name in names]
            if not any(kept):
                raise ConfigInvalid("features", [f"recipe {recipe.name} splits on {', '.join(recipe.columns)}: none of them is a feature"])
            encoded = self.encoded if all(kept) else np.where(kept, self.encoded, np.float32(0))
            types = ["c" if name in self.encoder.codes else "q" for name in names] if of_categories else None
            counted = {"weight": self.weights_of(self.rows), "max_bin": max_bin, "nthread": threads}
            self.matrices[form] = xgboost.QuantileDMatrix(
                encoded, self.rows.y, **counted, feature_types=types, enable_categorical=of_categories
            )
        return self.matrices[form]

    def of_categories(self, recipe: Recipe) -> dict[str, int]:
        """How trees split on categories; empty where codes are numbers to them, or there are none."""
        if not form_of(self.project, recipe)[1]:
            return {}
        most = max(len(codes) + 1 for codes in self.encoder.codes.values())
        return {"max_cat_to_onehot": most + 1 if recipe.encoding == "onehot" else 1}  # below so many categories: one against the others


def form_of(project: Project, recipe: Recipe) -> Form:
    """The form of a recipe's matrix; rows that are not in memory have one only. Raises: ConfigInvalid."""
    if project.fit.engine != "local" and (recipe.encoding != "codes" or recipe.columns):
        problem = f"engine {project.fit.engine} has every column, and codes only; recipe {recipe.name} was found otherwise: take local"
        raise ConfigInvalid("fit", [problem])
    return _max_bin(recipe), recipe.encoding != "codes" and bool(project.features.categorical), recipe.columns


def grounded(stores: Stores, project: Project, read: Read, part: Part) -> Ground:
    """A part to fit on, as `fit.engine` says: in memory, or a period at a time.

    Raises:
        TooFewRows: as `rows.gather`.
        StoreUnavailable: the disk refuses.
    """
    if project.fit.engine == "local":
        return Ground(project, gather(read, part))
    return Ground(project, streamed(stores, project, read, part), stores.dask_address)


def fit(on: Ground, recipe: Recipe, threads: int = 1) -> tuple[bytes, ...]:
    """All boosters of a bundle as UBJ bytes: those of the recipe and, where the YAML asks for `cqr`, the one of both quantiles.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    return (*fit_scores(on, recipe, threads), *fit_ends(on, recipe, threads))


def fit_ends(on: Ground, recipe: Recipe, threads: int = 1) -> tuple[bytes, ...]:
    """The booster whose two outputs are the ends of `intervals`, before conformal correction (Romano 2019); none unless asked for.

    Of an average it has the parameters and rounds of the first member.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    import xgboost

    said = on.project.intervals
    if said.method != "cqr":
        return ()
    outside, one = (1 - said.coverage) / 2, recipe.parts[0]
    params = {
        **one.params,
        **on.of_categories(one),
        **BASE,
        "device": on.device,
        "objective": "reg:quantileerror",
        "quantile_alpha": [outside, 1 - outside],
    }
    with _refusals_named(one):
        params |= {"seed": one.seed, "nthread": threads}
        booster = xgboost.train(params, on.matrix(one, threads), one.rounds)
    return (bytes(booster.save_raw("ubj")),)


def fit_scores(on: Ground, recipe: Recipe, threads: int = 1) -> tuple[bytes, ...]:
    """Boosters of a recipe as UBJ bytes, one per bag and member, in their order.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    import xgboost

    boosters, nthread = [], 1
    for place, one in enumerate(recipe.parts):
        with _refusals_named(one):
            if on.on_cluster:
                booster = _on_cluster(on, one, threads)
            else:
                matrix, params = on.matrix(one, threads), on.params(one)
                if place == 0 and recipe.rounds * len(recipe.parts) >= 20 * PROBE_ROUNDS:
                    nthread = _faster(matrix, params, threads)
                booster = xgboost.train({**params, "seed": one.seed, "nthread": nthread}, matrix, one.rounds)
            boosters.append(bytes(booster.save_raw("ubj")))
    device = engines.effective_device(booster)
    log.info("fitted recipe=%s rows=%d boosters=%d device=%s", recipe.name, len(on.rows.y), len(boosters), device)
    return tuple(boosters)


def fit_until_stopped(
    on: Ground,
    valid: np.ndarray,
    y: np.ndarray,
    recipe: Recipe,
    patience: int,
    threads: int = 1,
    weights: np.ndarray | None = None,
) -> tuple[Recipe, np.ndarray]:
    """The recipe with the rounds after which `patience` more brought no gain in what boosters minimize, and its scores there.

    The rounds are a multiple of `LOOK_EVERY`, or the recipe's own where it never stopped.

    `valid`: encoded rows, float32, shape (m, features), with outcomes `y` and, where rows do not count alike, `weights` (m,). Scores:
    float64, shape (m,), of several classes (m, classes); those of `fit` with the returned recipe, bit for bit. One booster, whatever the
    bags and members.

    Raises:
        ConfigInvalid: XGBoost does not know a parameter or refuses its value.
    """
    import xgboost

    with _refusals_named(recipe):
        if on.on_cluster:  # fits all rounds before it looks: workers are not asked again after each
            booster, matrix = _on_cluster(on, recipe, threads), None
        else:
            matrix = on.matrix(recipe, threads)
            nthread = _faster(matrix, on.params(recipe), threads) if threads > 1 else 1
            booster = xgboost.Booster({**on.params(recipe), "seed": recipe.seed, "nthread": nthread}, [matrix])
        margin, best_loss, best_rounds = None, np.inf, 0
        for rounds in range(1, recipe.rounds + 1):
            if matrix is not None:
                booster.update(matrix, rounds - 1)
            if rounds % LOOK_EVERY and rounds < recipe.rounds:
                continue
            seen = ((rounds - 1) // LOOK_EVERY * LOOK_EVERY, rounds)
            margin = booster.inplace_predict(
                valid, iteration_range=seen, predict_type="margin", base_margin=margin, validate_features=False
            )
            loss = _loss(str(on.objective["objective"]), y, margin, weights)
            if loss < best_loss:
                best_loss, best_rounds = loss, rounds
            elif rounds - best_rounds >= patience:
                break
        scores = booster.inplace_predict(valid, iteration_range=(0, best_rounds), validate_features=False)
    return replace(recipe, rounds=best_rounds), scores.astype(np.float64)


def _on_cluster(on: Ground, recipe: Recipe, threads: int) -> Booster:
    assert isinstance(on.rows, Streamed)
    params = {**on.params(recipe), "seed": recipe.seed}
    return engines.fit_on_cluster(on.rows, on.dask_address, params, recipe.rounds, _max_bin(recipe), threads)


def _max_bin(recipe: Recipe) -> int:
    return int(recipe.params.get("max_bin", 256))  # 256: XGBoost's default


def _loss(objective: str, y: np.ndarray, margin: np.ndarray, weights: np.ndarray | None) -> float:
    """Weighted mean of what the objective minimizes, from margins (m,), of several classes (m, classes)."""
    match objective:
        case "multi:softprob":
            highest = margin.max(axis=1)
            whole = highest + np.log(np.exp(margin - highest[:, None]).sum(axis=1))
            return average(whole - margin[np.arange(len(y)), y.astype(np.int64)], weights)
        case "reg:squarederror":
            return average(np.square(y - margin), weights)
        case "reg:absoluteerror":
            return average(np.abs(y - margin), weights)
        case _:
            return average(np.logaddexp(0, margin) - y * margin, weights)


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
