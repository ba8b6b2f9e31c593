"""A change of settings is as strict as the YAML, and says what it may not touch."""

from __future__ import annotations

import pytest

from flows.train import SECTIONS
from pillars.config import Project
from pillars.development.settings import FIXED, changed, changes
from pillars.errors import ConfigInvalid
from tests.factories import binary_project

PROJECT = binary_project(search={"prior": {"eta": 0.3}})


def refused(*settings: str) -> str:
    with pytest.raises(ConfigInvalid) as err:
        changed(PROJECT, settings)
    return "\n".join(err.value.problems)


@pytest.mark.parametrize(
    ("setting", "key", "was", "now"),
    [
        pytest.param("search.trials=20", "search.trials", "3", "20", id="a number"),
        pytest.param("gate.margin=1e-2", "gate.margin", "0.001", "0.01", id="a number that YAML takes for text"),
        pytest.param(" split.block = hour ", "split.block", '"day"', '"hour"', id="blanks around"),
        pytest.param("search.prior.max_depth=3", "search.prior.max_depth", "null", "3", id="a new key of a mapping"),
        pytest.param("search.prior.eta=0.1", "search.prior.eta", "0.3", "0.1", id="a key of a mapping, and no other"),
        pytest.param("features.numeric=[load]", "features.numeric", '["load", "wind", "hour"]', '["load"]', id="another set of features"),
        pytest.param(
            "search.space.eta={low: 0.1, high: 0.2}",
            "search.space.eta",
            "null",
            '{"high": 0.2, "log": false, "low": 0.1, "points": 3}',
            id="a range",
        ),
        pytest.param(
            "gate.limits.auc.least=0.6", "gate.limits.auc", "null", '{"least": 0.6, "most": null}', id="a key of what is not there yet"
        ),
    ],
)
def test_a_setting_changes_its_key_and_nothing_else(setting: str, key: str, was: str, now: str) -> None:
    import json

    (change,) = changes(PROJECT, changed(PROJECT, [setting]))
    assert (change.key, json.loads(change.was), json.loads(change.now)) == (key, json.loads(was), json.loads(now))


def test_several_settings_are_one_experiment_and_the_project_stays_as_it_is() -> None:
    before = PROJECT.digest()
    found = changed(PROJECT, ["search.trials=1", "search.seed=5"])
    assert [change.key for change in changes(PROJECT, found)] == ["search.seed", "search.trials"]
    assert PROJECT.digest() == before != found.digest()


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param(["search.trails=9"], "unknown key search.trails; nearest: trials", id="unknown key"),
        pytest.param(["serch.trials=9"], "unknown key serch.trials; nearest: search", id="unknown section"),
        pytest.param(["search.space.eta.hihg=1"], "unknown key search.space.eta.hihg; nearest: high", id="unknown key far down"),
        pytest.param(["search.trials=many"], "search.trials: Input should be a valid integer", id="bad value"),
        pytest.param(["search.trials=-1"], "search.trials: Input should be greater than or equal to 0", id="value out of range"),
        pytest.param(["search.trials="], "search.trials: Input should be a valid integer", id="no value"),
        pytest.param(["split.block=week"], "split.block: Input should be 'day', 'hour' or 'row'", id="none of some"),
        pytest.param(["search=5"], "search: Input should be a valid dictionary", id="a section as a number"),
        pytest.param(
            ["features.numeric=[load, laod]"], "features: laod is not declared under columns; nearest: load", id="across sections"
        ),
        pytest.param(["features.numeric=[delay_min]"], "known only after the prediction moment", id="a feature of the future"),
        pytest.param(["gate.loss=squared_error"], "gate.loss: squared_error is no loss of a binary target", id="another task's loss"),
        pytest.param(["search.trials"], "search.trials: it is no section.key=value", id="no equals"),
        pytest.param([""], "an empty word: it is no section.key=value", id="empty"),
        pytest.param(["=5"], "unknown key ", id="no key"),
        pytest.param(["search..trials=5"], "unknown key search.", id="two dots"),
        pytest.param(["search.trials.deep=5"], "search.trials is a value of its own, without keys; set it whole", id="through a value"),
        pytest.param(["features.numeric.0=load"], "features.numeric is a value of its own", id="through a list"),
        pytest.param(["search.trials=1", "search.trials=2"], "search.trials is set twice", id="twice"),
        pytest.param(["search.prior={eta: 1}", "search.prior.eta=2"], "search.prior.eta is set twice", id="twice, once within"),
        pytest.param(["search.trials={a: [}"], "search.trials: '{a: [}' is no YAML", id="no YAML"),
        pytest.param(["search.trials=!!python/object:os.system x"], "search.trials: ", id="no Python"),
        pytest.param(["search.trials=3"], "nothing is changed: search.trials already stands so", id="nothing new"),
    ],
)
def test_what_cannot_be_set_is_named(settings: list[str], said: str) -> None:
    assert said in refused(*settings)


@pytest.mark.parametrize("section", FIXED)
def test_what_is_not_trained_from_or_would_change_the_data_may_not_be_set(section: str) -> None:
    assert section in Project.model_fields
    assert f"{section} may not be set in an experiment; {FIXED[section]}" in refused(f"{section}.x=1")


def test_all_that_is_wrong_is_said_at_once() -> None:
    assert len(refused("source.python=x", "nowhere.y=1", "search.trials").splitlines()) == 3


def test_a_section_that_a_candidate_depends_on_may_be_set_or_says_why_not() -> None:
    assert {section for section in SECTIONS if section not in FIXED} >= {"features", "split", "search", "cost", "gate"}
