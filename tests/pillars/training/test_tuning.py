import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pillars.config import Project
from pillars.errors import ConfigInvalid, TooFewRows, UnknownName
from pillars.stores import Stores
from pillars.training import budget, heldout
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


KILLS = 10
LONG = {"trials": 16, "batch": 2, "rows": 1500, "max_rounds": 120, "early_stopping": 60, "average": 3, "growth": ["depth", "leaves"]}
LONG_CHILD = """
import sys
from pillars.stores import Stores
from tests.pillars.training.test_tuning import LONG, readable, tuned_at
from tests.factories import binary_project
project = binary_project(search={**LONG, "workers": int(sys.argv[1])})
read = readable(project, rows=1500)
print("ready", flush=True)
tuned_at(Stores(), project, read, "2013-03")
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 2])
def test_a_search_killed_ten_times_at_random_moments_ends_as_an_undisturbed_one(stores: Stores, workers: int) -> None:
    """The moments are spread over what an undisturbed search takes. No finished fit is repeated, and no trial is left running."""
    project = binary_project(search={**LONG, "workers": workers})
    read = readable(project, rows=1500)
    start = time.monotonic()
    undisturbed = losses(tuned_at(elsewhere(stores, "other"), project, read, "2013-03"))
    taken_s, random = time.monotonic() - start, np.random.default_rng(workers)
    folder, kills, before = stores.var / "search" / "trams" / "heldout", 0, dict[str, int]()
    for _ in range(KILLS):
        child = subprocess.Popen([sys.executable, "-c", LONG_CHILD, str(workers)], stdout=subprocess.PIPE, text=True)
        assert child.stdout is not None
        assert child.stdout.readline() == "ready\n"
        with suppress(subprocess.TimeoutExpired):
            child.wait(timeout=float(random.uniform(0.02, 0.35)) * taken_s)
        child.kill()
        kills += child.wait() == -signal.SIGKILL
        child.stdout.close()
        now = {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.npz")}
        assert before.items() <= now.items()
        before = now
    assert kills >= 3, "the searches ended before they were killed"
    tuned = tuned_at(stores, project, read, "2013-03")
    assert losses(tuned) == undisturbed
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("[!.]*.npz")}
    assert before.items() <= after.items()
    assert states((stores.var / tuned.path).with_suffix(".log")) == {"COMPLETE": 16}


def states(journal: Path) -> dict[str, int]:
    """How many trials a journal holds in each state, without those that were killed between two of their parameters."""
    import optuna

    study = optuna.load_study(
        study_name=journal.stem, storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    )
    found = [trial.state.name for trial in study.get_trials() if trial.state.name != "FAIL"]
    return {name: found.count(name) for name in found}


def styles_of(tuned: Tuned) -> list[tuple[str, object, tuple[str, ...]]]:
    trials = sorted((t.recipe for t in tuned.leaderboard if not t.full), key=lambda one: int(one.name.split()[-1]))
    return [(one.encoding, one.params.get("grow_policy", "depthwise"), one.columns) for one in trials]


def test_styles_are_tried_in_turns_first_and_all_of_them_can_win(stores: Stores) -> None:
    project = binary_project(
        features={"sets": {"few": ["load", "line"]}},
        search={"encodings": ["codes", "native"], "growth": ["depth", "leaves"], "sets": ["few"], "trials": 10},
    )
    tuned = tuned_at(stores, project, READ, "2013-03")
    turns = [(e, g, c) for e in ("codes", "native") for g in ("depthwise", "lossguide") for c in ((), ("load", "line"))]
    assert styles_of(tuned)[:8] == turns
    searched = next(tried for tried in tuned.leaderboard if tried.full and tried.recipe.name.startswith("searched"))
    best = min((tried for tried in tuned.leaderboard if not tried.full), key=lambda one: one.loss)
    assert replace(searched.recipe, name="", rounds=0) == replace(best.recipe, name="", rounds=0)
    kept = json.loads((stores.var / tuned.path).read_text())
    assert [Recipe.from_json(one["recipe"]) for one in kept["leaderboard"]] == [one.recipe for one in tuned.leaderboard]


def test_without_categories_there_is_one_encoding(stores: Stores) -> None:
    features = {"numeric": ["load", "wind", "hour"], "categorical": []}
    tuned = tuned_at(stores, binary_project(features=features, search={"encodings": ["native", "codes"]}), READ, "2013-03")
    assert {style[0] for style in styles_of(tuned)} == {"codes"}


@pytest.mark.parametrize("sampler", ["tpe", "gp", "random", "grid"])
def test_each_sampler_searches_and_a_grid_ends_when_it_is_through(stores: Stores, sampler: str) -> None:
    space = {"max_depth": {"low": 2, "high": 3}, "eta": {"low": 0.1, "high": 0.5, "points": 2}}
    tuned = tuned_at(stores, binary_project(search={"sampler": sampler, "trials": 7, "space": space}), READ, "2013-03")
    trials = [tried for tried in tuned.leaderboard if not tried.full]
    assert len(trials) == (4 if sampler == "grid" else 7)
    assert "ended them" not in tuned.verdict


def test_averages_and_bags_are_kept_only_where_they_surely_win(stores: Stores) -> None:
    settings = {"trials": 6, "average": 3, "bags": 3}
    strict = tuned_at(stores, binary_project(search=settings, gate={"margin": 0.02}), READ, "2013-03")
    assert "did not beat it: gain" in strict.verdict
    assert len(strict.recipe.parts) == 1
    assert sum(tried.recipe.name.startswith("searched") for tried in strict.leaderboard) == 3
    noisy = Recipe("noisy", {"eta": 1.0, "max_depth": 8, "max_bin": 32, "subsample": 0.3, "min_child_weight": 0}, 20, seed=0)
    project = binary_project(search={**settings, "trials": 0})
    tuned = tune(stores, project, READ, MONTHS[:3], "2013-03", replace(noisy, name="stock", rounds=1000), [noisy])
    assert "an average of 3 beat it: gain" in tuned.verdict
    first, second = tuned.leaderboard[:2]
    assert first.recipe.name.startswith("average ")
    assert len(first.recipe.parts) == 3
    assert first.loss < second.loss
    assert tuned_at(stores, project, READ, "2013-03", [first.recipe]).leaderboard[0].loss <= first.loss  # as a champion's, it competes


def test_a_time_budget_ends_the_trials_and_its_answer_stays(stores: Stores) -> None:
    project = binary_project(search={"trials": 40, "seconds": 1e-6, "batch": 2})
    tuned = tuned_at(stores, project, READ, "2013-03")
    trials = [tried for tried in tuned.leaderboard if not tried.full]
    assert len(trials) == 2
    assert "40 trials were asked for, search.seconds ended them after 2" in tuned.verdict
    board = stores.var / tuned.path
    assert json.loads(board.read_text())["budget"] == {"trials": 40, "done": 2, "finalists": 1, "ended_by": "seconds"}
    board.unlink()  # killed before it was written
    assert losses(tuned_at(stores, project, READ, "2013-03")) == losses(tuned)


def test_a_budget_that_does_not_bind_changes_nothing(stores: Stores) -> None:
    free = tuned_at(stores, PROJECT, READ, "2013-03")
    project = binary_project(search={"seconds": 3600, "memory_mb": 4096})
    held = tuned_at(stores, project, READ, "2013-03")
    assert (losses(held), held.verdict) == (losses(free), free.verdict)


def test_a_memory_budget_that_was_outgrown_ends_where_it_did_in_whatever_process(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    project = binary_project(search={"trials": 12, "memory_mb": 64})
    grown = iter(range(0, 1 << 30, 30 << 20))  # 30 MB at each look
    with monkeypatch.context() as patched:
        patched.setattr(budget, "resident", lambda: next(grown))
        tuned = tuned_at(stores, project, READ, "2013-03")
    done = len([tried for tried in tuned.leaderboard if not tried.full])
    assert 2 <= done < 12
    assert f"search.memory_mb ended them after {done}" in tuned.verdict
    (stores.var / tuned.path).unlink()
    assert losses(tuned_at(stores, project, READ, "2013-03")) == losses(tuned)  # this process has room


def test_a_memory_budget_takes_fewer_rows_before_it_is_outgrown() -> None:
    project = binary_project(search={"memory_mb": 64, "rows": 5_000_000})
    one, three = (budget.most_rows(project, 1_000, forms) for forms in (1, 3))
    assert 100 <= three < one < 5_000_000
    assert one * 5 * (4 + 8) <= 32 << 20
    assert budget.most_rows(binary_project(search={"rows": 900}), 1_000, 1) == 900


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
