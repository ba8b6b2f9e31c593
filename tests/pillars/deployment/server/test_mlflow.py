"""The same model behind MLflow's own scoring server: a request that both take is answered alike."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pillars.bundle.bundle import Bundle
from pillars.monitoring.packaging import save_model
from pillars.tracking import quiet_mlflow
from tests.pillars.deployment.server.world import InProcess, settings, write_policy, write_release

ROWS = [
    {"distance": 1000.5, "seats": 150.0, "booked": 1.0, "carrier": "UA"},
    {"distance": 0.1, "seats": None, "booked": 0.0, "carrier": None},
    {"distance": -5e20, "seats": 3.0, "booked": None, "carrier": "ZZ"},
]
NAMES = ("carrier", "distance", "booked", "seats")


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[InProcess, Any]]:
    """Ours, and a function that asks MLflow's."""
    quiet_mlflow()
    var = tmp_path_factory.mktemp("both")
    release = write_release(var, 1)
    write_policy(var, 1, release)
    about: Any = SimpleNamespace(artifact_location=str(var), model_id="m-1", source_run_id="run")
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, var / release.path, Bundle.load(var / release.path), about)

    import mlflow.pyfunc
    from mlflow.pyfunc import scoring_server

    model = mlflow.pyfunc.load_model(str(Path(folder) / "model"))

    def theirs(body: Any) -> Any:
        answer = scoring_server.invocations(json.dumps(body), "application/json", model, model.metadata.get_input_schema())
        return json.loads(answer.response)

    with InProcess(settings(var)) as app:
        yield app.ready(), theirs


@pytest.mark.slow
@pytest.mark.parametrize(
    "body",
    [
        pytest.param({"dataframe_records": ROWS}, id="records"),
        pytest.param({"dataframe_records": ROWS[:1]}, id="one"),
        pytest.param({"dataframe_split": {"columns": NAMES, "data": [[row[n] for n in NAMES] for row in ROWS]}}, id="split"),
        pytest.param(
            {"dataframe_split": {"columns": NAMES, "index": [7, 8, 9], "data": [[row[n] for n in NAMES] for row in ROWS]}},
            id="with its index",
        ),
    ],
)
def test_both_answer_alike(both: tuple[InProcess, Any], body: Any) -> None:
    app, theirs = both
    status, ours = app.ask("POST", "/invocations", body)
    assert status == 200
    assert ours["predictions"] == theirs(body)["predictions"]
