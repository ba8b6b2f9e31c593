import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest

from pillars.bundle import booster
from pillars.bundle.encoder import MISSING
from pillars.errors import ConfigInvalid
from pillars.stores import Stores
from pillars.training.fitting import Ground, fit, fit_until_stopped
from pillars.training.heldout import held_out
from pillars.training.rows import subset
from pillars.vocabulary import Encoding, Member, Recipe
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


STYLES = [
    pytest.param(replace(RECIPE, encoding=encoding, params={**RECIPE.params, **growth}), id=f"{encoding} {name}")
    for encoding in ("codes", "onehot", "native")
    for name, growth in (("depth", {}), ("leaves", {"grow_policy": "lossguide", "max_depth": 0, "max_leaves": 9}))
]


@pytest.mark.parametrize("recipe", STYLES)
def test_a_booster_of_any_style_is_the_same_bytes_and_served_bit_for_bit(recipe: Recipe) -> None:
    """Rows come as the encoder's numbers alone: all at once or one by one, from the booster at hand or from its file."""
    ground = Ground(PROJECT, JANUARY)
    files = fit(ground, replace(recipe, rounds=60), threads=2)
    assert files == fit(Ground(PROJECT, JANUARY), replace(recipe, rounds=60))
    asked = ground.encoder.encode(FEBRUARY.columns)
    asked[0, -2:] = 0  # unseen
    asked[1, 0] = MISSING
    loaded = booster.load(files)
    at_once = booster.scores(loaded, asked)
    assert np.array_equal(np.concatenate([booster.scores(loaded, asked[i : i + 1]) for i in range(50)]), at_once[:50])
    stopped, scores = fit_until_stopped(ground, asked, FEBRUARY.y, recipe, patience=5)
    assert np.array_equal(booster.scores(booster.load(fit(ground, stopped)), asked), scores)
    assert booster.gains(loaded, asked.shape[1]).sum() == pytest.approx(1)


def test_encodings_differ() -> None:
    native, onehot = (replace(RECIPE, encoding=one, rounds=30) for one in ("native", "onehot"))
    assert len({fit(Ground(PROJECT, JANUARY), one)[0] for one in (replace(RECIPE, rounds=30), native, onehot)}) == 3


@pytest.mark.parametrize("encoding", ["codes", "native"])
def test_trees_split_on_the_recipes_columns_alone_and_the_others_have_no_say(encoding: Encoding) -> None:
    ground = Ground(PROJECT, JANUARY)
    loaded = booster.load(fit(ground, replace(RECIPE, columns=("load", "line"), encoding=encoding, rounds=40)))
    gains = dict(zip(ground.encoder.feature_names, booster.gains(loaded, 5), strict=True))
    assert {name for name, gain in gains.items() if gain} == {"load", "line"}
    other = ground.encoded.copy()
    other[:, [place for place, name in enumerate(ground.encoder.feature_names) if name not in ("load", "line")]] = 7
    assert np.array_equal(booster.scores(loaded, other), booster.scores(loaded, ground.encoded))


def test_columns_that_are_no_features_any_more_are_left_out_and_none_at_all_is_refused() -> None:
    ground = Ground(PROJECT, JANUARY)
    assert fit(ground, replace(RECIPE, columns=("load", "gone"))) == fit(ground, replace(RECIPE, columns=("load",)))
    with pytest.raises(ConfigInvalid, match="none of them is a feature"):
        fit(ground, replace(RECIPE, columns=("gone",)))


def test_members_are_boosters_of_their_own_after_the_bags() -> None:
    member = Member({"eta": 0.3, "max_depth": 2, "max_bin": 32}, 5, 1, "native", ("load", "line"))
    alone = Recipe("", member.params, member.rounds, member.seed, encoding=member.encoding, columns=member.columns)
    together = fit(Ground(PROJECT, JANUARY), replace(RECIPE, bags=2, members=(member,)))
    assert together == (*fit(Ground(PROJECT, JANUARY), replace(RECIPE, bags=2)), *fit(Ground(PROJECT, JANUARY), alone))


def test_an_average_is_kept_by_its_boosters_and_says_what_they_say_together() -> None:
    stores, ground = Stores(), Ground(PROJECT, JANUARY)
    average = replace(RECIPE, bags=2, members=(Member({"eta": 0.3, "max_depth": 2}, 5, 1, "onehot"),))
    found = held_out(stores, ground, FEBRUARY, average, threads=1)
    asked = ground.encoder.encode(FEBRUARY.columns)
    assert np.array_equal(found.p, booster.scores(booster.load(fit(ground, average)), asked))
    assert len(list((stores.var / "search/trams/heldout").glob("*.npz"))) == 3
