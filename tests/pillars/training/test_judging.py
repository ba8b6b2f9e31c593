from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from pillars.errors import BundleRefused, InputInvalid
from pillars.stores import Stores
from pillars.training import judging, plots
from pillars.training.fitting import Ground
from pillars.training.heldout import held_out
from pillars.training.rows import Rows, gather
from pillars.training.splits import plan
from pillars.vocabulary import Member
from tests.factories import binary_project
from tests.pillars.training.worlds import MONTHS, RECIPE, found, judged_at, readable, released, tuned_at

PROJECT = binary_project()
READ = readable(PROJECT)
POOR = replace(RECIPE, name="poor", params={**RECIPE.params, "eta": 1e-4})
FEATURES = PROJECT.features.model_dump()
BETTER = replace(RECIPE, name="better", rounds=25)


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that were fitted, in order."""
    made: list[str] = []

    def counted(on: object, recipe: object, *rest: object) -> object:
        made.append(recipe.name)  # type: ignore[attr-defined]
        return fit(on, recipe, *rest)  # type: ignore[arg-type]

    from pillars.training import heldout

    fit = heldout.fit_scores
    monkeypatch.setattr(heldout, "fit_scores", counted)
    return made


def test_without_a_champion_the_challenger_must_beat_the_base_rate(stores: Stores) -> None:
    judged = judged_at(stores, PROJECT, READ, "2013-03", found(RECIPE))
    assert judged.recipe_decision
    assert "base rate" in judged.recipe_decision.reason
    assert judged.refresh_decision
    assert not judged_at(stores, PROJECT, READ, "2013-03", found(POOR)).refresh_decision


def test_the_same_recipe_is_not_promoted_and_not_fitted_for_that(stores: Stores, fits: list[str]) -> None:
    """A/A: the best recipe is the champion's own, and the live champion is its twin."""
    champion = released(stores, PROJECT, READ, "2013-03")
    judged = judged_at(stores, PROJECT, READ, "2013-04", found(replace(RECIPE, name="found again")), champion)
    assert judged.recipe_decision.outcome == "refuse"
    assert "the champion's own" in judged.recipe_decision.reason
    assert judged.refresh_decision
    assert "equal scores" in judged.refresh_decision.reason
    assert fits == ["prior", "prior"]  # for threshold and calibration, on earlier rows; none for the judged ones


def test_a_better_recipe_wins_against_the_champions_twin(stores: Stores) -> None:
    judged = judged_at(stores, PROJECT, READ, "2013-04", found(RECIPE), released(stores, PROJECT, READ, "2013-03", POOR))
    assert judged.recipe == RECIPE
    assert judged.recipe_decision
    assert judged.refresh_decision


def test_a_worse_recipe_leaves_the_champions_and_refreshes_it(stores: Stores) -> None:
    judged = judged_at(stores, PROJECT, READ, "2013-04", found(POOR), released(stores, PROJECT, READ, "2013-02"))
    assert judged.recipe == RECIPE
    assert judged.recipe_decision.outcome == "refuse"
    assert "increase over the live champion" in judged.refresh_decision.reason


def test_a_live_champion_that_was_fitted_on_the_same_rows_is_its_own_twin(stores: Stores, fits: list[str]) -> None:
    judged_at(stores, PROJECT, READ, "2013-04", found(POOR), released(stores, PROJECT, READ, "2013-03"))
    assert fits == ["poor", "prior", "prior"]  # the challenger's twin; the winner twice on earlier rows, for threshold and calibration
    fits.clear()
    judged_at(stores, PROJECT, READ, "2013-04", found(POOR), released(stores, PROJECT, READ, "2013-02"))
    assert fits == []  # and is found again where it is needed
    fits.clear()
    fresh = Stores(root=stores.root, var=stores.var / "fresh")
    judged_at(fresh, PROJECT, READ, "2013-04", found(POOR), released(stores, PROJECT, READ, "2013-02"))
    assert fits == ["poor", "prior", "prior", "prior"]


def test_a_champion_fitted_on_corrected_rows_is_not_its_own_twin(stores: Stores, fits: list[str]) -> None:
    judged_at(stores, PROJECT, READ, "2013-04", found(POOR), released(stores, PROJECT, readable(PROJECT, seed=1), "2013-03"))
    assert fits == ["poor", "prior", "prior", "prior"]


@pytest.mark.parametrize(
    "now",
    [
        pytest.param({"fit": {"imbalance": "balanced"}, "calibration": {"method": "sigmoid"}}, id="other weights of the classes"),
        pytest.param(
            {
                "features": {
                    "numeric": ["load", "wind", "hour"],
                    "categorical": ["line", "stop"],
                    "min_category_rows": 5,
                    "monotone": {"load": "increasing"},
                }
            },
            id="held to a direction",
        ),
    ],
)
def test_a_champion_fitted_with_other_settings_is_not_its_own_twin(stores: Stores, now: dict[str, object]) -> None:
    champion, project = released(stores, PROJECT, READ, "2013-03"), binary_project(**now)
    judged_at(stores, project, readable(project), "2013-04", found(BETTER, "2013-04"), champion)
    parts = plan(project, MONTHS, "2013-04")
    ground, april = Ground(project, gather(readable(project), parts.twin_fit)), gather(readable(project), parts.judge_on)
    kept = held_out(stores, ground, april, RECIPE, threads=1)
    assert np.array_equal(kept.p, held_out(Stores(var=stores.var / "elsewhere"), ground, april, RECIPE, threads=1).p)
    assert not np.array_equal(kept.p, champion.raw(april.columns))


def test_the_twin_is_the_fit_of_the_live_champion_bit_for_bit(stores: Stores) -> None:
    """Why it may stand in."""
    champion = released(stores, PROJECT, READ, "2013-03")
    parts = plan(PROJECT, MONTHS, "2013-04")
    april = gather(READ, parts.judge_on)
    twin = held_out(stores, Ground(PROJECT, gather(READ, parts.twin_fit)), april, RECIPE, threads=1)
    assert np.array_equal(twin.p, champion.raw(april.columns))


def test_a_champion_that_has_seen_the_judged_rows_cannot_be_compared(stores: Stores) -> None:
    judged = judged_at(stores, PROJECT, READ, "2013-03", found(BETTER), released(stores, PROJECT, READ, "2013-03"))
    assert judged.refresh_decision.outcome == "refuse"
    assert "has seen the judged rows" in judged.refresh_decision.reason
    assert "champion" not in [card.model for card in judged.scorecards]


def test_a_champion_of_other_features_is_asked_with_those(stores: Stores) -> None:
    champion, fewer = released(stores, PROJECT, READ, "2013-02"), binary_project(features={"numeric": ["load"], "categorical": ["line"]})
    given = (stores, fewer, readable(fewer), MONTHS[:4], "2013-04", found(RECIPE, "2013-04"), champion, "2013-02")
    with pytest.raises(InputInvalid, match="is missing"):
        judging.judge(*given)
    judged = judging.judge(*given, live_read=READ)
    same = judged_at(stores, PROJECT, READ, "2013-04", found(RECIPE, "2013-04"), champion)
    its, before = ({card.model: card for card in one.scorecards}["champion"] for one in (judged, same))
    assert its.measures == before.measures
    assert judged.scorecards[0].measures != same.scorecards[0].measures


def test_a_champion_that_cannot_answer_any_more_is_replaced(stores: Stores) -> None:
    champion, fewer = released(stores, PROJECT, READ, "2013-03"), binary_project(features={"numeric": ["load"], "categorical": ["line"]})
    given = (stores, fewer, readable(fewer), MONTHS[:4], "2013-04", found(RECIPE, "2013-04"), champion, "2013-03")
    judged = judging.judge(*given, gone=["hour", "wind"])
    assert judged.refresh_decision
    assert "cannot answer: it takes hour" in judged.refresh_decision.reason
    assert "champion" not in {card.model for card in judged.scorecards}


def test_too_few_rows_never_promote(stores: Stores) -> None:
    strict = binary_project(gate={"min_rows": 100_000})
    judged = judged_at(stores, strict, READ, "2013-04", found(RECIPE), released(stores, PROJECT, READ, "2013-03", POOR))
    assert judged.recipe_decision.outcome == judged.refresh_decision.outcome == "inconclusive"
    assert judged.recipe == POOR


def test_all_sides_are_measured_on_the_rows_of_t(stores: Stores) -> None:
    judged = judged_at(stores, PROJECT, READ, "2013-04", found(BETTER), released(stores, PROJECT, READ, "2013-03"))
    cards = {card.model: card for card in judged.scorecards}
    assert list(cards) == ["challenger", "champion", "logistic", "majority"]
    assert {(card.rows_of, card.rows) for card in judged.scorecards} == {("2013-04", len(READ(["2013-04"]).y))}
    assert cards["majority"].measures["auc"].value == 0.5
    assert cards["challenger"].measures["log_loss"].value < cards["majority"].measures["log_loss"].value


def test_the_scorecard_has_the_comparators_that_the_yaml_names(stores: Stores) -> None:
    project = binary_project(gate={"comparators": ["histgb", "constant"]})
    judged = judged_at(stores, project, READ, "2013-04", found(BETTER))
    assert [card.model for card in judged.scorecards] == ["challenger", "histgb", "majority"]
    champion = released(stores, PROJECT, READ, "2013-04")
    assert set(plots.draw(stores.var / judged.path, found(BETTER), judged, champion)) == {"reliability", "roc_pr", "importance", "search"}
    none = judged_at(stores, binary_project(gate={"comparators": []}), READ, "2013-04", found(BETTER))
    assert [card.model for card in none.scorecards] == ["challenger"]
    assert none.recipe_decision == judged.recipe_decision  # they decide nothing


def test_an_average_of_styles_is_judged_released_and_defends_itself(stores: Stores) -> None:
    """Its bundle serves it bit for bit, and its lineage names it."""
    average = replace(
        RECIPE, name="average", encoding="native", members=(Member({"eta": 0.3, "max_depth": 2}, 6, 1, "onehot", ("load", "line")),)
    )
    champion = released(stores, PROJECT, READ, "2013-03", average)
    champion.check_golden()
    assert len(champion.boosters) == 2
    assert judging.recipe_of(champion) == average
    judged = judged_at(stores, PROJECT, READ, "2013-04", found(replace(average, name="again")), champion)
    assert "the champion's own" in judged.recipe_decision.reason
    assert "equal scores" in judged.refresh_decision.reason


def test_the_predictions_are_kept_with_their_keys(stores: Stores) -> None:
    judged = judged_at(stores, PROJECT, READ, "2013-04", found(BETTER), released(stores, PROJECT, READ, "2013-03"))
    kept = pq.read_table(stores.var / judged.path)
    scores = ["score_challenger", "score_champion", "score_logistic", "score_majority"]
    assert kept.column_names == ["at", "line", "number", "outcome", *scores]
    assert kept.num_rows == len(READ(["2013-04"]).y)


def test_judging_again_says_the_same(stores: Stores) -> None:
    champion = released(stores, PROJECT, READ, "2013-03")
    first = judged_at(stores, PROJECT, READ, "2013-04", found(BETTER), champion)
    assert judged_at(stores, PROJECT, READ, "2013-04", found(BETTER), champion) == first
    fresh = Stores(root=stores.root, var=stores.var / "fresh", threads=1)
    assert judged_at(fresh, PROJECT, READ, "2013-04", found(BETTER), champion) == first


def test_threshold_and_calibration_do_not_look_at_the_judged_rows(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    first = judged_at(stores, PROJECT, READ, "2013-04", found(RECIPE))
    other_april = readable(PROJECT, seed=0)
    turned = replace(other_april(["2013-04"]), y=1 - other_april(["2013-04"]).y, digest="turned around")

    def scrambled(periods: list[str]) -> object:
        return turned if list(periods) == ["2013-04"] else READ(periods)

    second = judged_at(stores, PROJECT, scrambled, "2013-04", found(RECIPE))  # type: ignore[arg-type]
    assert (second.threshold, second.calibration) == (first.threshold, first.calibration)
    assert second.recipe_decision.outcome != first.recipe_decision.outcome


@pytest.mark.parametrize(
    "folds",
    [{}, {"count": 2}, {"by": "outcome", "count": 2}, {"by": "group", "count": 2, "group": "stop"}],
    ids=["one", "time", "outcome", "group"],
)
def test_what_is_said_of_a_period_does_not_hang_on_its_outcomes_from_search_to_calibration(
    stores: Stores, folds: dict[str, object]
) -> None:
    """All that becomes known of April later is scrambled: searched, fitted and calibrated anew, each of its rows scores the same bits."""
    project = binary_project(split={"folds": folds}, search={"trials": 2}, calibration={"method": "sigmoid"})
    plain = readable(project)

    def scrambled(periods: Sequence[str]) -> Rows:
        given = plain(periods)
        y, months = given.y.copy(), np.array([at.as_py().month for at in given.keys.column("at")])
        y[months == 4] = 1 - y[months == 4]
        return replace(given, y=y, digest=f"{given.digest} turned around" if (months == 4).any() else given.digest)  # type: ignore[type-var]

    said = []
    for read, where in ((plain, stores), (scrambled, Stores(root=stores.root, var=stores.var / "scrambled"))):
        judged = judged_at(where, project, read, "2013-04", tuned_at(where, project, read, "2013-04"))
        said.append((judged.calibration, judged.threshold, pq.read_table(where.var / judged.path)))
    assert said[0][:2] == said[1][:2]
    assert said[0][2]["score_challenger"].equals(said[1][2]["score_challenger"])
    assert not said[0][2]["outcome"].equals(said[1][2]["outcome"]), "April was not scrambled"


@pytest.mark.parametrize("until", ["2013-01", "2013-02"])
def test_the_first_periods_are_judged_too(stores: Stores, until: str) -> None:
    judged = judged_at(stores, binary_project(gate={"min_rows": 100}), READ, until, found(RECIPE, until))
    assert judged.calibration == {"kind": "none"}
    assert {card.rows_of for card in judged.scorecards} == {until}


def test_the_recipe_of_a_bundle_is_read_from_its_lineage(stores: Stores) -> None:
    assert judging.recipe_of(released(stores, PROJECT, READ, "2013-02")) == RECIPE


def test_a_bundle_without_a_recipe_cannot_defend_itself(stores: Stores) -> None:
    bundle = released(stores, PROJECT, READ, "2013-02")
    with pytest.raises(BundleRefused, match="names no recipe"):
        judging.recipe_of(replace(bundle, lineage={"recipe": {"named": "prior"}}))
