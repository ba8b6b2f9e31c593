"""`pillars serve` on a project that has been through the loop: the scores online are those of the batch; logged, compacted, explained."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from flows.__main__ import main
from flows.serving_commands import told
from pillars import project_file
from pillars.deployment import traffic
from pillars.errors import SettingInvalid, StoreUnavailable
from pillars.stores import Stores
from tests.conftest import free_port
from tests.factories import binary_project
from tests.small import enter
from tests.waiting import wait_until


def test_the_server_is_told_what_the_yaml_says() -> None:
    columns = {
        "at": {"type": "timestamp", "role": ["key", "time"], "nullable": False},
        "line": {"type": "category", "role": ["key", "feature"], "nullable": False},
        "load": {"type": "float", "role": ["feature"]},
        "wind": {"type": "float", "role": ["feature"], "class": "sensitive"},
        "rider": {"type": "text", "role": ["entity"], "class": "personal"},
        "late": {"type": "bool", "role": ["outcome"]},
    }
    project = binary_project(columns=columns, features={"numeric": ["load", "wind"], "categorical": ["line"]})
    found = told(Stores(), project, "127.0.0.1", 1, 1)
    assert {name for name, column in found.columns.items() if column.required} == {"line", "at"}
    assert {name for name, column in found.columns.items() if not column.kept} == {"wind", "rider"}
    assert (found.key, found.entity) == (("at", "line"), ("rider",))


def test_limits_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_SERVE_ROWS", "7")
    assert told(Stores(), binary_project(), "127.0.0.1", 1, 1).limits.rows == 7
    monkeypatch.setenv("PILLARS_SERVE_ROWS", "none")
    with pytest.raises(SettingInvalid, match="PILLARS_SERVE_ROWS"):
        told(Stores(), binary_project(), "127.0.0.1", 1, 1)


def test_it_is_not_opened_to_others_without_a_token(project_root: Path) -> None:
    from flows.serving_commands import serve

    with pytest.raises(SettingInvalid, match="PILLARS_SERVE_TOKENS"):
        serve("flights", "0.0.0.0", 1, 1, as_json=False)


def test_a_port_that_is_taken_is_named(project_root: Path) -> None:
    import socket

    from flows.serving_commands import serve

    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(StoreUnavailable, match=f"port {other.getsockname()[1]}"):
            serve("flights", "127.0.0.1", other.getsockname()[1], 1, as_json=False)


def ask(url: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(urllib.request.Request(url, data, {"Content-Type": "application/json"}), timeout=30) as answer:
        return json.loads(answer.read())


@pytest.fixture(scope="module")
def serving(two_periods: Path) -> Iterator[str]:
    """The address of `pillars serve small --json`, as it says it itself."""
    environ = {name: value for name, value in os.environ.items() if name != "PILLARS_VAR"} | {"PILLARS_ROOT": str(two_periods)}
    log = two_periods / "serve.log"
    command = [sys.executable, "-m", "flows", "serve", "small", "--port", str(free_port()), "--json"]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=two_periods, env=environ, stdout=output, stderr=output)
    try:
        line = wait_until(lambda: log.read_text().strip() or process.poll() is not None, 120, 0.2, "the server")
        assert process.poll() is None, log.read_text()
        told = json.loads(str(line))
        assert told["pid"] == process.pid  # the command became the server: signals reach it
        yield told["url"]
    finally:
        process.terminate()
        process.wait(30)


@pytest.mark.flow
def test_online_scores_are_those_of_the_batch(replayed: Path, serving: str) -> None:
    stores = Stores()
    project = project_file.load(stores.config_file("small"))
    rollout = traffic.read(stores, "small")
    assert rollout
    names = list(dict.fromkeys((*project.features.numeric, *project.features.categorical, *project.key)))
    rows = pq.read_table(replayed / "slice" / "rows-2013-03.parquet").select(names).to_pylist()[:120]
    asked = [{name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in row.items()} for row in rows]
    together = ask(f"{serving}/invocations", {"dataframe_records": asked})
    alone = [ask(f"{serving}/invocations", {"dataframe_records": [row]})["predictions"][0] for row in asked[:20]]
    frame = {"columns": names, "data": [[row[name] for name in names] for row in asked]}
    assert ask(f"{serving}/invocations", {"dataframe_split": frame})["predictions"] == together["predictions"]
    assert alone == together["predictions"][:20]
    assert together["model_version"] == str(rollout.champion.version)
    assert [one["score"] for one in together["predictions"]] == batch_scores(stores, project, names, rows)


def batch_scores(stores: Stores, project: Any, names: list[str], rows: list[dict[str, Any]]) -> list[float]:
    """What the scoring flow's own code says of the rows."""
    from pillars.deployment import release
    from pillars.development import features

    table = pq.read_table(stores.root / "slice" / "rows-2013-03.parquet").slice(0, len(rows))
    rollout = traffic.read(stores, "small")
    assert rollout
    found: list[float] = release.load(stores, rollout.champion).predict(features.design(project, table)).score.tolist()
    return found


@pytest.mark.flow
def test_a_prediction_is_explained_and_the_log_compacted(replayed: Path, serving: str) -> None:
    row = pq.read_table(replayed / "slice" / "rows-2013-04.parquet").to_pylist()[7]
    project = project_file.load(Stores().config_file("small"))
    names = (*project.features.numeric, *project.features.categorical)
    answer = ask(f"{serving}/invocations", {"dataframe_records": [{name: row[name] for name in names}]})
    id = f"{answer['request_id']}-0"
    said = CliRunner().invoke(main, ["why", id, "small", "--recompute", "--json"])
    assert said.exit_code == 0, said.output
    found = json.loads(said.output)
    assert (found["equal"], found["outputs"]) == (True, answer["predictions"][0])
    shown = CliRunner().invoke(main, ["why", id, "small", "--recompute"])
    assert "EQUAL, bit by bit" in shown.output
    unknown = CliRunner().invoke(main, ["why", "0" * 32 + "-0", "small"])
    assert unknown.exit_code == 2
    assert id.partition("-")[0] in unknown.output


@pytest.mark.flow
def test_the_flow_compacts_what_is_finished(replayed: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.compact import compact

    enter(replayed, monkeypatch)
    done = compact("small")
    assert done.project == "small"
    assert compact("small").rows == 0
