import json

from pillars.development import models
from pillars.vocabulary import Recipe
from tests.factories import binary_project


def test_the_stock_recipe_is_xgboost_as_it_comes() -> None:
    stock = models.stock_recipe(binary_project(search={"prior": {"eta": 0.01}}))
    assert (stock.params["eta"], stock.params["max_depth"], stock.rounds) == (0.3, 6, 100)


def test_the_prior_is_the_projects_and_has_a_stand_in() -> None:
    own = models.prior_recipe(binary_project(search={"prior": {"eta": 0.02}, "prior_rounds": 33, "max_bin": 64}))
    assert (own.params, own.rounds) == ({"max_bin": 64, "eta": 0.02}, 33)
    assert models.prior_recipe(binary_project()).params["max_depth"] == 7


def test_a_recipe_survives_json() -> None:
    recipe = models.prior_recipe(binary_project())
    assert Recipe.from_json(json.loads(json.dumps(recipe.to_json()))) == recipe
