"""The rows that recipes compete on: by default as ever, by folds what each kind of them promises."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.config import Project, digest
from pillars.development import features, models
from pillars.errors import ConfigInvalid, TooFewRows
from pillars.stores import Stores
from pillars.training.contest import Contest, contest
from pillars.training.fitting import Ground
from pillars.training.heldout import held_out
from pillars.training.metrics import losses
from pillars.training.rows import Read
from pillars.training.splits import plan
from tests.factories import COLUMNS, binary_project, classes_project, numbers_project, reading, rows_and_outcomes
from tests.pillars.training.worlds import MONTHS, RECIPE, gathered, readable, tuned_at

KINDS = [
    pytest.param({"by": "time", "count": 2}, id="time"),
    pytest.param({"by": "group", "count": 3, "group": "stop"}, id="group"),
    pytest.param({"by": "outcome", "count": 3}, id="outcome"),
    pytest.param({"by": "outcome", "count": 2, "repeats": 2}, id="repeated"),
]


@pytest.fixture
def stores() -> Stores:
    return Stores()


def project_of(folds: dict[str, Any], make: Any = binary_project, **sections: Any) -> Project:
    given = sections.pop("split", {})
    return make(split={**given, "folds": folds}, **sections)


def of(stores: Stores, project: Project, read: Read | None = None, until: str = "2013-04") -> Contest:
    return contest(stores, project, read or readable(project), plan(project, MONTHS[: MONTHS.index(until) + 1], until))


def keys(rows: Any) -> set[tuple[Any, ...]]:
    return {tuple(row.values()) for row in rows.keys.to_pylist()}


def months(rows: Any) -> set[str]:
    return {value.as_py().strftime("%Y-%m") for value in rows.keys.column("at")}


def test_by_default_a_search_is_the_fit_and_the_period_of_the_plan_under_the_name_it_had(stores: Stores) -> None:
    project = binary_project()
    one = of(stores, project)
    fit, valid = gathered(project, "2013-01", "2013-02"), gathered(project, "2013-03")
    assert one.digests == [fit.digest, valid.digest]
    assert one.held_out(stores, RECIPE, 1).p.tolist() == held_out(stores, Ground(project, fit), valid, RECIPE, 1).p.tolist()
    stock, prior = models.stock_recipe(project), RECIPE
    versions = [version(package) for package in ("xgboost", "optuna", "numpy")]
    settings = project.section_digest("features", "search", "gate")
    name = digest([fit.digest, valid.digest, settings, [stock.to_json(), prior.to_json()], versions])[:12]
    assert Path(tuned_at(stores, project, readable(project), "2013-04").path).name == f"2013-04-{name}.json"


def test_left_at_its_default_it_changes_no_digest() -> None:
    assert "split" not in binary_project().model_dump(exclude_defaults=True)
    assert binary_project(split={"folds": {"by": "time", "count": 1}}).digest() == binary_project().digest()


def test_by_time_nothing_is_held_out_before_what_is_fitted_and_the_gap_is_kept(stores: Stores) -> None:
    project = project_of({"count": 2})
    told = [(months(bout.ground.rows), months(bout.held)) for bout in of(stores, project).bouts]
    assert told == [({"2013-01"}, {"2013-02"}), ({"2013-01", "2013-02"}, {"2013-03"})]
    gap, six = project_of({"count": 2}, split={"gap_periods": 1}), [*MONTHS, "2013-05", "2013-06"]
    found = contest(stores, gap, readable(gap, periods=six), plan(gap, six, "2013-06")).bouts
    told = [(months(bout.ground.rows), months(bout.held)) for bout in found]
    assert told == [({"2013-01"}, {"2013-03"}), ({"2013-01", "2013-02"}, {"2013-04"})], "June judges, May is the gap before it"


def test_by_group_no_group_is_on_both_sides_and_every_row_is_held_out_once(stores: Stores) -> None:
    project = project_of({"by": "group", "count": 3, "group": "stop"})
    one = of(stores, project)
    whole = gathered(project, *MONTHS[:3])
    assert len(one.bouts) == 3
    for bout in one.bouts:
        fitted, held = bout.ground.rows.groups, bout.held.groups  # type: ignore[union-attr]
        assert not set(fitted) & set(held)
    held_keys = [keys(bout.held) for bout in one.bouts]
    assert sum(map(len, held_keys)) == len(set.union(*held_keys)) == len(whole.y)
    assert len(one.y) == len(whole.y)


def test_a_group_may_be_a_column_that_the_model_does_not_see(stores: Stores) -> None:
    columns = COLUMNS | {"driver": {"type": "category", "role": ["info"]}}
    project = project_of({"by": "group", "count": 2, "group": "driver"}, columns=columns)
    rows, outcomes = rows_and_outcomes(MONTHS, 300)
    drivers = [f"d{n}" if n else None for n in np.random.default_rng(0).integers(0, 9, rows.num_rows)]
    given = features.reader(project, "drivers", reading(rows.append_column("driver", pa.array(drivers)), outcomes))
    one = of(stores, project, given)
    assert {name for bout in one.bouts for name in bout.held.groups} == {None, *(f"d{n}" for n in range(1, 9))}
    lost = features.reader(project, "lost", reading(rows, outcomes))
    with pytest.raises(ConfigInvalid, match=r"split\.folds\.group: the rows have no column driver"):
        of(stores, project, lost)


@pytest.mark.parametrize("make", [binary_project, classes_project, numbers_project])
def test_by_outcome_shares_are_alike_and_repeats_are_other_draws(stores: Stores, make: Any) -> None:
    project = project_of({"by": "outcome", "count": 3, "repeats": 2}, make)
    one = of(stores, project)
    assert len(one.bouts) == 6
    assert len(one.y) == 2 * len(gathered(project, *MONTHS[:3]).y)
    means = [bout.held.y.mean() for bout in one.bouts]
    assert max(means) - min(means) < (0.01 if make is binary_project else 0.3)
    assert keys(one.bouts[0].held) != keys(one.bouts[3].held)


@pytest.mark.parametrize("folds", KINDS)
@pytest.mark.parametrize("make", [binary_project, classes_project, numbers_project])
def test_what_competes_predicts_each_held_row_by_a_fit_without_it(stores: Stores, folds: dict[str, Any], make: Any) -> None:
    project = project_of(folds, make)
    one = of(stores, project)
    made = one.held_out(stores, RECIPE, 1)
    parts = [held_out(stores, bout.ground, bout.held, RECIPE, 1).p for bout in one.bouts]
    assert made.p.tolist() == np.concatenate(parts).tolist()
    per_row = [losses(project.gate.loss, bout.held.y, p) for bout, p in zip(one.bouts, parts, strict=True)]
    assert one.loss(made.p) == pytest.approx(np.concatenate(per_row).mean())
    assert len(one.blocks) == len(one.y) == len(made.p)


def test_balanced_scores_are_made_fair_by_the_shares_of_their_own_fold(stores: Stores) -> None:
    project = project_of({"by": "time", "count": 2}, fit={"imbalance": "balanced"}, calibration={"method": "sigmoid"})
    one = of(stores, project)
    p = one.held_out(stores, RECIPE, 1).p
    edge = len(one.bouts[0].held.y)
    assert one.fair(p).tolist() == [*one.bouts[0].ground.fair(p[:edge]).tolist(), *one.bouts[1].ground.fair(p[edge:]).tolist()]
    assert one.bouts[0].ground.shares is not None
    assert one.bouts[0].ground.shares.tolist() != one.bouts[1].ground.shares.tolist()  # type: ignore[union-attr]


def test_blocks_of_single_rows_stay_apart_between_periods(stores: Stores) -> None:
    one = of(stores, project_of({"count": 2}, split={"block": "row"}))
    assert len(np.unique(one.blocks)) == len(one.y)


def test_rows_held_out_twice_share_their_luck(stores: Stores) -> None:
    one = of(stores, project_of({"by": "outcome", "count": 2, "repeats": 2}, split={"block": "row"}))
    assert len(np.unique(one.blocks)) * 2 == len(one.y)


@pytest.mark.parametrize("folds", KINDS)
def test_a_search_by_folds_is_kept_apart_asked_again_and_never_sees_the_judged_period(stores: Stores, folds: dict[str, Any]) -> None:
    project = project_of(folds)
    plain = readable(project)
    seen: list[str] = []

    def watched(periods: Sequence[str]) -> Any:
        seen.extend(periods)
        return plain(periods)

    tuned = tuned_at(stores, project, watched, "2013-04")
    assert set(seen) == set(MONTHS[:3])
    assert tuned.path != tuned_at(stores, binary_project(), readable(binary_project()), "2013-04").path
    assert tuned_at(stores, project, plain, "2013-04") == tuned
    elsewhere = Stores(root=stores.root, var=stores.var / "other")
    again = tuned_at(elsewhere, project, plain, "2013-04")
    assert [(t.recipe, t.loss) for t in again.leaderboard] == [(t.recipe, t.loss) for t in tuned.leaderboard], "workers change nothing"
    rows = len(of(stores, project).y)
    assert f"on {rows} rows" in tuned.verdict


def test_a_searched_recipe_takes_the_mean_of_its_folds_rounds(stores: Stores) -> None:
    one = of(stores, project_of({"by": "outcome", "count": 3}))
    most = replace(RECIPE, rounds=60)
    rounds = [held_out(stores, bout.ground, bout.held, most, 1, patience=3).recipe.rounds for bout in one.bouts]
    assert one.held_out(stores, most, 1, patience=3).recipe.rounds == round(np.mean(rounds))


def test_trials_take_the_newest_rows_of_a_contest(stores: Stores) -> None:
    by_time = of(stores, project_of({"count": 2})).newest(250)
    assert [len(bout.ground.rows.y) for bout in by_time.bouts] == [250, 250]
    assert [len(bout.held.y) for bout in by_time.bouts] == [len(bout.held.y) for bout in of(stores, project_of({"count": 2})).bouts]
    by_outcome = of(stores, project_of({"by": "outcome", "count": 5})).newest(300)
    assert len(by_outcome.y) == 300
    assert {len(bout.ground.rows.y) for bout in by_outcome.bouts} == {240}
    assert set.union(*(months(bout.held) for bout in by_outcome.bouts)) == {"2013-03"}


def test_the_first_period_is_cut_by_blocks_whatever_the_folds_by_time(stores: Stores) -> None:
    (only,) = of(stores, project_of({"count": 3}), until="2013-01").bouts
    assert only.ground.rows.blocks.max() < only.held.blocks.min()  # type: ignore[union-attr]


def test_one_group_or_one_outcome_cannot_be_held_out(stores: Stores) -> None:
    project = project_of({"by": "group", "count": 2, "group": "stop"})
    plain = readable(project)

    def alike(periods: Sequence[str]) -> Any:
        given = plain(periods)
        return replace(given, groups=np.full(len(given.y), "A", dtype=object))  # type: ignore[type-var]

    with pytest.raises(TooFewRows, match="one value of stop alone"):
        of(stores, project, alike)  # type: ignore[arg-type]

    def by_stop(periods: Sequence[str]) -> Any:
        given = plain(periods)
        late = given.y > 0.5
        return replace(given, groups=np.where(late, "late", "in time").astype(object))  # type: ignore[type-var]

    with pytest.raises(TooFewRows, match="have the same outcome"):
        of(stores, project, by_stop)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("folds", "problem"),
    [
        pytest.param({"by": "group"}, "count 1 holds nothing out", id="one group"),
        pytest.param({"by": "outcome"}, "count 1 holds nothing out", id="one of outcomes"),
        pytest.param({"by": "group", "count": 3}, "by: group needs group, the column", id="no column"),
        pytest.param({"count": 3, "group": "stop"}, "group goes with by: group, not with time", id="a column of time"),
        pytest.param({"count": 3, "repeats": 2}, "repeats goes with by: outcome, not with time", id="time repeats"),
        pytest.param({"by": "group", "count": 3, "group": "stpo"}, r"stpo is not declared under columns; nearest: stop", id="misspelt"),
        pytest.param({"by": "group", "count": 3, "group": "late"}, "late is known only after the prediction moment", id="the outcome"),
        pytest.param({"by": "group", "count": 3, "group": "wind"}, "wind is a float, whose values are no groups", id="a float"),
    ],
)
def test_folds_that_hold_nothing_out_are_refused(folds: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        project_of(folds)


def test_folds_of_rows_in_memory_go_with_no_other_engine() -> None:
    with pytest.raises(ValueError, match=r"external-memory does not know split\.folds by outcome; take local"):
        project_of({"by": "outcome", "count": 3}, fit={"engine": "external-memory"})
    assert project_of({"count": 3}, fit={"engine": "external-memory"})


def test_periods_that_are_streamed_are_folds_too(stores: Stores) -> None:
    streamed, plain = project_of({"count": 2}, fit={"engine": "external-memory"}), project_of({"count": 2})
    given = [
        of(stores, one).held_out(stores, replace(RECIPE, params={"eta": 0.2, "max_depth": 3, "max_bin": 32}), 1)
        for one in (streamed, plain)
    ]
    assert np.abs(given[0].p - given[1].p).max() < 0.05
