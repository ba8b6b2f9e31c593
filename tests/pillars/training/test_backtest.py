"""A rolling origin: each period judged by a fit on what lies before it, and by nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from pillars.config import Project
from pillars.development import models
from pillars.errors import UnknownName
from pillars.stores import Stores
from pillars.training import fitting, heldout
from pillars.training.backtest import backtest, joined, nested
from pillars.training.fitting import Ground
from pillars.training.heldout import held_out
from pillars.training.metrics import losses
from pillars.training.rows import Read, gather
from pillars.training.splits import Part
from pillars.vocabulary import AtOrigin, Backtest, Measure, Tuned
from tests.factories import binary_project, classes_project, numbers_project
from tests.pillars.training.worlds import MONTHS, RECIPE, found, gathered, judged_at, readable, tuned_at

PROJECT = binary_project(backtest={"origins": 3})
READ = readable(PROJECT)


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the recipes that were fitted."""
    made: list[str] = []
    real = fitting.fit_scores

    def counted(on: Ground, recipe: object, threads: int = 1) -> object:
        made.append(f"{getattr(recipe, 'name', '')} on {len(on.rows.y)}")
        return real(on, recipe, threads)  # type: ignore[arg-type]

    monkeypatch.setattr(heldout, "fit_scores", counted)
    return made


def asked(stores: Stores, project: Project = PROJECT, read: Read = READ, until: str = "2013-04") -> tuple[AtOrigin, ...]:
    return backtest(stores, project, read, MONTHS, until, RECIPE)


def repeated(stores: Stores, project: Project, tuned: Tuned, read: Read = READ) -> tuple[AtOrigin, ...]:
    return nested(stores, project, read, MONTHS, "2013-04", tuned, models.stock_recipe(project), [models.prior_recipe(project)])


def scrambled(read: Read, first: str) -> Read:
    """Outcomes of `first` and later shuffled among their rows."""

    def other(periods: Sequence[str]) -> object:
        given = read(periods)
        months = np.array([value.as_py().strftime("%Y-%m") for value in given.keys.column("at")])
        y, later = given.y.copy(), np.flatnonzero(months >= first)
        y[later] = np.random.default_rng(0).permutation(y[later])
        return replace(given, y=y, digest=f"{given.digest} scrambled")  # type: ignore[type-var]

    return other  # type: ignore[return-value]


@pytest.mark.parametrize("make", [binary_project, classes_project, numbers_project])
def test_every_origin_is_what_a_fit_on_the_periods_before_it_says(stores: Stores, make: type[Project]) -> None:
    project = make(backtest={"origins": 3})
    told = asked(stores, project, readable(project))
    assert [one.judged for one in told] == MONTHS[1:], "nothing lies before the first"
    assert [one.fitted_through for one in told] == MONTHS[:3]
    last = told[-1]
    before, judged = gathered(project, *MONTHS[:3]), gathered(project, "2013-04")
    p = held_out(stores, Ground(project, before), judged, RECIPE, 1).p
    assert (last.fit_rows, last.rows) == (len(before.y), len(judged.y))
    assert last.loss.value == pytest.approx(losses(project.gate.loss, judged.y, p).mean())
    assert last.loss.low < last.loss.value < last.loss.high
    assert last.loss.value < last.base, "it learned something"


def test_a_gap_is_kept_at_every_origin(stores: Stores) -> None:
    project = binary_project(split={"gap_periods": 1}, backtest={"origins": 9})
    told = asked(stores, project, readable(project))
    assert [(one.fitted_through, one.judged) for one in told] == [("2013-01", "2013-03"), ("2013-02", "2013-04")]


def test_what_comes_after_an_origin_does_not_change_it(stores: Stores) -> None:
    now, other = asked(stores), asked(stores, read=scrambled(READ, "2013-04"))
    assert now[:2] == other[:2]
    assert now[2] != other[2], "the future was not scrambled"


def test_the_rows_that_the_recipe_was_chosen_by_are_named(stores: Stores) -> None:
    def marked(**folds: object) -> list[str]:
        project = binary_project(backtest={"origins": 3}, split={"folds": folds})
        return [one.judged for one in asked(stores, project) if one.chosen_on]

    assert marked() == ["2013-03"]
    assert marked(count=2) == marked(by="outcome", count=3) == ["2013-02", "2013-03"]


def test_a_recipe_that_stays_costs_no_fit(stores: Stores, fits: list[str]) -> None:
    asked(stores, until="2013-03")
    tuned = replace(found(RECIPE), period="2013-04")
    judged_at(stores, PROJECT, READ, "2013-04", tuned)
    before = list(fits)
    asked(stores)
    assert fits == before, "the twin of April and those of earlier periods are known"


def test_rows_may_be_capped_but_those_of_the_twin_are_not(stores: Stores) -> None:
    told = asked(stores, binary_project(backtest={"origins": 3, "rows": 300}))
    assert [one.fit_rows for one in told][:2] == [300, 300]
    assert told[-1] == asked(stores)[-1]


def test_a_first_period_is_judged_by_its_own_end(stores: Stores) -> None:
    (only,) = backtest(stores, PROJECT, READ, MONTHS[:1], "2013-01", RECIPE)
    assert (only.judged, only.fitted_through) == ("2013-01", "2013-01")
    assert only.fit_rows + only.rows == len(gather(READ, Part(("2013-01",))).y)


def test_none_are_asked_for(stores: Stores, fits: list[str]) -> None:
    assert asked(stores, binary_project(backtest={"origins": 0})) == ()
    assert fits == []
    assert joined(PROJECT, (), ()).said == ""


def test_a_period_without_outcomes_is_left_out_and_one_that_does_not_exist_is_named(stores: Stores) -> None:
    def read(periods: Sequence[str]) -> object:
        given = READ(periods)
        return replace(given, y=given.y[:0]) if list(periods) == ["2013-03"] else given  # type: ignore[type-var]

    assert [one.judged for one in asked(stores, read=read)] == ["2013-02", "2013-04"]  # type: ignore[arg-type]
    with pytest.raises(UnknownName, match="2014-01"):
        backtest(stores, PROJECT, READ, MONTHS, "2014-01", RECIPE)


def test_one_outcome_alone_is_nothing_to_learn_from(stores: Stores) -> None:
    def read(periods: Sequence[str]) -> object:
        given = READ(periods)
        return replace(given, y=np.zeros_like(given.y)) if list(periods) == ["2013-01"] else given  # type: ignore[type-var]

    assert [one.judged for one in asked(stores, read=read)] == ["2013-03", "2013-04"]  # type: ignore[arg-type]


NESTED = binary_project(backtest={"nested": 3}, search={"trials": 2})


def test_a_nested_search_repeats_what_the_procedure_would_have_done(stores: Stores) -> None:
    tuned = tuned_at(stores, NESTED, READ, "2013-04")
    told = repeated(stores, NESTED, tuned)
    assert [one.judged for one in told] == MONTHS[1:]
    assert told[-1].recipe == tuned.recipe.name, "at the newest period it is the search itself"
    then = tuned_at(stores, NESTED, READ, "2013-03", [models.prior_recipe(NESTED)])
    assert told[1].recipe == then.recipe.name
    before, judged = gathered(NESTED, *MONTHS[:2]), gathered(NESTED, "2013-03")
    p = held_out(stores, Ground(NESTED, before), judged, then.recipe, 1).p
    assert told[1].loss.value == pytest.approx(losses("log_loss", judged.y, p).mean())


def test_no_outcome_of_a_judged_period_takes_part_in_its_nested_search(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    """Recipe and predictions of April stay, whatever its outcomes; only what they lose changes."""
    tuned = tuned_at(stores, NESTED, READ, "2013-04")
    other = scrambled(READ, "2013-03")
    now, then = repeated(stores, NESTED, tuned), repeated(stores, NESTED, tuned, other)
    assert now[0] == then[0]
    assert now[1].recipe == then[1].recipe
    assert now[1].loss != then[1].loss


def test_a_budget_ends_the_nested_searches_and_its_answer_stays(stores: Stores) -> None:
    project = binary_project(backtest={"nested": 3, "seconds": 0.0001}, search={"trials": 2})
    tuned = tuned_at(stores, project, READ, "2013-04")
    told = repeated(stores, project, tuned)
    assert [one.judged for one in told] == ["2013-03", "2013-04"], "the first search is begun, no other"
    assert repeated(stores, project, tuned) == told


def test_it_is_said_in_one_line() -> None:
    def at(period: str, loss: float) -> AtOrigin:
        return AtOrigin(period, "x", 10, 5, "prior", Measure(loss, loss - 0.02, loss + 0.02), 0.5)

    told = Backtest("log_loss", (at("2013-02", 0.4), at("2013-03", 0.49)), (at("2013-03", 0.45),))
    assert told.said == (
        "log_loss 0.4450 on average of 2 periods (0.4000 in 2013-02 to 0.4900 in 2013-03), surely below one answer for all in 1; "
        "the whole search: log_loss 0.4500 in 2013-03, surely below one answer for all"
    )


def test_left_at_its_default_it_changes_no_digest() -> None:
    assert "backtest" not in binary_project().model_dump(exclude_defaults=True)
