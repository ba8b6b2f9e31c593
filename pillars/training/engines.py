"""Where a fit runs: on which device, over pieces on the disk, or on a Dask cluster. The door to Dask."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np

from pillars.config import Fit
from pillars.errors import ConfigInvalid, StoreUnavailable
from pillars.stores import without_password
from pillars.training.streamed import Streamed

if TYPE_CHECKING:
    from distributed import Client
    from xgboost import Booster, ExtMemQuantileDMatrix

CONNECT_S = 30  # that a cluster's scheduler has to answer
NEEDED = ("dask", "distributed")


def device_of(fit: Fit) -> str:
    """`cpu` or `cuda`: what XGBoost will really use.

    Raises:
        ConfigInvalid: cuda was asked for, and XGBoost finds none: it would fit on the CPU with a warning that nobody reads.
    """
    if fit.device == "cpu" or fit.engine != "local":
        return "cpu"
    if (found := _cuda()) or fit.device == "auto":
        return "cuda" if found else "cpu"
    problem = "fit.device: cuda, and XGBoost finds no GPU here (or is a build without CUDA); say auto or cpu"
    raise ConfigInvalid("fit", [problem])


def effective_device(booster: Booster) -> str:
    """The device that a booster was fitted on, as its saved configuration says: `cpu` or `cuda:<n>`."""
    return str(json.loads(booster.save_config())["learner"]["generic_param"]["device"])


@cache
def _cuda() -> bool:
    """Whether a booster that asks for cuda gets it."""
    import xgboost

    if not xgboost.build_info().get("USE_CUDA"):
        return False
    matrix = xgboost.DMatrix(np.zeros((2, 1), np.float32), np.array([0.0, 1.0]))
    try:
        booster = xgboost.train({"device": "cuda", "tree_method": "hist", "verbosity": 0}, matrix, 1)
    except xgboost.core.XGBoostError:
        return False
    return effective_device(booster).startswith("cuda")


def matrix_on_disk(rows: Streamed, max_bin: int, threads: int) -> ExtMemQuantileDMatrix:
    """Rows in bins, a page for each piece, in the folder of the rows; about .4 bytes a cell are in memory (10M rows of 40 columns)."""
    import xgboost

    class Pieces(xgboost.DataIter):  # type: ignore[misc]  # xgboost is skipped by mypy
        def __init__(self) -> None:
            self.left = rows.pieces()
            super().__init__(cache_prefix=str(rows.folder / f"bins-{max_bin}"))

        def next(self, input_data: Callable[..., Any]) -> bool:
            for encoded, y in self.left:
                if len(y):
                    input_data(data=encoded, label=y)
                    return True
            return False

        def reset(self) -> None:
            self.left = rows.pieces()

    return xgboost.ExtMemQuantileDMatrix(Pieces(), max_bin=max_bin, nthread=threads)


def fit_on_cluster(rows: Streamed, address: str, params: dict[str, Any], rounds: int, max_bin: int, threads: int) -> Booster:
    """A booster fitted by the workers of a Dask cluster, or of one begun here for this fit where `address` is empty.

    Each worker gets whole pieces, sent one at a time. How rows fall to workers has a say in the result: it is near that of a fit here,
    and no two fits are equal for sure.

    Raises:
        ConfigInvalid: the extra `dask` is not installed.
        StoreUnavailable: the cluster does not answer.
    """
    with _cluster(address, threads) as client:
        import dask.array
        from xgboost import dask as over_dask

        workers = sorted(client.scheduler_info(n_workers=-1)["workers"])
        x, y = [], []
        for place, (encoded, its_y) in enumerate(piece for piece in rows.pieces() if len(piece[1])):
            held = {"workers": [workers[place % len(workers)]], "hash": False}
            sent = client.scatter([encoded, its_y], **held)
            x.append(dask.array.from_delayed(sent[0], encoded.shape, encoded.dtype))
            y.append(dask.array.from_delayed(sent[1], its_y.shape, its_y.dtype))
        matrix = over_dask.DaskQuantileDMatrix(client, dask.array.concatenate(x), dask.array.concatenate(y), max_bin=max_bin)
        return over_dask.train(client, params, matrix, rounds)["booster"]


@contextmanager
def _cluster(address: str, threads: int) -> Iterator[Client]:
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise ConfigInvalid("fit", [f"fit.engine: dask needs {' and '.join(missing)}: pip install 'five-pillars[dask]'"])
    from distributed import Client, LocalCluster

    if not address:
        with LocalCluster(n_workers=threads, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            yield client
        return
    named = f"the Dask cluster at {without_password(address)}"
    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as err:  # TimeoutError is an OSError; ValueError: no address at all
        remedy = "Start it, or set PILLARS_DASK_ADDRESS right (tcp://host:8786); unset, workers are started here."
        raise StoreUnavailable(named, f"does not answer ({type(err).__name__})", remedy) from err
    with client:
        if not client.scheduler_info(n_workers=-1)["workers"]:
            raise StoreUnavailable(named, "has no workers", "Start one or more (dask worker ADDRESS).")
        yield client
