"""Targets of every kind through the whole loop, from a stranger's file: `pillars init`, then a replay on a real Prefect server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from flows import data_commands
from pillars import answers
from tasks.opened import Opened, open_project
from tests.clone import make_clone
from tests.small import enter

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]


@pytest.fixture(scope="session")
def own_files(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Path:
    """A clone in which two files of scikit-learn's have become projects and been through the loop, three periods each."""
    from sklearn import datasets

    from flows.replay import replay

    root = make_clone(tmp_path_factory.mktemp("own files") / "project")
    files = root / "inbox"
    files.mkdir()
    iris = datasets.load_iris(as_frame=True)
    iris.frame.assign(species=[iris.target_names[i] for i in iris.target]).drop(columns="target").to_csv(files / "iris.csv", index=False)
    datasets.load_diabetes(as_frame=True).frame.to_csv(files / "diabetes.csv", index=False)
    with pytest.MonkeyPatch.context() as context:
        enter(root, context)
        for name, target in (("iris", "species"), ("diabetes", "target")):
            wishes: dict[str, Any] = {"target": target, "task": None, "time": None, "key": (), "protect": ()}
            data_commands.init(files / f"{name}.csv", None, wishes, force=False, as_json=True)
            assert replay(name) == ["00000001", "00000002", "00000003"]
    return root


@pytest.fixture
def opened(own_files: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    enter(own_files, monkeypatch)
    return open_project


def quality(now: Opened) -> dict[str, Any]:
    """Measures of the newest period that was answered."""
    return now.ledger.entries(now.config.project, "monitor")[-1].facts["quality"]["measures"]  # type: ignore[no-any-return]


def test_one_of_several(opened: Any) -> None:
    now = opened("iris")
    assert now.config.task == "multiclass"
    assert quality(now)["accuracy"]["value"] > 0.8
    said = pq.read_table(now.stores.var / now.ledger.entries("iris", "score")[-1].facts["path"])
    assert {"score", "decision", "p_setosa", "p_versicolor", "p_virginica"} <= set(said.column_names)
    assert set(said["decision"].to_pylist()) <= {"setosa", "versicolor", "virginica"}


def test_a_number(opened: Any) -> None:
    now = opened("diabetes")
    assert now.config.task == "regression"
    assert quality(now)["r2"]["value"] > 0.1
    said = pq.read_table(now.stores.var / now.ledger.entries("diabetes", "score")[-1].facts["path"])
    assert "decision" not in said.column_names
    assert 50 < sum(said["score"].to_pylist()) / said.num_rows < 250


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_pages_and_reports_have_the_measures_of_the_task(opened: Any, name: str) -> None:
    now = opened(name)
    page = answers.write_story(now.stores, now.config).read_text()
    (title, other) = {"iris": ("accuracy", "AUC"), "diabetes": ("RMSE", "log loss")}[name]
    assert f'<th class="n">{title}' in page
    assert f'<th class="n">{other}' not in page
    report = next((now.stores.var / "reports" / name).glob("*/quality.json")).read_text()
    assert {"iris": "Accuracy", "diabetes": "R2Score"}[name] in report


@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_mlflow_serves_what_the_loop_said(opened: Any, name: str) -> None:
    import mlflow

    from pillars.data import versions

    now = opened(name)
    version, newest = now.past.champion(), now.past.newest()
    mlflow.set_tracking_uri(now.stores.tracking_uri)
    model = mlflow.pyfunc.load_model(f"models:/{name}/{version}")
    rows = versions.read(now.stores, now.past.ingested(newest), "rows", [newest]).to_pandas()
    names = [column.name for column in model.metadata.get_input_schema()]
    frame = rows[names].astype(dict.fromkeys(now.config.features.numeric, float))
    outputs = [column.name for column in model.metadata.signature.outputs]
    assert list(model.predict(frame).columns) == outputs
