"""MLflow's database for tests: made once (it takes seconds), copied for each."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pillars.stores import Stores
from pillars.tracking import opening_mlflow


@pytest.fixture(scope="session")
def empty_mlflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database without a run."""
    stores = Stores(root=tmp_path_factory.mktemp("mlflow"), var=Path("var"))
    with opening_mlflow(stores) as uri:
        from mlflow import MlflowClient

        MlflowClient(uri, uri).search_experiments(max_results=1)
    return stores.var / "mlflow" / "mlflow.db"


@pytest.fixture
def mlflow_stores(tmp_path: Path, empty_mlflow: Path) -> Stores:
    """Stores of this test with an MLflow database in place."""
    stores = Stores(root=tmp_path, var=tmp_path / "var")
    shutil.copy(empty_mlflow, stores.folder("mlflow") / "mlflow.db")
    return stores
