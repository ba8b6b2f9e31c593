import errno
import math
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pillars.config import Range, Sampler
from pillars.errors import StoreUnavailable
from pillars.training.spaces import Params, Space, styles
from pillars.training.study import search

SPACE = {"eta": Range(low=0.01, high=1.0, log=True), "max_depth": Range(low=2, high=9), "subsample": Range(low=0.5, high=1.0)}


def bowl(params: Params) -> float:
    """Lowest at eta .1, depth 5."""
    return abs(math.log10(float(params["eta"])) + 1) + 0.1 * abs(int(params["max_depth"]) - 5)


def run(
    journal: Path, trials: int = 12, batch: int = 3, workers: int = 1, seed: int = 0, loss_of: Callable[[Params], float] = bowl
) -> list[Params]:
    return search(journal, SPACE, trials, batch, workers, seed, loss_of, lambda done, of, best: None)


def test_the_history_is_a_function_of_the_seed_whatever_the_workers(tmp_path: Path) -> None:
    alone = run(tmp_path / "1.log")
    for workers in (2, 5):
        assert run(tmp_path / f"{workers}.log", workers=workers) == alone
    assert run(tmp_path / "seed.log", seed=1) != alone


def test_the_history_does_not_depend_on_which_trial_is_faster(tmp_path: Path) -> None:
    """Later trials of a batch end first: each waits for all the others to have begun, and the last one begun goes on alone."""
    begun: list[Params] = []
    turn = threading.Condition()

    def slow_first(params: Params) -> float:
        with turn:
            begun.append(params)
            place = len(begun)
            turn.notify_all()
            turn.wait_for(lambda: place % 3 == 0 or len(begun) > place, timeout=5)
        return bowl(params)

    assert run(tmp_path / "slow.log", workers=3, loss_of=slow_first) == run(tmp_path / "quick.log", workers=3)


SAMPLERS: list[Sampler] = ["auto", "tpe", "gp", "random", "grid"]
STYLED: Space = {**SPACE, "growth": ("depth", "leaves")}


def styled(journal: Path, sampler: Sampler, workers: int = 1, loss_of: Callable[[Params], float] = bowl, trials: int = 12) -> list[Params]:
    return search(journal, STYLED, trials, 3, workers, 0, loss_of, lambda done, of, best: None, sampler)


def styled_of(journal: Path, sampler: Sampler, seed: int) -> list[Params]:
    return search(journal, STYLED, 24, 3, 1, seed, bowl, lambda done, of, best: None, sampler)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_whoever_samples_the_history_is_a_function_of_the_seed(tmp_path: Path, sampler: Sampler) -> None:
    alone = styled(tmp_path / "1.log", sampler)
    assert styled(tmp_path / "2.log", sampler, workers=3) == alone
    assert len({repr(params) for params in alone}) == 12
    for params in alone:
        assert set(params) == set(STYLED)
        assert 0.01 <= float(params["eta"]) <= 1
        assert params["growth"] in ("depth", "leaves")
        assert isinstance(params["max_depth"], int)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_whoever_samples_a_journal_cut_anywhere_ends_in_the_same_history(tmp_path: Path, sampler: Sampler) -> None:
    undisturbed = styled(tmp_path / "a.log", sampler)
    whole = (tmp_path / "a.log").read_bytes()
    for place, end in enumerate(range(1, len(whole), 1499)):
        cut = tmp_path / str(place) / "a.log"
        cut.parent.mkdir()
        cut.write_bytes(whole[:end])
        assert styled(cut, sampler) == undisturbed


def test_a_journal_of_another_sampler_is_begun_anew(tmp_path: Path) -> None:
    styled(tmp_path / "a.log", "random")
    assert styled(tmp_path / "a.log", "tpe") == styled(tmp_path / "b.log", "tpe")


def test_auto_takes_each_style_in_its_turn_first_and_without_styles_is_tpe(tmp_path: Path) -> None:
    found = styled(tmp_path / "a.log", "auto")
    assert found[:2] == styles(STYLED)
    assert run(tmp_path / "auto.log") == search(tmp_path / "tpe.log", SPACE, 12, 3, 1, 0, bowl, lambda *_: None, "tpe")


@pytest.mark.parametrize("sampler", ["tpe", "gp"])
def test_a_sampler_that_looks_at_losses_finds_lower_ones_than_chance(tmp_path: Path, sampler: Sampler) -> None:
    def later(sampler: Sampler) -> float:
        found = [styled_of(tmp_path / f"{sampler}-{seed}.log", sampler, seed) for seed in range(3)]
        return sum(bowl(params) for history in found for params in history[12:])

    assert later(sampler) < 0.7 * later("random")


def test_what_is_enough_is_asked_between_batches_and_ends_with_the_trials_so_far(tmp_path: Path) -> None:
    asked: list[int] = []

    def six(told: list[Params]) -> bool:
        asked.append(len(told))
        return len(told) >= 6

    whole = run(tmp_path / "whole.log")
    for _ in range(2):  # again, it ends where it ended
        assert search(tmp_path / "a.log", SPACE, 12, 3, 1, 0, bowl, lambda *_: None, "auto", six) == whole[:6]
    assert asked == [3, 6, 3, 6]
    assert run(tmp_path / "a.log") == whole  # and with a larger budget it goes on


def test_parameters_stay_in_their_space_and_keep_their_kind(tmp_path: Path) -> None:
    for params in run(tmp_path / "a.log"):
        assert set(params) == set(SPACE)
        assert 0.01 <= float(params["eta"]) <= 1
        assert isinstance(params["max_depth"], int)
        assert 2 <= params["max_depth"] <= 9


def test_the_search_learns(tmp_path: Path) -> None:
    losses = [bowl(params) for params in run(tmp_path / "a.log", trials=40)]
    assert sum(losses[30:]) < 0.7 * sum(losses[:10])


def test_a_finished_search_asked_again_runs_nothing(tmp_path: Path) -> None:
    first = run(tmp_path / "a.log")

    def never(params: Params) -> float:
        raise AssertionError(params)

    assert run(tmp_path / "a.log", loss_of=never) == first


def test_progress_tells_what_is_done_and_the_best_loss(tmp_path: Path) -> None:
    told: list[tuple[int, int, float]] = []
    found = search(tmp_path / "a.log", SPACE, 5, 2, 1, 0, bowl, lambda *step: told.append(step))
    losses = [bowl(params) for params in found]
    assert told == [(2, 5, min(losses[:2])), (4, 5, min(losses[:4])), (5, 5, min(losses))]


def test_an_error_in_a_trial_is_raised_and_the_search_can_go_on(tmp_path: Path) -> None:
    asked: list[Params] = []

    def fails_once(params: Params) -> float:
        asked.append(params)
        if len(asked) == 5:
            raise ValueError("broken")
        return bowl(params)

    with pytest.raises(ValueError, match="broken"):
        run(tmp_path / "a.log", loss_of=fails_once)
    assert run(tmp_path / "a.log", loss_of=fails_once) == run(tmp_path / "undisturbed.log")


def test_a_journal_cut_anywhere_ends_in_the_same_history(tmp_path: Path) -> None:
    """Whatever a kill leaves of the journal, half a line included: the search goes on and ends as if undisturbed."""
    undisturbed = run(tmp_path / "a.log", trials=6)
    whole = (tmp_path / "a.log").read_bytes()
    for place, end in enumerate(range(1, len(whole), 97)):
        cut = tmp_path / str(place) / "a.log"
        cut.parent.mkdir()
        cut.write_bytes(whole[:end])
        cut.with_name("a.log.lock").symlink_to(cut)  # the lock of the dead
        assert run(cut, trials=6) == undisturbed


LOSS = re.compile(r'"values":\[[^]]*\]')


@pytest.mark.parametrize("values", ["[NaN]", "[Infinity]", "[0,5]", '["0.5"]'])
@pytest.mark.parametrize("place", [0, 4], ids=["in a whole batch", "in the last one"])
def test_a_journal_with_a_loss_that_the_search_never_told_is_begun_anew(tmp_path: Path, values: str, place: int) -> None:
    undisturbed = run(tmp_path / "undisturbed.log", trials=9)
    journal = tmp_path / "a.log"
    run(journal, trials=5)
    before = journal.read_text()
    losses = list(LOSS.finditer(before))
    journal.write_text(before[: losses[place].start()] + f'"values":{values}' + before[losses[place].end() :])
    assert run(journal, trials=9) == undisturbed


@pytest.mark.parametrize(
    ("refused", "error"),
    [
        pytest.param("os.symlink", StoreUnavailable, id="the lock"),
        pytest.param("os.fsync", StoreUnavailable, id="the line"),
        pytest.param("os.rename", RuntimeError, id="the lock's end"),  # Optuna's own; `flows.__main__` tells by its context
    ],
)
def test_a_full_disk_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, error: type[Exception]) -> None:
    """Optuna writes a line whenever it opens a journal."""
    journal = tmp_path / "a.log"
    run(journal, trials=6)
    before = journal.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(refused, full)
        with pytest.raises(error) as raised:
            run(journal, trials=12)
    assert "No space left on device" in f"{raised.value} {raised.value.__context__}"
    assert journal.read_bytes().startswith(before)
    assert run(journal, trials=12) == run(tmp_path / "undisturbed.log", trials=12)


CHILD = """
import os, signal, sys
from pathlib import Path
from tests.pillars.training.test_study import bowl, run
def noted(params):
    with open(sys.argv[2], "a") as handle:
        handle.write("x")
    if os.path.getsize(sys.argv[2]) >= int(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)
    return bowl(params)
run(Path(sys.argv[1]), trials=9, workers=2, loss_of=noted)
"""


@pytest.mark.parametrize("after", [1, 6])
def test_a_search_killed_and_started_again_loses_no_told_trial_and_ends_undisturbed(tmp_path: Path, after: int) -> None:
    journal, notes = tmp_path / "a.log", tmp_path / "notes"
    child = subprocess.run([sys.executable, "-c", CHILD, str(journal), str(notes), str(after)], timeout=60)
    assert child.returncode == -signal.SIGKILL, "the child ended before it was killed"
    finished = (after - 1) // 3 * 3  # batches before the one that was killed
    rerun: list[Params] = []

    def counted(params: Params) -> float:
        rerun.append(params)
        return bowl(params)

    assert run(journal, trials=9, loss_of=counted) == run(tmp_path / "undisturbed.log", trials=9)
    assert len(rerun) <= 9 - finished
