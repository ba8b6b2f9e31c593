"""What moved the loss between two versions is what was changed between them, and nothing else is blamed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pillars.errors import DataCorrupt, RebuildFailed, TooFewRows
from pillars.reproduction import attributing, remaking
from pillars.stores import Stores
from pillars.vocabulary import Attribution, DataVersion, Measure, Moved
from tests.factories import binary_project, classes_project, numbers_project
from tests.pillars.reproduction.worlds import MONTHS, RECIPE, commit, fitted, make, publish, repository

pytestmark = pytest.mark.slow  # each fit is a process that imports XGBoost

NEWER = "2013-03"
FEATURES = "pillars/development/features.py"
PLAIN = "return numbers.to_numpy()  # null is NaN"
GONE = "return numbers.to_numpy() * 0  # null is NaN"
PROJECT = binary_project()


def attributed(stores: Stores, version: DataVersion, judge: str = NEWER, project: Any = PROJECT, recorded: Any = ()) -> Attribution:
    with attributing.bench(stores, project, 1, 2, [*recorded], judge, version) as bench:
        return bench.attribution()


def by_name(found: Attribution) -> dict[str, Moved]:
    return {moved.factor: moved for moved in found.factors}


def test_parameters_alone_are_the_whole_and_nothing_is_left_over(mlflow_stores: Stores) -> None:
    repository(mlflow_stores.root, PROJECT)
    world = make(mlflow_stores, PROJECT, replace(RECIPE, rounds=1))
    fitted(mlflow_stores, PROJECT, world.version, RECIPE)
    found = attributed(mlflow_stores, publish(mlflow_stores, PROJECT, NEWER))
    (moved,) = found.factors
    assert (moved.factor, moved.one, moved.other, moved.said) == ("parameters", "rounds 1", "rounds 8", "better")
    assert moved.forward == moved.backward == found.total
    assert found.interaction_forward.value == found.interaction_backward.value == 0
    assert found.notes == ()


@pytest.mark.parametrize("project", [pytest.param(classes_project(), id="one of several"), pytest.param(numbers_project(), id="a number")])
def test_other_kinds_of_targets_too_and_the_seed_is_one_factor_and_the_rounds_another(mlflow_stores: Stores, project: Any) -> None:
    repository(mlflow_stores.root, project)
    world = make(mlflow_stores, project, replace(RECIPE, rounds=1, seed=4))
    fitted(mlflow_stores, project, world.version, RECIPE)
    found = attributed(mlflow_stores, publish(mlflow_stores, project, NEWER), project=project)
    moved = by_name(found)
    assert list(moved) == ["parameters", "seed"]
    assert moved["parameters"].said == "better"
    assert sum(one.forward.value for one in found.factors) + found.interaction_forward.value == pytest.approx(found.total.value)


def test_code_that_loses_the_numbers_is_found_though_the_parameters_differ_too(mlflow_stores: Stores) -> None:
    root = mlflow_stores.root
    repository(root, PROJECT, code=True)
    world = make(mlflow_stores, PROJECT)
    fitted(mlflow_stores, PROJECT, world.version, replace(RECIPE, rounds=9))
    file = root / FEATURES
    assert PLAIN in file.read_text()
    file.write_text(file.read_text().replace(PLAIN, GONE))
    later = commit(root, "numbers are nothing")
    world.client().set_model_version_tag("trams", "2", "commit", later)  # as if it had been trained there
    found = attributed(mlflow_stores, publish(mlflow_stores, PROJECT, NEWER))
    moved = by_name(found)
    assert list(moved) == ["code", "parameters"]
    assert moved["code"].said == "worse"
    assert moved["code"].forward.high < 0
    assert abs(moved["parameters"].forward.value) < abs(moved["code"].forward.value)
    assert [note for note in found.notes if "other bytes" in note] == [
        "v2 came out with other bytes than the registered ones (pillars reproduce says why)"
    ]


def test_a_commit_that_changes_no_python_is_no_factor_and_calibration_is_one_without_a_fit(
    mlflow_stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = mlflow_stores.root
    repository(root, PROJECT)
    world = make(mlflow_stores, PROJECT)
    (root / "notes.md").write_text("something else")
    commit(root, "notes")
    fitted(mlflow_stores, PROJECT, world.version, RECIPE, calibration={"kind": "sigmoid", "a": 1.0, "b": 3.0})
    fits: list[int] = []
    original = remaking.remake
    monkeypatch.setattr(remaking, "remake", lambda *given, **named: (fits.append(1), original(*given, **named))[1])
    found = attributed(mlflow_stores, publish(mlflow_stores, PROJECT, NEWER))
    (moved,) = found.factors
    assert (moved.factor, moved.said) == ("calibration", "worse")
    assert len(fits) == 1


def test_who_has_seen_the_rows_that_judge_is_fitted_without_them(mlflow_stores: Stores) -> None:
    repository(mlflow_stores.root, PROJECT)
    world = make(mlflow_stores, PROJECT)
    fitted(mlflow_stores, PROJECT, world.version, replace(RECIPE, rounds=2))
    found = attributed(mlflow_stores, world.version, judge=MONTHS[-1])
    assert found.judged_on == "2013-02"
    assert [note.split(";")[0] for note in found.notes] == [f"v{number} was fitted through 2013-02" for number in (1, 2)]
    with pytest.raises(TooFewRows, match="no rows before it"):
        attributed(mlflow_stores, world.version, judge=MONTHS[0])


def test_lost_data_and_a_process_that_dies_are_errors_that_say_so(mlflow_stores: Stores) -> None:
    repository(mlflow_stores.root, PROJECT)
    world = make(mlflow_stores, PROJECT)
    fitted(mlflow_stores, PROJECT, world.version, replace(RECIPE, params={**RECIPE.params, "eta": 0.1}))
    newest = publish(mlflow_stores, PROJECT, NEWER)
    world.client().set_model_version_tag("trams", "2", "recipe", '{"name": "x", "params": {"subsample": 7}, "rounds": 2, "seed": 0}')
    with pytest.raises(RebuildFailed, match="subsample"):
        attributed(mlflow_stores, newest)
    for path in world.objects():
        path.unlink()
    with pytest.raises((RebuildFailed, DataCorrupt)):
        attributed(mlflow_stores, newest)


@pytest.mark.parametrize(
    ("forward", "backward", "said"),
    [
        pytest.param((0.1, 0.05, 0.2), (0.1, 0.01, 0.2), "better", id="both above"),
        pytest.param((-0.1, -0.2, -0.05), (-0.1, -0.2, -0.01), "worse", id="both below"),
        pytest.param((0.1, 0.05, 0.2), (0.1, -0.01, 0.2), "from one side only", id="one of them"),
        pytest.param((0.1, 0.05, 0.2), (-0.1, -0.2, -0.01), "depends on the other factors", id="against each other"),
        pytest.param((0.1, -0.05, 0.2), (0.1, -0.01, 0.2), "nobody can say", id="neither"),
        pytest.param((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), "moved nothing", id="nothing"),
    ],
)
def test_a_factor_moved_the_loss_where_both_sides_surely_say_so(forward: Any, backward: Any, said: str) -> None:
    assert Moved("data", "", "", Measure(*forward), Measure(*backward)).said == said


def test_the_folder_goes_away_and_the_scores_stay(mlflow_stores: Stores, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tempfile

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    repository(mlflow_stores.root, PROJECT)
    world = make(mlflow_stores, PROJECT)
    fitted(mlflow_stores, PROJECT, world.version, replace(RECIPE, rounds=2))
    before = attributed(mlflow_stores, publish(mlflow_stores, PROJECT, NEWER))
    assert [path for path in (tmp_path / "temporary").rglob("*") if "attribute" in path.name and any(path.iterdir())] == []
    assert len(list((mlflow_stores.var / "attributions" / "trams").glob("*.npz"))) == 2
    assert before.rows > 0
