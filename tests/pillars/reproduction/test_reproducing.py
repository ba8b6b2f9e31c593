"""A registered version comes out the same bytes, and where it does not, the factor is found and not guessed."""

from __future__ import annotations

import json
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pillars.config import Project
from pillars.data import branch, dropped
from pillars.errors import BundleRefused, DataCorrupt, RebuildFailed, StoreUnavailable
from pillars.stores import Stores
from tests.factories import binary_project, classes_project, numbers_project
from tests.pillars.data.batches import git
from tests.pillars.reproduction.worlds import RECIPE, World, commit, forget_branch, make, recipe_tag, repository

pytestmark = pytest.mark.slow  # each reproduction is a process that imports XGBoost

FEATURES = "pillars/development/features.py"
FITTED = 587  # of 600: the others have no outcome
PLAIN = "return numbers.to_numpy()  # null is NaN"
HALVED = "return numbers.to_numpy() / 3  # null is NaN"  # a third, or float32 could split the rows alike


@pytest.fixture
def made(mlflow_stores: Stores) -> World:
    """A binary model, calibrated, of two boosters; its code is committed."""
    return of(mlflow_stores, binary_project(), bags=2, calibration={"kind": "sigmoid", "a": 1.2, "b": 0.1}, threshold=0.3)


def of(stores: Stores, project: Project, *, bags: int = 1, code: bool = False, **judged: Any) -> World:
    repository(stores.root, project, code=code)
    return make(stores, project, replace(RECIPE, bags=bags), **judged)


def names(world: World, **asked: Any) -> tuple[str, list[str]]:
    found = world.reproduce(**asked)
    return found.verdict, [factor.name for factor in found.factors]


def change_features(root: Path, old: str, new: str) -> None:
    file = root / FEATURES
    assert old in file.read_text()
    file.write_text(file.read_text().replace(old, new))


def test_calibrated_boosters_are_the_same_bytes_with_any_number_of_threads_with_the_ledger_and_without(made: World) -> None:
    for threads in (1, 2):
        found = made.reproduce(threads=threads, ledger=threads == 1)
        assert (found.verdict, found.made, found.distance) == ("IDENTICAL", made.witness.sha256, None)
        assert {factor.name for factor in found.factors} <= {"threads"}
        assert "all 2 boosters are equal byte for byte" in found.reason


@pytest.mark.parametrize(
    "project",
    [
        pytest.param(classes_project(), id="one of several"),
        pytest.param(numbers_project(), id="a number"),
        pytest.param(numbers_project(gate={"loss": "absolute_error"}), id="a number, by its absolute error"),
    ],
)
def test_other_kinds_of_targets_are_the_same_bytes_too(mlflow_stores: Stores, project: Project) -> None:
    assert names(of(mlflow_stores, project), threads=mlflow_stores.threads) == ("IDENTICAL", [])


BOUNDED = {"intervals": {"method": "cqr"}}
DISK = {"engine": "external-memory"}
CONFORMAL: dict[str, Any] = {"method": "conformal", "coverage": 0.9, "width": 0.5}
WIDTH: dict[str, Any] = {"method": "cqr", "coverage": 0.9, "width": 0.5, "boosters": 1}


@pytest.mark.parametrize(
    ("project", "judged"),
    [
        pytest.param(binary_project(fit=DISK), {}, id="fitted from the disk"),
        pytest.param(numbers_project(**BOUNDED), {"interval": WIDTH}, id="with intervals"),
        pytest.param(numbers_project(intervals={"method": "conformal"}), {"interval": CONFORMAL}, id="with one width"),
        pytest.param(
            numbers_project(intervals={"method": "conformal"}, fit=DISK), {"interval": CONFORMAL}, id="with one width, from the disk"
        ),
        pytest.param(numbers_project(**BOUNDED), {}, id="too few rows for the intervals that are asked for"),
    ],
)
def test_other_ways_to_fit_give_the_same_bytes_too(mlflow_stores: Stores, project: Project, judged: dict[str, Any]) -> None:
    assert names(of(mlflow_stores, project, **judged), threads=mlflow_stores.threads) == ("IDENTICAL", [])


def test_another_seed_is_named_and_proven(made: World) -> None:
    made.tag(recipe=recipe_tag(replace(RECIPE, bags=2, seed=4)))
    found = made.reproduce()
    (factor,) = found.factors
    assert (found.verdict, factor.name, factor.recorded, factor.proven) == ("DIFFERENT", "seed", "3 in the ledger", True)
    assert found.made != found.recorded
    assert found.distance
    assert "put back alone it gives the recorded boosters (the rows that were fitted on are the recorded ones)" in found.reason


def test_other_parameters_are_named_and_a_seed_beside_them_that_is_not_enough_is_not_proven(made: World) -> None:
    made.tag(recipe=recipe_tag(replace(RECIPE, bags=2, rounds=9)))
    found = made.reproduce()
    assert [(f.name, f.recorded, f.here, f.proven) for f in found.factors] == [
        ("parameters", "rounds 8 in the ledger", "rounds 9 in the registry", True)
    ]
    made.tag(recipe=recipe_tag(replace(RECIPE, bags=2, rounds=9, seed=4)))
    found = made.reproduce()
    assert [(f.name, f.proven) for f in found.factors] == [("seed", False), ("parameters", False)]
    assert "seed" in found.reason
    assert "parameters" in found.reason


def test_scores_within_epsilon_are_equivalent_and_it_says_over_which_rows(made: World) -> None:
    params = {**RECIPE.params, "reg_lambda": 1.0005}  # 1 if not set
    made.tag(recipe=recipe_tag(replace(RECIPE, bags=2, params=params)))
    assert made.reproduce(epsilon=1e-12).verdict == "DIFFERENT"
    found = made.reproduce(epsilon=0.05)
    assert found.verdict == "EQUIVALENT"
    assert found.distance is not None
    assert 0 < found.distance <= 0.05
    assert found.compared == f"32 golden rows and {FITTED} of the rows fitted on"


def test_a_changed_byte_in_one_copy_is_mended_and_in_both_is_named(made: World) -> None:
    cached = [path for path in made.objects() if path.is_relative_to(made.stores.dvc_cache)]
    for path in cached:
        flip(path)
    assert made.reproduce().verdict == "IDENTICAL"
    for path in made.objects():
        flip(path)
    with pytest.raises(DataCorrupt, match=r"trams/(rows|outcomes)/2013-0\d\.parquet should have hash"):
        made.reproduce()


def test_data_that_is_gone_everywhere_is_erased_and_says_what_is(made: World) -> None:
    for path in made.objects():
        path.unlink()
    found = made.reproduce()
    assert (found.verdict, found.made) == ("ERASED", "")
    assert found.reason.startswith("neither cache nor remote has trams/outcomes/2013-01.parquet, trams/outcomes/2013-02.parquet and 2 more")


def test_data_that_retention_dropped_is_erased_and_names_the_ledgers_row(made: World) -> None:
    dropped.write(made.stores, "trams", [path.parent.name + path.name for path in made.objects()], 41)
    for path in made.objects():
        path.unlink()
    found = made.reproduce()
    assert found.verdict == "ERASED"
    assert found.reason.endswith("(dropped by retention on ledger row 41)")


def test_a_version_that_left_its_branch_is_found_by_its_commit_and_one_that_was_dropped_is_erased(made: World) -> None:
    root = made.stores.root
    first = git(root, "rev-list", "--max-parents=0", branch.name("trams"))
    git(root, "update-ref", f"refs/heads/{branch.name('trams')}", first)
    assert made.reproduce().verdict == "IDENTICAL"
    git(root, "reflog", "expire", "--expire=now", "--all")
    git(root, "gc", "-q", "--prune=now")
    found = made.reproduce()
    assert found.verdict == "ERASED"
    assert found.reason == f"data version {made.version.id} is neither on its branch nor in a commit of its own"


def test_a_clone_without_the_data_branch_says_how_to_get_it_and_calls_nothing_erased(made: World) -> None:
    forget_branch(made.stores.root)
    with pytest.raises(StoreUnavailable, match="git fetch origin dvc-data/trams"):
        made.reproduce()


def test_code_that_was_changed_since_has_no_say_and_the_recorded_commits_is_what_runs(mlflow_stores: Stores) -> None:
    world = of(mlflow_stores, binary_project(), code=True)
    root = mlflow_stores.root
    change_features(root, PLAIN, HALVED)
    later = commit(root, "features are thirds")
    assert names(world, threads=mlflow_stores.threads) == ("IDENTICAL", [])
    world.tag(commit=later)  # as if it had been trained there
    found = world.reproduce()
    assert found.verdict == "DIFFERENT"
    assert [factor.name for factor in found.factors] == ["code"]
    assert found.factors[0].recorded.startswith(f"commit {later[:12]}, source ")
    assert "(the rows that were fitted on are others already, as the model sees them)" in found.reason


def test_a_commit_that_is_not_here_is_said_and_equal_code_here_will_do(made: World) -> None:
    made.tag(commit="1" * 40)
    found = made.reproduce(threads=made.stores.threads)
    assert (found.verdict, found.factors) == ("IDENTICAL", ())
    (note,) = found.notes
    assert note.startswith("commit 111111111111 is not in this repository (a shallow clone, or its branch was deleted)")
    assert note.endswith("the code here is the recorded one")
    made.tag(code="0" * 64)
    assert names(made, threads=made.stores.threads) == ("IDENTICAL", ["code"])


def test_uncommitted_changes_come_back_from_the_model_itself(mlflow_stores: Stores) -> None:
    """Committed were thirds; what trained was the working tree, which is as this process's code."""
    project, root = binary_project(), mlflow_stores.root
    repository(root, project, code=True)
    change_features(root, PLAIN, HALVED)
    commit(root, "features are thirds")
    change_features(root, HALVED, PLAIN)
    world = make(mlflow_stores, project)
    git(root, "checkout", "-q", "--", ".")
    shutil.rmtree(mlflow_stores.var / "lineage")  # the copy on the way there
    assert names(world, threads=mlflow_stores.threads) == ("IDENTICAL", [])
    patch = world.model / "lineage" / "uncommitted.patch"
    patch.write_bytes(patch.read_bytes().replace(b"float64", b"float32"))
    found = world.reproduce()
    assert (found.verdict, [factor.name for factor in found.factors]) == ("DIFFERENT", ["code"])
    assert "uncommitted changes" in found.factors[0].here
    assert "were not kept" in found.factors[0].here


def test_a_yaml_that_was_changed_since_has_no_say(made: World) -> None:
    made.project = binary_project(features={"min_category_rows": 60})
    assert names(made, ledger=False, threads=made.stores.threads) == ("IDENTICAL", [])


def test_a_yaml_that_is_nowhere_on_record_is_named(made: World) -> None:
    made.project = binary_project(features={"min_category_rows": 60})
    made.tag(commit="1" * 40)
    found = made.reproduce(ledger=False)
    assert (found.verdict, [factor.name for factor in found.factors]) == ("DIFFERENT", ["config"])
    assert found.factors[0].recorded == binary_project().digest()[:12]


def test_another_lock_another_package_and_another_machine_are_named_beside_the_verdict(made: World) -> None:
    (made.stores.root / "requirements.lock").write_text("xgboost==9.9.9\n")
    found = made.reproduce()
    assert (found.verdict, [factor.name for factor in found.factors]) == ("IDENTICAL", ["lock"])
    assert found.factors[0].recorded.startswith("requirements.lock ")
    packages = json.loads(made.client().get_model_version("trams", "1").tags["packages"])
    made.tag(packages=json.dumps({**packages, "package.xgboost": "1.0.0"}), machine="Plan9 vax")
    found = made.reproduce()
    assert [(factor.name, factor.recorded) for factor in found.factors] == [("lock", "xgboost 1.0.0"), ("machine", "Plan9 vax")]


def test_the_registered_boosters_are_not_needed_to_make_them_again(made: World) -> None:
    shutil.rmtree(made.model)
    found = made.reproduce()
    assert found.verdict == "IDENTICAL"
    assert found.notes[0].startswith("the registered files cannot be read")


def test_what_an_earlier_release_did_not_record_says_nothing(made: World) -> None:
    made.untag("threads", "code", "python", "machine", "packages", "patch")
    assert names(made)[0] == "IDENTICAL"
    shutil.rmtree(made.model)  # and no manifest either
    assert names(made, threads=1) == ("IDENTICAL", [])


def test_an_identity_that_was_edited_in_the_registry_is_told(made: World) -> None:
    made.tag(model__sha256="0" * 64)
    found = made.reproduce()
    assert found.verdict == "IDENTICAL"
    assert "the registry names the boosters 000000000000" in found.notes[0]
    assert made.reproduce(ledger=False).verdict == "DIFFERENT"


@pytest.mark.parametrize(
    ("tags", "error", "said"),
    [
        pytest.param({"recipe": "rubbish"}, BundleRefused, "its tags hold no lineage", id="no JSON"),
        pytest.param({"recipe": '{"name": "x"}'}, BundleRefused, "its tags hold no lineage", id="half a recipe"),
        pytest.param({"threads": "many"}, BundleRefused, "its tags hold no lineage", id="threads in words"),
        pytest.param({"recipe": recipe_tag(replace(RECIPE, params={"ata": 1}))}, RebuildFailed, "no parameter ata", id="unknown parameter"),
        pytest.param({"fitted_through": "2031-01"}, RebuildFailed, "2031-01", id="a period that is not there"),
    ],
)
def test_rubbish_in_the_tags_is_one_sentence(made: World, tags: dict[str, str], error: type[Exception], said: str) -> None:
    made.tag(**tags)
    with pytest.raises(error, match=said):
        made.reproduce(ledger=False)


def test_two_at_once_do_not_disturb_each_other(made: World) -> None:
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: made.reproduce(), range(2)))
    assert [one.verdict for one in found] == ["IDENTICAL", "IDENTICAL"]
    assert found[0] == found[1]


def test_a_shallow_clone_elsewhere_is_pointed_at_the_stores_by_settings(made: World, tmp_path: Path) -> None:
    there = tmp_path / "there"
    subprocess.run(["git", "clone", "-q", "--depth", "1", "--no-single-branch", made.stores.root.as_uri(), str(there)], check=True)
    elsewhere = Stores(root=there, var=there / "var", mlflow_uri=made.stores.tracking_uri, remote=made.stores.dvc_remote)
    found = replace(made, stores=elsewhere).reproduce(ledger=False)
    assert found.verdict == "IDENTICAL"
    assert (there / "var" / "dvc" / "cache").is_dir(), "from the remote, through a cache of its own"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
