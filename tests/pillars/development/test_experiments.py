"""A training is on record once, whole, whatever dies on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest

from pillars.development import experiments, writers
from pillars.errors import StoreUnavailable
from pillars.stores import Stores, opening_mlflow
from tests.releases import DATA, RECIPE, small_project, small_training, write_small_bundle

PNG = b"\x89PNG\r\n\x1a\n not looked into"
FORK = multiprocessing.get_context("fork")


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without a run (making it takes seconds), to be copied."""
    stores = Stores(root=tmp_path_factory.mktemp("mlflow"), var=Path("var"))
    with opening_mlflow(stores) as uri:
        from mlflow import MlflowClient

        MlflowClient(uri, uri).search_experiments(max_results=1)
    return stores.var / "mlflow" / "mlflow.db"


@pytest.fixture
def stores(tmp_path: Path, empty_mlflow: Path) -> Stores:
    stores = Stores(root=tmp_path, var=tmp_path / "var")
    shutil.copy(empty_mlflow, stores.folder("mlflow") / "mlflow.db")
    return stores
