"""Recipes that need no search: XGBoost as it comes, and the project's hand-chosen parameters."""

from __future__ import annotations

from pillars.config import Project
from pillars.vocabulary import Recipe

STOCK: dict[str, float | int | str] = {"eta": 0.3, "max_depth": 6}  # XGBoost's defaults, written out
STOCK_ROUNDS = 100  # XGBClassifier's n_estimators
# level with AutoGluon best_quality on flights (log loss .4578 and .4575); used where the project names no prior
PRIOR: dict[str, float | int | str] = {
    "eta": 0.08,
    "max_depth": 7,
    "min_child_weight": 20,
    "subsample": 0.8,
    "colsample_bytree": 0.5,
    "reg_lambda": 5,
}


def stock_recipe(project: Project) -> Recipe:
    """XGBoost's default parameters and rounds, what an untuned model would be, in the bins of the study: 256 or 128 made no difference."""
    return Recipe("stock", {"max_bin": project.search.max_bin, **STOCK}, STOCK_ROUNDS, project.search.seed)


def prior_recipe(project: Project) -> Recipe:
    """The project's hand-chosen parameters; they do not change from period to period."""
    params = {"max_bin": project.search.max_bin, **(project.search.prior or PRIOR)}
    return Recipe("prior", params, project.search.prior_rounds, project.search.seed)
