"""MLflow's database is whole or not there."""

from __future__ import annotations

import errno
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pillars.errors import StoreUnavailable
from pillars.stores import Stores
from pillars.tracking import mlflow_errors, opening_mlflow

MAKE = """
import sys
from pathlib import Path
from pillars.stores import Stores
from pillars.tracking import opening_mlflow
from tests.proofs.points import Point, Watch

root = Path(sys.argv[1])
Watch(root, fatal=Point(sys.argv[2], int(sys.argv[3]))).install()
with opening_mlflow(Stores(root=root, var=root / "var")):
    pass
"""


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        pytest.param("sql create .draft-mlflow.db", 1, id="before its first table"),
        pytest.param("sql create .draft-mlflow.db", 40, id="among its tables"),
        pytest.param("file remove var/mlflow/.draft-mlflow.db", 1, id="it has two names"),
    ],
)
def test_killed_while_it_is_made_the_next_opening_finds_or_makes_all_of_it(tmp_path: Path, point: str, nth: int):
    killed = subprocess.run([sys.executable, "-c", MAKE, str(tmp_path), point, str(nth)], capture_output=True, env={"PYTHONPATH": "."})
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    stores = Stores(root=tmp_path, var=tmp_path / "var")
    with opening_mlflow(stores) as uri:
        from mlflow import MlflowClient

        assert MlflowClient(uri, uri).search_registered_models() == []
    assert sorted(p.name for p in (tmp_path / "var" / "mlflow").iterdir()) == ["mlflow.db", "open.lock"]


@pytest.mark.parametrize("links", [True, False], ids=["a disk with links", "a disk without"])
@pytest.mark.parametrize("theirs", [True, False], ids=["made by MLflow's server meanwhile", "not there"])
def test_a_database_that_was_made_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: bool, links: bool):
    stores = Stores(root=tmp_path, var=tmp_path / "var")
    database = stores.folder("mlflow") / "mlflow.db"

    def make_tables(engine: Any) -> None:
        Path(engine.url.database).write_text("ours")
        if theirs:
            database.write_text("theirs")

    def no_link(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("mlflow.store.db.utils._safe_initialize_tables", make_tables)
    if not links:
        monkeypatch.setattr("os.link", no_link)
    with opening_mlflow(stores):
        pass
    assert database.read_text() == ("theirs" if theirs else "ours")
    assert sorted(p.name for p in database.parent.iterdir()) == ["mlflow.db", "open.lock"]


@pytest.mark.parametrize(
    ("said", "code"),
    [
        pytest.param("API request to http://h:4010/api/2.0/mlflow failed with error code 403 != 200.", "HTTP 403", id="a port like a code"),
        pytest.param("API request to endpoint /api failed with error code 401 != 200.", "HTTP 401", id="MLflow's words"),
        pytest.param("403 Client Error: Forbidden for url: http://h:4010/x", "HTTP 403", id="the words of requests"),
    ],
)
def test_refused_credentials_are_told_with_the_servers_own_code(said: str, code: str):
    from mlflow.exceptions import MlflowException

    with pytest.raises(StoreUnavailable, match=f"refuses these credentials .{code}"), mlflow_errors("Nothing was changed"):
        raise MlflowException(said)
