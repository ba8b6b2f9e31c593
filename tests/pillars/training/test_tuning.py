import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pillars.config import Project
from pillars.errors import ConfigInvalid, TooFewRows, UnknownName
from pillars.stores import Stores
from pillars.training import heldout
from pillars.training.rows import Read, Rows, lacking
from pillars.training.splits import plan
from pillars.training.tuning import tune
from pillars.vocabulary import Recipe, Tuned
from tests.factories import binary_project
from tests.pillars.training.worlds import MONTHS, RECIPE, readable, tuned_at

PROJECT = binary_project()
READ = readable(PROJECT)


@pytest.fixture
def stores() -> Stores:
    return Stores()


def losses(tuned: Tuned) -> list[tuple[Recipe, float, bool]]:
    return [(tried.recipe, tried.loss, tried.full) for tried in tuned.leaderboard]


def elsewhere(stores: Stores, name: str) -> Stores:
    return Stores(root=stores.root, var=stores.var / name)


def test_the_stock_recipe_and_the_fixed_ones_compete_at_full_fidelity_beside_the_best_trial(stores: Stores) -> None:
    champion = replace(RECIPE, name="champion", rounds=5)
    tuned = tuned_at(stores, PROJECT, READ, "2013-03", [RECIPE, champion])
    full = [tried for tried in tuned.leaderboard if tried.full]
    assert {tried.recipe.name.split()[0] for tried in full} == {"stock", "prior", "champion", "searched"}
    assert tuned.recipe == full[0].recipe
    assert [tried.loss for tried in full[1:]] == sorted(tried.loss for tried in full[1:])
    assert sorted(tried.recipe.name for tried in tuned.leaderboard if not tried.full) == ["trial 0", "trial 1", "trial 2"]


def test_fixed_recipes_keep_their_rounds(stores: Stores) -> None:
    tuned = tuned_at(stores, PROJECT, READ, "2013-03")
    assert RECIPE in [tried.recipe for tried in tuned.leaderboard]


def test_equal_recipes_are_fitted_once(stores: Stores) -> None:
    tuned = tuned_at(stores, PROJECT, READ, "2013-03", [RECIPE, replace(RECIPE, name="the champion's")])
    assert "the champion's" not in [tried.recipe.name for tried in tuned.leaderboard]


def test_without_trials_the_fixed_recipes_compete_alone(stores: Stores) -> None:
    tuned = tuned_at(stores, binary_project(search={"trials": 0}), READ, "2013-03")
    assert sorted(tried.recipe.name for tried in tuned.leaderboard) == ["prior", "stock"]
    assert tuned.verdict.startswith("no trials")


def test_what_was_searched_leads_only_when_it_surely_won(stores: Stores) -> None:
    tuned = tuned_at(stores, PROJECT, READ, "2013-03")
    assert "did not beat" in tuned.verdict
    assert not tuned.recipe.name.startswith("searched")
    poor = replace(RECIPE, name="poor", params={**RECIPE.params, "eta": 1e-6})
    tuned = tune(stores, PROJECT, READ, MONTHS[:3], "2013-03", replace(poor, name="stock"), [poor])
    assert "tuning beat" in tuned.verdict
    assert tuned.recipe.name.startswith("searched")


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_and_threads_change_nothing_but_speed(stores: Stores, workers: int) -> None:
    project = binary_project(search={"workers": workers, "trials": 4})
    some = Stores(root=stores.root, var=stores.var / "some", threads=workers)
    one = Stores(root=stores.root, var=stores.var / "one", threads=1)
    assert losses(tuned_at(some, project, READ, "2013-03")) == losses(
        tuned_at(one, binary_project(search={"workers": 1, "trials": 4}), READ, "2013-03")
    )


def test_the_search_never_sees_the_judged_period(stores: Stores) -> None:
    asked: set[str] = set()

    def watched(periods: Sequence[str]) -> Rows:
        asked.update(periods)
        return READ(periods)  # type: ignore[return-value]

    tuned_at(stores, PROJECT, watched, "2013-03")
    assert asked == {"2013-01", "2013-02"}


@pytest.mark.parametrize("until", MONTHS[:2])
def test_the_first_periods_are_searched_too(stores: Stores, until: str) -> None:
    assert tuned_at(stores, PROJECT, READ, until).leaderboard


def test_a_search_asked_again_is_read_not_searched(stores: Stores) -> None:
    first = tuned_at(stores, PROJECT, READ, "2013-03")
    files = {path: path.stat().st_mtime_ns for path in stores.var.rglob("*") if path.is_file() and path.suffix != ".lock"}
    assert tuned_at(stores, PROJECT, READ, "2013-03") == first
    assert {path: path.stat().st_mtime_ns for path in stores.var.rglob("*") if path.is_file() and path.suffix != ".lock"} == files


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param((binary_project(search={"seed": 9}), READ, [RECIPE]), id="seed"),
        pytest.param((PROJECT, readable(PROJECT, seed=1), [RECIPE]), id="rows"),
        pytest.param((PROJECT, READ, [replace(RECIPE, rounds=9)]), id="fixed recipes"),
    ],
)
def test_other_inputs_are_another_search(stores: Stores, changed: tuple[Project, Read, list[Recipe]]) -> None:
    project, read, fixed = changed
    assert tuned_at(stores, PROJECT, READ, "2013-03").path != tuned_at(stores, project, read, "2013-03", fixed).path


def test_all_trials_are_kept_as_json(stores: Stores) -> None:
    tuned = tuned_at(stores, PROJECT, READ, "2013-03")
    kept = json.loads((stores.var / tuned.path).read_text())
    assert len(kept["leaderboard"]) == len(tuned.leaderboard)
    assert kept["rows"]["validate"]["periods"] == ["2013-02"]


def test_two_searches_at_once_give_one_result(stores: Stores) -> None:
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda _: tuned_at(stores, PROJECT, READ, "2013-03"), range(2))
    assert one == other


CHILD = """
import sys
from pillars.stores import Stores
from tests.pillars.training.test_tuning import PROJECT, READ, tuned_at
tuned_at(Stores(), PROJECT, READ, "2013-03")
"""


@pytest.mark.slow
@pytest.mark.parametrize("fits", [1, 5])
def test_a_search_killed_anywhere_ends_as_an_undisturbed_one(stores: Stores, monkeypatch: pytest.MonkeyPatch, fits: int) -> None:
    """The child dies by SIGKILL after so many fits: three trials, then the candidates."""
    child = subprocess.Popen([sys.executable, "-c", CHILD])
    folder, deadline = stores.var / "search" / "trams" / "heldout", time.monotonic() + 90
    while len(list(folder.glob("[!.]*.npz"))) < fits:
        assert time.monotonic() < deadline
        assert child.poll() is None, "the child ended before it was killed"
    child.send_signal(signal.SIGKILL)
    child.wait()
    before = {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.npz")}
    assert losses(tuned_at(stores, PROJECT, READ, "2013-03")) == losses(tuned_at(elsewhere(stores, "other"), PROJECT, READ, "2013-03"))
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.npz")}
    assert before.items() <= after.items()  # no fit was repeated


def test_a_broken_cache_file_is_made_again(stores: Stores) -> None:
    first = tuned_at(stores, PROJECT, READ, "2013-03")
    folder = stores.var / "search" / "trams"
    for path in (folder / "heldout").iterdir():
        path.write_bytes(path.read_bytes()[:100])
    (stores.var / first.path).unlink()
    assert losses(tuned_at(stores, PROJECT, READ, "2013-03")) == losses(first)


def test_a_flipped_bit_in_the_cache_is_noticed(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    found = heldout.HeldOut(RECIPE, READ(["2013-01"]).columns["load"], 1.0)
    heldout._write(stores, path, found)
    assert heldout._kept(stores, path, RECIPE) is not None
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert heldout._kept(stores, path, RECIPE) is None


def test_whatever_byte_of_the_cache_changes_it_is_read_as_it_was_or_not_at_all(stores: Stores, tmp_path: Path) -> None:
    path = tmp_path / "one.npz"
    found = heldout.HeldOut(RECIPE, np.array([0.25, 0.5]), 1.0)
    heldout._write(stores, path, found)
    whole = path.read_bytes()
    for place in range(len(whole)):
        for bits in (0x01, 0x80, 0xFF):
            path.write_bytes(whole[:place] + bytes([whole[place] ^ bits]) + whole[place + 1 :])
            read = heldout._kept(stores, path, RECIPE)
            assert read is None or (read.p.tolist(), read.seconds, read.recipe) == ([0.25, 0.5], 1.0, RECIPE)


def test_probabilities_that_somebody_else_wrote_are_not_believed(stores: Stores) -> None:
    """A valid file, whose own checksum is right: only the seal tells."""
    first = tuned_at(stores, PROJECT, READ, "2013-03")
    folder = stores.var / "search" / "trams"
    for path in (folder / "heldout").iterdir():
        with np.load(path) as kept:
            np.savez(path, **{**kept, "p": np.full_like(kept["p"], 0.5)})
    (stores.var / first.path).unlink()
    assert losses(tuned_at(stores, PROJECT, READ, "2013-03")) == losses(first)


@pytest.mark.parametrize("change", [('"loss": 0.', '"loss": 9.'), ('"seal": "', '"seal": "f'), ('"verdict": "', '"verdict": "not ')])
def test_a_result_that_somebody_edited_is_searched_again(stores: Stores, change: tuple[str, str]) -> None:
    first = tuned_at(stores, PROJECT, READ, "2013-03")
    board = stores.var / first.path
    before = board.read_text()
    board.write_text(before.replace(*change))
    assert board.read_text() != before
    again = tuned_at(stores, PROJECT, READ, "2013-03")
    assert (losses(again), again.verdict) == (losses(first), first.verdict)


@pytest.mark.parametrize(
    "change", [('"param_value_internal":0.', '"param_value_internal":0.9'), ('"values":[0.', '"values":[9.'), ('"op_code"', '"op_kode"')]
)
def test_a_journal_that_somebody_edited_is_begun_anew(stores: Stores, change: tuple[str, str]) -> None:
    first = tuned_at(stores, PROJECT, READ, "2013-03")
    board = stores.var / first.path
    journal = board.with_suffix(".log")
    before = journal.read_text()
    journal.write_text(before.replace(*change))
    assert journal.read_text() != before
    board.unlink()
    assert losses(tuned_at(stores, PROJECT, READ, "2013-03")) == losses(first)


def test_a_misspelt_parameter_is_named(stores: Stores) -> None:
    project = binary_project(search={"space": {"max_dept": {"low": 2, "high": 4}}})
    with pytest.raises(ConfigInvalid, match="max_dept; nearest: max_depth"):
        tuned_at(stores, project, READ, "2013-03")


def test_a_period_without_outcomes_is_named(stores: Stores) -> None:
    with pytest.raises(UnknownName, match="2013-04"):
        tune(stores, PROJECT, READ, MONTHS[:3], "2013-04", RECIPE, [])


def test_too_few_days_are_said_before_and_raised(stores: Stores) -> None:
    project = binary_project(split={"block": "day"})
    read = readable(project, rows=2)
    assert "blocks of rows, 3 needed" in lacking(plan(project, MONTHS[:1], "2013-01"), read)
    with pytest.raises(TooFewRows):
        tuned_at(stores, project, read, "2013-01")


def test_enough_rows_lack_nothing() -> None:
    assert lacking(plan(PROJECT, MONTHS, "2013-04"), READ) == ""
