"""The example of people: its rows are those of the census, and its hooks say what they promise."""

from __future__ import annotations

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from pillars import project_file
from pillars.vocabulary import Measure, Scorecard
from projects import adult
from tests.clone import CHECKOUT

PEOPLE = pq.read_table(CHECKOUT / "projects" / "adult" / "people.parquet")
PROJECT = project_file.load(CHECKOUT / "configs" / "adult.yaml")


def test_the_rows_are_those_that_the_archive_counts() -> None:
    """adult.names: 45,222 without unknown values (30,162 and 15,060), 24.78 % of them above 50,000 dollars."""
    assert PEOPLE.num_rows == 30_162 + 15_060
    assert pc.mean(PEOPLE["over_50k"].cast("int8")).as_py() == pytest.approx(0.2478, abs=5e-5)
    assert {name: PEOPLE[name].null_count for name in PEOPLE.column_names} == dict.fromkeys(PEOPLE.column_names, 0)
    assert {name: len(pc.unique(PEOPLE[name])) for name in ("workclass", "education", "occupation", "race", "sex", "native_country")} == {
        "workclass": 7,
        "education": 16,
        "occupation": 14,
        "race": 5,
        "sex": 2,
        "native_country": 41,
    }
    assert PEOPLE["person"].to_pylist() == list(range(1, 45_223))


def test_the_level_of_education_and_its_words_agree() -> None:
    """Two columns that were folded back apart from each other say the same of each person."""
    pairs = {*zip(PEOPLE["education_years"].to_pylist(), PEOPLE["education"].to_pylist(), strict=True)}
    assert len(pairs) == 16
    assert {(13, "Bachelors"), (9, "HS-grad"), (1, "Preschool"), (16, "Doctorate")} <= pairs


def test_husbands_are_men_and_wives_are_women() -> None:
    table = PEOPLE.group_by(["relationship", "sex"]).aggregate([("person", "count")]).to_pylist()
    count = {(row["relationship"], row["sex"]): row["person_count"] for row in table}
    assert count["Husband", "Male"] > 10_000
    assert count.get(("Husband", "Female"), 0) + count.get(("Wife", "Male"), 0) < 10, "so it is no feature here"


def test_the_model_sees_no_column_that_the_judges_group_by() -> None:
    seen = {*PROJECT.features.numeric, *PROJECT.features.categorical}
    assert not seen & {*PROJECT.fairness.groups, "relationship", "native_country", "over_50k"}


def test_the_blocks_are_equal_and_none_is_left_over() -> None:
    assert PROJECT.source.batches.size is not None
    assert PEOPLE.num_rows % PROJECT.source.batches.size == 0


def test_the_measure_is_what_was_said_beyond_what_came() -> None:
    assert adult.overstated(np.array([1.0, 0.0]), np.array([0.75, 0.5])).tolist() == [-0.25, 0.5]


def test_the_policy_asks_for_a_better_ranking_than_a_logistic_regressions() -> None:
    def cards(low: float) -> tuple[Scorecard, ...]:
        return tuple(
            Scorecard(model, "1", 10, 5, {"auc": Measure(0.9, bound, 0.95)}) for model, bound in (("challenger", low), ("logistic", 0.8))
        )

    assert adult.better_ranked(cards(0.91))
    assert not adult.better_ranked(cards(0.9))


def test_the_recipe_is_seeded_by_the_project() -> None:
    assert adult.slow(PROJECT).seed == PROJECT.search.seed
