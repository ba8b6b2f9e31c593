import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from pillars.bundle import booster
from pillars.errors import ConfigInvalid
from pillars.training.fitting import Ground, fit, fit_until_stopped
from pillars.training.rows import subset
from pillars.vocabulary import Recipe
from tests.factories import binary_project
from tests.pillars.training.worlds import RECIPE, gathered

PROJECT = binary_project()
JANUARY = gathered(PROJECT, "2013-01", rows=3000)
FEBRUARY = gathered(PROJECT, "2013-02", rows=3000)
LONG = replace(RECIPE, rounds=60)  # long enough for the threads to be timed


def sha256(boosters: tuple[bytes, ...]) -> list[str]:
    return [hashlib.sha256(content).hexdigest() for content in boosters]


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_number_of_threads_never_changes_a_byte(threads: int) -> None:
    assert sha256(fit(Ground(PROJECT, JANUARY), LONG, threads)) == sha256(fit(Ground(PROJECT, JANUARY), LONG))


def test_fits_at_once_on_one_matrix_give_the_bytes_of_fits_alone() -> None:
    shared = Ground(PROJECT, JANUARY)
    shared.matrix(RECIPE, 1)
    recipes = [replace(RECIPE, params={**RECIPE.params, "max_depth": depth}) for depth in (2, 3, 4, 5)]
    with ThreadPoolExecutor(4) as threads:
        at_once = list(threads.map(lambda recipe: sha256(fit(shared, recipe)), recipes))
    assert at_once == [sha256(fit(Ground(PROJECT, JANUARY), recipe)) for recipe in recipes]


def test_another_seed_gives_other_bytes() -> None:
    assert fit(Ground(PROJECT, JANUARY), replace(RECIPE, seed=1)) != fit(Ground(PROJECT, JANUARY), RECIPE)


def test_the_name_of_a_recipe_is_not_in_the_bytes() -> None:
    assert fit(Ground(PROJECT, JANUARY), replace(RECIPE, name="other")) == fit(Ground(PROJECT, JANUARY), RECIPE)


def test_bags_are_boosters_of_different_seeds() -> None:
    bags = fit(Ground(PROJECT, JANUARY), replace(RECIPE, bags=3))
    assert len(set(bags)) == 3
    assert bags[0] == fit(Ground(PROJECT, JANUARY), RECIPE)[0]


def test_early_stopping_ends_where_a_plain_fit_of_as_many_rounds_gives_the_same_scores() -> None:
    ground = Ground(PROJECT, JANUARY)
    valid = ground.encoder.encode(FEBRUARY.columns)
    eager = replace(RECIPE, rounds=200, params={**RECIPE.params, "eta": 0.5})
    stopped, scores = fit_until_stopped(ground, valid, FEBRUARY.y, eager, patience=5)
    assert 1 <= stopped.rounds < 200
    assert np.array_equal(booster.scores(booster.load(fit(ground, stopped)), valid), scores)


@pytest.mark.parametrize(
    ("params", "said"),
    [
        pytest.param({"max_dept": 3}, "no parameter max_dept; nearest: max_depth", id="misspelt"),
        pytest.param({"max_depth": -3}, "max_depth", id="out of range"),
    ],
)
def test_parameters_that_xgboost_would_refuse_or_ignore_are_named(params: dict[str, float | int | str], said: str) -> None:
    with pytest.raises(ConfigInvalid, match=said):
        fit(Ground(PROJECT, JANUARY), Recipe("odd", params, 5, 0))


def test_a_single_class_is_fitted_and_scores_stay_probabilities() -> None:
    on_time = subset(JANUARY, np.flatnonzero(JANUARY.y == 0))
    ground = Ground(PROJECT, on_time)
    scores = booster.scores(booster.load(fit(ground, RECIPE)), ground.encoded)
    assert ((scores >= 0) & (scores < 0.01)).all()
