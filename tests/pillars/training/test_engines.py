import gc
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pillars.bundle import booster
from pillars.config import Fit, Project
from pillars.errors import ConfigInvalid, StoreUnavailable
from pillars.stores import Stores
from pillars.training import engines
from pillars.training.fitting import Ground, fit, fit_until_stopped, grounded
from pillars.training.rows import gather, newest
from pillars.training.splits import Part
from pillars.training.streamed import Streamed, newest_of, streamed
from tests.factories import binary_project
from tests.pillars.training.worlds import MONTHS, RECIPE, gathered, judged_at, readable, released, tuned_at

LOCAL = binary_project()
ON_DISK = binary_project(fit={"engine": "external-memory"})
OVER_DASK = binary_project(fit={"engine": "dask"})
PART = Part(tuple(MONTHS[:3]))
FAIR = replace(RECIPE, rounds=30)
NEAR = {"external-memory": 0.002, "dask": 0.01}  # of log loss: what the docs promise


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path)


def scores(ground: Ground) -> np.ndarray:
    valid = gathered(LOCAL, "2013-04", rows=3000)
    return booster.scores(booster.load(fit(ground, FAIR, 2)), ground.encoder.encode(valid.columns))


def log_loss(p: np.ndarray) -> float:
    y = gathered(LOCAL, "2013-04", rows=3000).y
    return float(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))


def test_rows_read_by_period_are_the_rows_in_memory(stores: Stores) -> None:
    read = readable(LOCAL)
    here, there = Ground(LOCAL, gather(read, PART)), streamed(stores, LOCAL, read, PART)
    assert there.encoder == here.encoder
    assert there.digest == here.rows.digest
    assert np.array_equal(there.y, here.rows.y)
    assert np.array_equal(np.concatenate([encoded for encoded, _ in there.pieces()]), here.encoded)
    newest_rows, wanted = newest_of(there, 700), newest(gather(read, PART), 700)
    assert all(
        np.array_equal(newest_rows.columns[name], wanted.columns[name], equal_nan=name in LOCAL.features.numeric) for name in wanted.columns
    )


def test_a_period_that_is_cut_is_one_piece(stores: Stores) -> None:
    part = Part(("2013-01",), (0.7,), (0, 1))
    assert streamed(stores, LOCAL, readable(LOCAL), part).digest == gather(readable(LOCAL), part).digest


@pytest.mark.parametrize("project", [pytest.param(ON_DISK, id="disk"), pytest.param(OVER_DASK, id="dask", marks=pytest.mark.slow)])
def test_another_engine_loses_as_much_as_memory_within_what_is_promised(stores: Stores, project: Project) -> None:
    read = readable(project, rows=3000)
    here, there = scores(Ground(LOCAL, gather(read, PART))), scores(grounded(stores, project, read, PART))
    assert abs(log_loss(here) - log_loss(there)) < NEAR[project.fit.engine]


def test_external_memory_gives_equal_bytes_again(stores: Stores) -> None:
    read = readable(ON_DISK, rows=1500)
    assert fit(grounded(stores, ON_DISK, read, PART), FAIR, 2) == fit(grounded(stores, ON_DISK, read, PART), FAIR, 1)


def test_stopping_early_on_external_memory_is_a_plain_fit_of_as_many_rounds(stores: Stores) -> None:
    ground, valid = grounded(stores, ON_DISK, readable(ON_DISK, rows=1500), PART), gathered(LOCAL, "2013-04")
    eager = replace(RECIPE, rounds=200, params={**RECIPE.params, "eta": 0.5})
    encoded = ground.encoder.encode(valid.columns)
    stopped, found = fit_until_stopped(ground, encoded, valid.y, eager, patience=5)
    assert 1 <= stopped.rounds < 200
    assert np.array_equal(booster.scores(booster.load(fit(ground, stopped)), encoded), found)


def test_the_whole_of_a_training_runs_on_external_memory(stores: Stores) -> None:
    read = readable(ON_DISK)
    tuned = tuned_at(stores, ON_DISK, read, "2013-04")
    assert judged_at(stores, ON_DISK, read, "2013-04", tuned).scorecards[0].rows > 500
    lineage = released(stores, ON_DISK, read, "2013-04").lineage
    assert (lineage["engine"], lineage["device"]) == ("external-memory", "cpu")
    assert "device" not in released(stores, LOCAL, readable(LOCAL), "2013-04").lineage  # equal bytes to those of earlier releases


def test_what_lies_on_the_disk_meanwhile_is_its_owners_alone(stores: Stores) -> None:
    ground = grounded(stores, ON_DISK, readable(ON_DISK), PART)
    fit(ground, RECIPE)
    (folder,) = stores.folder("scratch").iterdir()
    assert any(folder.iterdir())
    assert folder.stat().st_mode & 0o777 == 0o700
    assert stores.folder("scratch").stat().st_mode & 0o777 == 0o700


def test_nothing_is_left_on_the_disk(stores: Stores) -> None:
    fit(grounded(stores, ON_DISK, readable(ON_DISK), PART), RECIPE)
    gc.collect()
    assert list(stores.folder("scratch").iterdir()) == []


def test_what_a_kill_left_is_swept_by_the_next_run(stores: Stores) -> None:
    pid = os.fork()
    if not pid:
        streamed(stores, ON_DISK, readable(ON_DISK), PART)
        held = streamed(stores, ON_DISK, readable(ON_DISK), PART)
        os.kill(os.getpid(), 9 if held.y.size else 0)
    os.waitpid(pid, 0)
    (left,) = stores.folder("scratch").iterdir()
    os.utime(left, (time.time() - 3600,) * 2)
    streamed(stores, ON_DISK, readable(ON_DISK), PART)
    assert not left.exists()


def test_a_lost_folder_is_named(stores: Stores) -> None:
    rows: Streamed = streamed(stores, ON_DISK, readable(ON_DISK), PART)
    for file in rows.folder.iterdir():
        file.unlink()
    with pytest.raises(StoreUnavailable, match="run again"):
        fit(Ground(ON_DISK, rows), RECIPE)


def test_cuda_that_is_not_there_is_an_error_and_auto_takes_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "_cuda", lambda: False)
    assert engines.device_of(Fit(device="auto")) == "cpu"
    with pytest.raises(ConfigInvalid, match="no GPU here"):
        engines.device_of(Fit(device="cuda"))


def test_the_device_is_the_one_that_xgboost_used() -> None:
    import xgboost

    matrix = xgboost.DMatrix(np.zeros((2, 1), np.float32), np.array([0.0, 1.0]))
    assert engines.effective_device(xgboost.train({"device": "cpu"}, matrix, 1)) == "cpu"


def test_a_missing_extra_is_named(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "find_spec", lambda name: None)
    with pytest.raises(ConfigInvalid, match=r"five-pillars\[dask\]"):
        fit(grounded(stores, OVER_DASK, readable(OVER_DASK), PART), RECIPE)


def test_a_cluster_that_is_not_there_is_named_without_its_password(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "CONNECT_S", 0.3)
    ground = grounded(stores, OVER_DASK, readable(OVER_DASK), PART)
    with pytest.raises(StoreUnavailable, match=r"Dask cluster at tcp://127\.0\.0\.1:9"):
        fit(replace(ground, dask_address="tcp://me:secret@127.0.0.1:9"), RECIPE)
