from __future__ import annotations

import os
import socket
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from deployments import services as stack
from deployments.services_mlflow import main
from deployments.settings import Serving
from flows.environment import is_up
from pillars.stores import Stores

BY = {"pid": "7", "started": "1.5"}


@pytest.fixture
def nothing_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path / "home"))


def found(**stores: str) -> dict[str, stack.Service]:
    return {service.name: service for service in stack.services(Stores(**stores), Serving(), BY)}  # type: ignore[arg-type]


def test_the_logs_of_all_of_them_are_masked(nothing_chosen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somebody/elses")
    for service in found().values():
        first, second = service.environ["PYTHONPATH"].split(os.pathsep)
        assert ((Path(first) / "sitecustomize.py").is_file(), second) == (True, "/somebody/elses")


def test_everything_runs_here_by_default(nothing_chosen: None) -> None:
    assert list(found()) == ["prefect", "mlflow", "evidently", "worker"]


def test_projects_that_were_deployed_have_a_prediction_server_each(nothing_chosen: None) -> None:
    file = Stores().folder("releases", "flights") / "policy.json"
    file.write_text("{}")
    service = found()["predictions-flights"]
    assert service.command[1:5] == ("-m", "flows", "serve", "flights")
    assert service.health == f"http://127.0.0.1:{service.command[-1]}/live"


def test_everything_listens_on_this_machine_only(nothing_chosen: None) -> None:
    for service in found().values():
        if service.url:
            assert service.url.startswith("http://127.0.0.1:")
            assert service.command[service.command.index("--host") + 1] == "127.0.0.1"


def test_a_prefect_server_elsewhere_is_used_and_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PREFECT_API_URL", "http://example.org/api")
    services = found()
    assert "prefect" not in services
    assert services["worker"].environ["PREFECT_API_URL"] == "http://example.org/api"
    assert "--own-server" not in services["worker"].command  # other people's runs are not ended


def test_an_mlflow_server_elsewhere_is_used_and_not_started(nothing_chosen: None) -> None:
    assert "mlflow" not in found(mlflow_uri="http://example.org")


def test_the_worker_speaks_to_the_server_that_was_started(nothing_chosen: None) -> None:
    services = found()
    assert services["worker"].environ["PREFECT_API_URL"] == f"{services['prefect'].url}/api"
    assert services["prefect"].environ["PREFECT_SERVER_API_PORT"] == services["prefect"].url.rpartition(":")[2]


def test_the_worker_waits_for_the_servers_it_uses(nothing_chosen: None) -> None:
    services = found()
    assert services["worker"].command[-2:] == (services["prefect"].health, services["mlflow"].health)


def test_every_process_carries_its_place_and_its_supervisor(nothing_chosen: None) -> None:
    for service in found().values():
        assert service.environ["PILLARS_UP"] == str(Stores().var) == service.environ["PILLARS_VAR"]
        assert stack.supervisor_of(service.environ) == BY


@pytest.mark.parametrize("mark", ["", "x y", "7", "7 "])
def test_a_strange_mark_names_no_supervisor(mark: str) -> None:
    assert not is_up(stack.supervisor_of({"PILLARS_UP_BY": mark} if mark else {}))


def test_a_taken_port_falls_forward() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert stack.free_port(port) > port
    assert stack.free_port(port) == port


def test_a_line_for_the_shell_survives_strange_folders() -> None:
    line = stack.Service("x", ("a b", "--c=d'e")).line("/some where/l o g")
    assert line == """exec 'a b' '--c=d'"'"'e' >> '/some where/l o g' 2>&1"""


def test_ports_come_from_the_environment(nothing_chosen: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_PORT_MLFLOW", "23456")
    assert found()["mlflow"].url in {f"http://127.0.0.1:{port}" for port in range(23456, 23500)}


def test_nothing_of_the_environment_is_changed(nothing_chosen: None) -> None:
    before = dict(os.environ)
    found()
    assert dict(os.environ) == before


def test_the_mlflow_server_finds_a_database_that_is_whole_and_an_environment_that_is_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made by itself, table by table, a killed first start would leave one that never opens again."""
    stores, became = Stores(), []

    def become(program: str, command: list[str], environ: dict[str, str]) -> None:
        with closing(sqlite3.connect(stores.var / "mlflow" / "mlflow.db")) as database:
            became.append((command[1:], environ, database.execute("select count(*) from alembic_version").fetchone()))

    command = found()["mlflow"].command
    before = dict(os.environ)
    monkeypatch.setattr("os.execve", become)
    main(*command[command.index("--host") :])
    assert command[:3] == (sys.executable, "-m", "deployments.services_mlflow")
    assert became == [(["-m", "mlflow", "server", *command[3:]], before, (1,))]
