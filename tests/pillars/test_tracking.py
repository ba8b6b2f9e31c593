"""MLflow's database is whole or not there."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pillars.stores import Stores
from pillars.tracking import opening_mlflow

MAKE = """
import sys
from pathlib import Path
from pillars.stores import Stores
from pillars.tracking import opening_mlflow
from tests.proofs.points import Point, Watch

root = Path(sys.argv[1])
Watch(root, fatal=Point("sql create .draft-mlflow.db", int(sys.argv[2]))).install()
with opening_mlflow(Stores(root=root, var=root / "var")):
    pass
"""


@pytest.mark.parametrize("nth", [1, 40])
def test_killed_while_its_tables_are_made_the_next_opening_makes_them_all(tmp_path: Path, nth: int):
    killed = subprocess.run([sys.executable, "-c", MAKE, str(tmp_path), str(nth)], capture_output=True, env={"PYTHONPATH": "."})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    stores = Stores(root=tmp_path, var=tmp_path / "var")
    with opening_mlflow(stores) as uri:
        from mlflow import MlflowClient

        assert MlflowClient(uri, uri).search_registered_models() == []
    assert sorted(p.name for p in (tmp_path / "var" / "mlflow").iterdir()) == ["mlflow.db", "open.lock"]
