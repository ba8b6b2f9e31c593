"""A training is on record once, whole, whatever dies on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pillars.development import experiments, writers
from pillars.errors import StoreUnavailable
from pillars.stores import Stores
from pillars.vocabulary import Change, Gain, Measure
from tests.releases import DATA, small_project, small_training

PNG = b"\x89PNG\r\n\x1a\n"
FORK = multiprocessing.get_context("fork")
PROJECT = small_project()


@pytest.fixture
def stores(mlflow_stores: Stores) -> Stores:
    return mlflow_stores


def bundle_named(stores: Stores, name: str) -> Path:
    folder = stores.folder(name)
    if not (folder / "manifest.json").exists():
        (folder / "manifest.json").write_text(f'{{"digest": "{name}"}}')
    return folder


def log(stores: Stores, period: str = "2013-02", bundle: str = "bundle", **changed: Any) -> str:
    tuned, judged = small_training(period)
    folder = bundle_named(stores, bundle)
    arguments = {
        "project": PROJECT,
        "version": DATA,
        "tuned": tuned,
        "judged": judged,
        "plots": {"roc": PNG},
        "tags": {"code.commit": "abc"},
    }
    return experiments.log_training(stores, **{**arguments, "bundle_path": folder, **changed})


def client(stores: Stores) -> Any:
    from mlflow import MlflowClient

    return MlflowClient(stores.tracking_uri)


def runs(stores: Stores) -> list[Any]:
    opened = client(stores)
    return list(opened.search_runs([opened.get_experiment_by_name("small").experiment_id]))


def below(stores: Stores, run_id: str) -> list[Any]:
    """Its trials, best first."""
    found = [run for run in runs(stores) if run.data.tags.get("mlflow.parentRunId") == run_id]
    return sorted(found, key=lambda run: float(run.data.metrics.get("trial/rank", -1)))


def statuses(stores: Stores) -> list[str]:
    """Of trainings."""
    return sorted(run.info.status for run in runs(stores) if "mlflow.parentRunId" not in run.data.tags)


def test_a_run_holds_parameters_measures_leaderboard_plots_and_the_data_version(stores: Stores) -> None:
    run = client(stores).get_run(log(stores))
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "2013-02 stock"
    assert run.data.params["xgboost.max_depth"] == "3"
    assert (run.data.metrics["challenger/log_loss"], run.data.metrics["challenger/log_loss.low"]) == (0.41, 0.38)
    assert run.data.tags["decision.recipe"] == "refuse: gain 0.0001, margin 0.001"
    assert run.data.tags["code.commit"] == "abc"
    (seen,) = run.inputs.dataset_inputs
    assert (seen.dataset.name, seen.dataset.digest) == ("small", DATA.id)
    assert {(tag.key, tag.value) for tag in seen.tags} == {("mlflow.data.context", "training")}


def test_every_file_of_a_run_can_be_read_back(stores: Stores) -> None:
    opened, run_id = client(stores), log(stores)

    def text(path: str) -> str:
        return Path(opened.download_artifacts(run_id, path)).read_text()

    board = json.loads(text("leaderboard.json"))
    assert board["columns"] == ["rank", "recipe", "loss", "full", "rounds", "seconds", "eta", "max_depth"]
    assert board["data"] == [[0, "stock", 0.41, True, 10, 0.1, 0.3, 3], [1, "trial 1", None, False, 5, 0.05, None, 9]]
    assert DATA.id in text("lineage/data.dvc")
    assert json.loads(text("config.json"))["project"] == "small"
    assert Path(opened.download_artifacts(run_id, "plots/roc.png")).read_bytes() == PNG


def test_the_dataset_source_is_one_that_mlflow_can_read_back(stores: Stores) -> None:
    from mlflow.data import get_source

    source = get_source(client(stores).get_run(log(stores)).inputs.dataset_inputs[0])
    assert source.to_dict()["tags"]["dvc.commit"] == DATA.commit


def test_what_is_not_finite_is_not_logged(stores: Stores) -> None:
    run_id = log(stores)
    metrics = client(stores).get_run(run_id).data.metrics
    assert "challenger/auc" in metrics
    assert "challenger/auc.high" not in metrics
    assert [m.step for m in client(stores).get_metric_history(run_id, "search/loss")] == [0]


def test_the_same_training_is_one_run_and_another_period_data_config_or_bundle_another(stores: Stores) -> None:
    first = log(stores)
    assert log(stores) == first
    other_data = replace(DATA, id="f" * 32 + ".dir")
    others = {
        log(stores, "2013-03"),
        log(stores, version=other_data),
        log(stores, project=small_project(keep=9)),
        log(stores, bundle="other"),
    }
    assert len({first, *others}) == 5


def test_a_long_search_and_many_measures_fit(stores: Stores) -> None:
    tuned, judged = small_training()
    long = replace(tuned, leaderboard=tuned.leaderboard[:1] * 1300)
    recipe = replace(judged.recipe, params={f"p{i}": "x" * 7000 if i == 0 else i for i in range(250)})
    run_id = log(stores, tuned=long, judged=replace(judged, recipe=recipe))
    assert len(client(stores).get_metric_history(run_id, "search/loss")) == 1300
    params = client(stores).get_run(run_id).data.params
    assert "xgboost.p249" in params
    assert "xgboost.p0" not in params  # rather none than one cut short; leaderboard.json has it


def test_each_line_of_the_leaderboard_is_a_run_below_its_training(stores: Stores) -> None:
    best, other = below(stores, log(stores))
    assert [run.info.run_name for run in (best, other)] == ["stock", "trial 1"]
    assert [run.info.status for run in (best, other)] == ["FINISHED", "FINISHED"]
    assert best.data.params == {
        "recipe": "stock",
        "rounds": "10",
        "seed": "7",
        "fitted on": "all rows",
        "xgboost.eta": "0.3",
        "xgboost.max_depth": "3",
    }
    assert best.data.metrics == {"trial/loss": 0.41, "trial/seconds": 0.1, "trial/rank": 0.0}
    assert other.data.params["fitted on"] == "newest rows"
    assert "trial/loss" not in other.data.metrics  # it is not finite


def test_of_a_long_search_the_best_trials_are_runs(stores: Stores) -> None:
    tuned, _ = small_training()
    long = replace(tuned, leaderboard=tuned.leaderboard[:1] * (experiments.MOST_TRIALS + 5))
    assert len(below(stores, log(stores, tuned=long))) == experiments.MOST_TRIALS


def test_an_experiment_says_what_was_changed_and_what_it_gained_and_is_a_run_of_its_own(stores: Stores) -> None:
    changes = (Change("search.seed", "0", "3"), Change("search.prior.eta", "null", "0.1"))
    gain = Gain("own settings", "log_loss", 200, Measure(0.01, 0.002, 0.018))
    run_id = log(stores, bundle_path=None, changes=changes, gains=(gain,))
    assert log(stores, bundle_path=None, changes=changes, gains=(gain,)) == run_id != log(stores)
    run = client(stores).get_run(run_id)
    assert run.info.run_name == "2013-02 experiment"
    assert run.data.tags["experiment"] == "search.seed: 0 -> 3; search.prior.eta: null -> 0.1"
    assert (run.data.params["set.search.seed"], run.data.params["set.search.prior.eta"]) == ("3", "0.1")
    assert [run.data.metrics[f"gain/own settings{end}"] for end in ("", ".low", ".high")] == [0.01, 0.002, 0.018]
    assert "surely better" in run.data.tags["mlflow.note.content"]
    assert client(stores).list_artifacts(run_id, "bundle") == []
    assert "experiment" not in client(stores).get_run(log(stores)).data.tags


@pytest.mark.parametrize("at", ["log_batch", "log_artifacts", "set_terminated"])
def test_a_training_that_fails_half_way_is_failed_and_its_repeat_finishes(stores: Stores, at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    original: Callable[..., Any] = getattr(MlflowClient, at)

    def fail(self: Any, *arguments: Any, **named: Any) -> Any:
        if "FAILED" in arguments:
            return original(self, *arguments, **named)
        raise MlflowException("the server went away")

    with monkeypatch.context() as patched:
        patched.setattr(MlflowClient, at, fail)
        with pytest.raises(StoreUnavailable, match="went away"):
            log(stores)
    run_id = log(stores)
    assert client(stores).get_run(run_id).info.status == "FINISHED"
    assert "RUNNING" not in [run.info.status for run in runs(stores)]


def log_and_die(stores: Stores, at: str, times: int) -> None:
    """Be killed at the start of the nth such call."""
    from mlflow import MlflowClient

    original, left = getattr(MlflowClient, at), [times]

    def die(self: Any, *arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments, **named)

    setattr(MlflowClient, at, die)
    log(stores)


def killed(stores: Stores, at: str, times: int) -> None:
    import mlflow  # noqa: F401  # so that the victim need not

    victim = FORK.Process(target=log_and_die, args=(stores, at, times))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("at", "times", "trials"),
    [
        pytest.param("log_batch", 1, [], id="before its first line"),
        pytest.param("create_run", 2, [], id="before its first trial"),
        pytest.param("log_batch", 2, ["RUNNING"], id="in its first trial"),
        pytest.param("set_terminated", 1, ["RUNNING"], id="at the end of its first trial"),
        pytest.param("create_run", 3, ["FINISHED"], id="between its trials"),
        pytest.param("log_batch", 3, ["FINISHED", "RUNNING"], id="in its second trial"),
        pytest.param("log_artifacts", 1, ["FINISHED", "FINISHED"], id="after its trials"),
        pytest.param("set_terminated", 3, ["FINISHED", "FINISHED"], id="at its own end"),
    ],
)
def test_a_killed_training_is_swept_with_its_trials_and_its_repeat_finishes(stores: Stores, at: str, times: int, trials: list[str]) -> None:
    killed(stores, at, times)
    assert statuses(stores) == ["RUNNING"]
    (parent,) = [run.info.run_id for run in runs(stores) if "mlflow.parentRunId" not in run.data.tags]
    assert sorted(run.info.status for run in below(stores, parent)) == trials
    assert parent in experiments.sweep(stores, PROJECT)
    assert {run.info.status for run in runs(stores)} == {"KILLED"}
    assert experiments.sweep(stores, PROJECT) == ()
    again = log(stores)
    assert statuses(stores) == ["FINISHED", "KILLED"]
    assert [run.info.status for run in below(stores, again)] == ["FINISHED", "FINISHED"]
    assert {run.info.status for run in below(stores, parent)} <= {"KILLED"}


def sweep_and_die(stores: Stores, times: int) -> None:
    from mlflow import MlflowClient

    original, left = MlflowClient.set_terminated, [times]

    def die(self: Any, *arguments: Any, **named: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(self, *arguments, **named)

    MlflowClient.set_terminated = die
    experiments.sweep(stores, PROJECT)


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_sweep_that_is_killed_is_finished_by_the_next(stores: Stores, times: int) -> None:
    killed(stores, "log_artifacts", 1)
    victim = FORK.Process(target=sweep_and_die, args=(stores, times))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert experiments.sweep(stores, PROJECT)
    assert {run.info.status for run in runs(stores)} == {"KILLED"}


def test_the_repeat_alone_kills_what_the_dead_left(stores: Stores) -> None:
    killed(stores, "log_artifacts", 1)
    log(stores)
    assert statuses(stores) == ["FINISHED", "KILLED"]
    assert sorted(run.info.status for run in runs(stores)) == ["FINISHED"] * 3 + ["KILLED"] * 3


def test_runs_of_living_processes_other_machines_and_people_are_not_swept(stores: Stores) -> None:
    log(stores)
    opened = client(stores)
    experiment = opened.get_experiment_by_name("small").experiment_id
    for tags in ({}, {experiments.PROCESS: json.dumps(writers.this_process())}, {experiments.PROCESS: '["elsewhere", "b", "1", "1"]'}):
        opened.create_run(experiment, tags=tags)
    assert experiments.sweep(stores, PROJECT) == ()


def log_in_turn(stores: Stores) -> str:
    return log(stores)


def test_racing_processes_make_one_run(stores: Stores) -> None:
    import mlflow  # noqa: F401

    bundle_named(stores, "bundle")
    with FORK.Pool(3) as pool:
        assert len(set(pool.map(log_in_turn, [stores] * 3, chunksize=1))) == 1
    assert statuses(stores) == ["FINISHED"]


def test_an_experiment_deleted_by_hand_comes_back(stores: Stores) -> None:
    log(stores)
    opened = client(stores)
    opened.delete_experiment(opened.get_experiment_by_name("small").experiment_id)
    assert client(stores).get_run(log(stores, "2013-03")).info.status == "FINISHED"


def test_a_server_that_does_not_answer_says_where_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(StoreUnavailable, match="PILLARS_MLFLOW_URI"):
        log(Stores(root=tmp_path, var=tmp_path / "var", mlflow_uri="http://127.0.0.1:9"))


def test_a_process_is_known_by_more_than_its_number() -> None:
    host, boot, pid, started = writers.this_process()
    assert not writers.dead([host, boot, pid, started])
    assert writers.dead([host, boot, pid, started + "1"])  # the number came round again
    assert writers.dead([host, "another boot", pid, started])
    assert not writers.dead(["another host", boot, pid, started])
    assert not writers.dead([])
