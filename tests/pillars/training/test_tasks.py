"""One of several, and numbers: from rows to a bundle that answers."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.errors import BundleRefused
from pillars.stores import Stores
from pillars.training import baselines, plots
from pillars.training.fitting import Ground, fit, fit_until_stopped
from pillars.training.heldout import held_out
from pillars.training.metrics import losses
from pillars.training.refitting import refit
from pillars.vocabulary import Decision, Judged
from tests.factories import CLASSES, binary_project, classes_project, numbers_project
from tests.pillars.training.worlds import MONTHS, RECIPE, found, gathered, judged_at, readable, released, tuned_at

CLASSED, NUMBERED = classes_project(), numbers_project()
BOTH = [pytest.param(CLASSED, id="multiclass"), pytest.param(NUMBERED, id="regression")]
ABSOLUTE = numbers_project(gate={"loss": "absolute_error", "margin": 0.01, "refresh_margin": 0.05})


@pytest.fixture
def stores() -> Stores:
    return Stores()


@pytest.mark.parametrize("project", [*BOTH, pytest.param(ABSOLUTE, id="absolute errors")])
def test_a_search_finds_what_beats_one_answer_for_all(stores: Stores, project: Project) -> None:
    read = readable(project)
    tuned = tuned_at(stores, project, read, "2013-03")
    judged = judged_at(stores, project, read, "2013-03", tuned)
    assert judged.recipe_decision, judged.recipe_decision.reason
    assert ("one number for all" if project.task == "regression" else "the base rates") in judged.recipe_decision.reason
    cards = {card.model: card.measures for card in judged.scorecards}
    simple, same = ("linear", "mean") if project.task == "regression" else ("logistic", "majority")
    assert list(cards) == ["challenger", simple, same]
    assert cards["challenger"][project.gate.loss].value < cards[same][project.gate.loss].value
    assert cards[simple][project.gate.loss].value < cards[same][project.gate.loss].value


@pytest.mark.parametrize("project", BOTH)
def test_rounds_stopped_early_are_scored_as_a_fit_of_so_many(project: Project) -> None:
    ground, valid = Ground(project, gathered(project, "2013-01")), gathered(project, "2013-02")
    encoded = ground.encoder.encode(valid.columns)
    stopped, scores = fit_until_stopped(ground, encoded, valid.y, RECIPE, 2)
    again = held_out(Stores(), ground, valid, stopped, 1)
    assert np.array_equal(scores, again.p)
    assert scores.shape == ((len(valid.y), 3) if project.task == "multiclass" else (len(valid.y),))


@pytest.mark.parametrize("project", BOTH)
def test_equal_rows_give_equal_bytes_with_any_number_of_threads(project: Project) -> None:
    rows = gathered(project, "2013-01")
    assert fit(Ground(project, rows), RECIPE, 1) == fit(Ground(project, rows), RECIPE, 2)


def test_a_bundle_of_several_classes_says_the_most_probable_one(stores: Stores) -> None:
    bundle = released(stores, CLASSED, readable(CLASSED), "2013-03")
    assert (bundle.task, bundle.classes) == ("multiclass", tuple(CLASSES))
    rows = gathered(CLASSED, "2013-04")
    said = bundle.predict(rows.columns)
    assert said.probabilities is not None
    assert said.decision is not None
    assert said.probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-6)
    assert said.decision.tolist() == [CLASSES[i] for i in said.probabilities.argmax(axis=1)]
    assert (said.score == said.probabilities.max(axis=1)).all()
    assert list(said.columns(bundle.classes)) == ["score", "decision", "p_on time", "p_late", "p_very late"]
    assert losses("log_loss", rows.y, said.probabilities).mean() < 0.9
    bundle.check_golden()
    assert [o["name"] for o in bundle.schema["outputs"]] == list(said.columns(bundle.classes))


def test_a_bundle_of_numbers_says_the_number(stores: Stores) -> None:
    bundle = released(stores, NUMBERED, readable(NUMBERED), "2013-03")
    said = bundle.predict(gathered(NUMBERED, "2013-04").columns)
    assert said.decision is None
    assert list(said.columns(())) == ["score"]
    assert said.score.min() < 0 < said.score.max(), "no sigmoid over it"
    bundle.check_golden()


@pytest.mark.parametrize("project", BOTH)
def test_a_changed_booster_is_refused(stores: Stores, project: Project) -> None:
    bundle = released(stores, project, readable(project), "2013-03")
    golden = bundle.path / "golden.json"
    content = json.loads(golden.read_text())
    assert len(content["scores"]) == 32
    assert np.shape(content["scores"]) == ((32, 3) if project.task == "multiclass" else (32,))
    bundle.golden["scores"] = (np.array(content["scores"]) + 1e-9).tolist()
    with pytest.raises(BundleRefused, match="32 of 32 golden rows"):
        bundle.check_golden()


@pytest.mark.parametrize(
    ("project", "said"),
    [
        pytest.param(CLASSED, "outcome rate of ", id="multiclass"),
        pytest.param(NUMBERED, "their mean", id="regression"),
        pytest.param(ABSOLUTE, "their median", id="absolute errors"),
    ],
)
def test_what_is_released_says_how_near_it_came(stores: Stores, project: Project, said: str) -> None:
    yes = Decision.accept("")
    judged = Judged("trams", "2013-03", RECIPE, yes, yes, (), {"kind": "none"}, 0.5, "")
    path, _, _, decision = refit(stores, project, readable(project), MONTHS[:3], "2013-03", judged, {})
    assert decision, decision.reason
    assert said in decision.reason
    assert Bundle.load(stores.var / path).calibration == {"kind": "none"}


def test_a_binary_bundle_says_nothing_of_tasks(stores: Stores) -> None:
    bundle = released(stores, binary_project(), readable(binary_project()), "2013-03")
    assert json.loads((bundle.path / "decision.json").read_text()) == {"threshold": 0.25}
    assert (bundle.task, bundle.classes) == ("binary", ())


@pytest.mark.parametrize(("project", "pictures"), [(CLASSED, ["confusion"]), (NUMBERED, ["realized", "errors"])])
def test_pictures_are_those_of_the_task(stores: Stores, project: Project, pictures: list[str]) -> None:
    read = readable(project)
    judged = judged_at(stores, project, read, "2013-03", found(RECIPE))
    bundle = released(stores, project, read, "2013-03")
    drawn = plots.draw(stores.var / judged.path, tuned_at(stores, project, read, "2013-03"), judged, bundle)
    assert list(drawn) == [*pictures, "importance", "search"]
    assert all(picture.startswith(b"\x89PNG") for picture in drawn.values())
    scores = pq.read_table(stores.var / judged.path)["score_challenger"]
    assert np.shape(scores.to_pylist())[1:] == ((3,) if project.task == "multiclass" else ())


def test_the_same_for_all_is_what_loses_least() -> None:
    classed, numbered = gathered(CLASSED, "2013-01"), gathered(NUMBERED, "2013-01")
    shares = baselines.constant(CLASSED, classed, 2)
    assert shares.shape == (2, 3)
    assert shares[0] == pytest.approx([(classed.y == place).mean() for place in range(3)])
    assert baselines.constant(NUMBERED, numbered, 1)[0] == pytest.approx(numbered.y.mean())
    assert baselines.constant(ABSOLUTE, numbered, 1)[0] == pytest.approx(np.median(numbered.y))


def test_a_class_that_was_never_seen_has_no_chance_for_the_linear_model() -> None:
    rows, judged = gathered(CLASSED, "2013-01"), gathered(CLASSED, "2013-02")
    kept = rows.y != 2
    seen = type(rows)(rows.keys, {n: c[kept] for n, c in rows.columns.items()}, rows.y[kept], rows.blocks[kept], "")
    p = baselines.linear(CLASSED, seen, judged)
    assert p.shape == (len(judged.y), 3)
    assert (p[:, 2] == 0).all()


@pytest.mark.parametrize(
    ("sections", "problem"),
    [
        ({"classes": []}, "classes: name the values of a multiclass target, three or more"),
        ({"classes": ["late", "late", "on time"]}, "classes: "),
        ({"gate": {"loss": "squared_error"}}, "gate.loss: squared_error is no loss of a multiclass target; there are log_loss and brier"),
        ({"task": "binary"}, "target: how_late is declared category; a binary target is a bool"),
    ],
)
def test_what_does_not_go_together_is_refused(sections: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        classes_project(**sections)


def test_a_number_has_no_classes_and_no_log_loss() -> None:
    with pytest.raises(ValueError, match="a regression target has none to name"):
        numbers_project(classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="log_loss is no loss of a regression target; there are squared_error and absolute_error"):
        numbers_project(gate={"loss": "log_loss"})
