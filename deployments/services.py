"""The processes of `pillars up`: commands, environments, addresses."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deployments.settings import Serving
from flows.environment import local_settings, names_a_server, places, project_settings
from pillars import project_file
from pillars.stores import Stores

HOST = "127.0.0.1"
STARTUP = Path(__file__).with_name("startup")  # its sitecustomize.py masks the logs of every process that has it on its path
MARK, MARK_BY = "PILLARS_UP", "PILLARS_UP_BY"  # in every process of a stack: its var folder, its supervisor; by them what is left is found


@dataclass(frozen=True)
class Service:
    """One supervised process. `url` is for people, `health` answers 2xx once it serves; both empty for a worker."""

    name: str
    command: tuple[str, ...]
    environ: dict[str, str] = field(default_factory=dict)
    url: str = ""
    health: str = ""
    shows: str = ""

    def line(self, log: str) -> str:
        """Shell line that runs it in place of the shell, its output appended to `log`."""
        return f"exec {shlex.join(self.command)} >> {shlex.quote(log)} 2>&1"


def supervisor_of(environ: Mapping[str, str]) -> dict[str, str]:
    """`pid` and `started` of the supervisor that started a process with this environment, as it wrote them."""
    pid, _, started = environ.get(MARK_BY, "").partition(" ")
    return {"pid": pid, "started": started}


def services(stores: Stores, serving: Serving, by: Mapping[str, Any]) -> list[Service]:
    """What has to run here: servers that the user has elsewhere (`PREFECT_API_URL`, `PILLARS_MLFLOW_URI`) are used, not started.

    `by` has pid and start of the supervisor.
    """
    marks = {MARK: str(stores.var), MARK_BY: f"{by['pid']} {by['started']}"}
    path = os.pathsep.join(filter(None, (str(STARTUP), os.environ.get("PYTHONPATH"))))
    ours = {"PYTHONUNBUFFERED": "1", "PWD": str(stores.root), "DO_NOT_TRACK": "1", "PYTHONPATH": path}
    common = project_settings(stores.root) | os.environ | places(stores) | marks | ours
    found, own = [], not names_a_server(os.environ)
    if own:
        common = local_settings(stores) | common
        found.append(_prefect(common, free_port(serving.port_prefect)))
        common = common | {"PREFECT_API_URL": f"{found[0].url}/api"}
    if not stores.tracking_uri.startswith("http"):
        found.append(_mlflow(stores, common, free_port(serving.port_mlflow)))
    awaited = [service.health for service in found]  # MLflow too: its database is made by one process, then used by runs
    found.append(_evidently(stores, common, free_port(serving.port_evidently)))
    port = serving.port_serving
    for project in project_file.names(stores.configs):
        if (stores.var / "releases" / project / "policy.json").exists():  # before its first deployment there is nothing to answer with
            found.append(_predictions(project, common, port := free_port(port)))
            port += 1
    worker = (sys.executable, "-m", "deployments.worker", *(["--own-server"] if own else []), *awaited)
    return [*found, Service("worker", worker, common)]


def _prefect(common: dict[str, str], port: int) -> Service:
    url = f"http://{HOST}:{port}"
    # the port by variable: given as --port, the UI asks the default port; the UI's address makes links in artifacts and alerts
    environ = common | {"PREFECT_SERVER_API_PORT": str(port), "PREFECT_UI_URL": url}
    command = (sys.executable, "-m", "prefect", "server", "start", "--host", HOST)
    return Service("prefect", command, environ, url, f"{url}/api/health", "runs, schedules, artifacts")


def _mlflow(stores: Stores, common: dict[str, str], port: int) -> Service:
    url = f"http://{HOST}:{port}"
    command = (
        *(sys.executable, "-m", "deployments.services_mlflow", "--host", HOST, "--port", str(port), "--workers", "1"),
        *("--backend-store-uri", stores.tracking_uri, "--artifacts-destination", str(stores.folder("mlflow", "artifacts"))),
    )
    # its job processes take 1.6 GB and serve nothing here
    environ = common | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    return Service("mlflow", command, environ, url, f"{url}/health", "experiments, models")


def _evidently(stores: Stores, common: dict[str, str], port: int) -> Service:
    url = f"http://{HOST}:{port}"
    workspace = stores.folder("evidently")  # must exist
    command = (str(Path(sys.executable).with_name("evidently")), "ui", "--host", HOST, "--port", str(port), "--workspace", str(workspace))
    return Service("evidently", command, common, url, f"{url}/api/version", "drift and its trend")


def _predictions(project: str, common: dict[str, str], port: int) -> Service:
    url = f"http://{HOST}:{port}"
    command = (sys.executable, "-m", "flows", "serve", project, "--host", HOST, "--port", str(port))
    return Service(f"predictions-{project}", command, common, f"{url}/docs", f"{url}/live", f"predictions of {project}")


def free_port(wanted: int) -> int:
    """`wanted`, or the next port above it that nobody listens on."""
    for port in range(wanted, 65536):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, port))
            except OSError:
                continue
            return port
    return wanted  # the service itself says that the port is taken
