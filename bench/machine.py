"""Processes that are measured: a clone, a Prefect server, one side of the bench, a command."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from bench.found import Month
from flows.environment import OWN_SERVER, answers, project_settings
from tests.clone import CHECKOUT

OURS = ("PREFECT_", "PILLARS_", "MLFLOW_", "DVC_", "GIT_")
START_S = 180.0  # that Prefect's server may take on a busy machine


@dataclass(frozen=True)
class Ran:
    """One run of one side: seconds of the whole process, those of Prefect's server meanwhile, seconds by step, and what came out."""

    wall_s: float
    cpu_s: float
    server_cpu_s: float
    steps_wall_s: dict[str, float]
    steps_cpu_s: dict[str, float]
    months: list[Month]


@dataclass(frozen=True)
class Server:
    """A Prefect server of our own: what it took to start, and the variables with which others find it."""

    pid: int
    start_wall_s: float
    start_cpu_s: float
    environ: dict[str, str]

    def cpu_s(self) -> float:
        """CPU seconds so far."""
        used = psutil.Process(self.pid).cpu_times()
        return used.user + used.system


@contextmanager
def prefect_server(home: Path) -> Iterator[Server]:
    """A server with an empty database in `home`, on a free port of this machine."""
    home.mkdir(parents=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = _environ() | {"PREFECT_HOME": str(home), "PREFECT_SERVER_API_PORT": str(port)}
    command, began = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"], time.perf_counter()
    with (home / "server.log").open("wb") as output:
        server = subprocess.Popen(command, env=environ, cwd=home, stdout=output, stderr=output)
    url = f"http://127.0.0.1:{port}/api"
    try:
        while not answers(f"{url}/health"):
            if server.poll() is not None or time.perf_counter() - began > START_S:
                raise RuntimeError(f"Prefect's server did not start:\n{_tail(home / 'server.log')}")
            time.sleep(0.1)
        found = {"PREFECT_HOME": str(home), "PREFECT_API_URL": url} | OWN_SERVER
        used = psutil.Process(server.pid).cpu_times()
        yield Server(server.pid, time.perf_counter() - began, used.user + used.system, found)
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def measured(side: str, root: Path, project: str, last: str, server: Server, threads: int | None = None) -> Ran:
    """Run `bench.one` in the clone `root`, through the period `last`; `threads` of final fits, all cores if None.

    Raises:
        RuntimeError: it failed.
    """
    answer, log = root / f"{side}.json", root / f"{side}.log"
    command = [sys.executable, "-m", "bench.one", side, project, last, str(answer)]
    environ = _environ(root) | server.environ | ({"PILLARS_THREADS": str(threads)} if threads else {})
    before, began, served = _children_cpu_s(), time.perf_counter(), server.cpu_s()
    with log.open("wb") as output:
        code = subprocess.run(command, env=environ, cwd=root, stdout=output, stderr=output).returncode
    wall, cpu, served = time.perf_counter() - began, _children_cpu_s() - before, server.cpu_s() - served
    if code:
        raise RuntimeError(f"{side} ended with {code}:\n{_tail(log)}")
    content = json.loads(answer.read_text())
    steps_wall, steps_cpu = content["wall_s"], content["cpu_s"]
    steps_wall["start"] = steps_wall.get("start", 0.0) + wall - sum(steps_wall.values())  # the interpreter, our imports, its end
    steps_cpu["start"] = steps_cpu.get("start", 0.0) + cpu - sum(steps_cpu.values())
    return Ran(wall, cpu, served if side == "loop" else 0.0, steps_wall, steps_cpu, [Month(**month) for month in content["months"]])


def start_up_s(arguments: Sequence[str], root: Path, server: Server, times: int = 5) -> float:
    """Median wall seconds of `pillars` with these arguments in the clone `root`; a first one warms the disk's cache."""
    command = [str(Path(sys.executable).with_name("pillars")), *arguments]
    taken = []
    for _ in range(times + 1):
        began = time.perf_counter()
        done = subprocess.run(command, env=_environ(root) | server.environ, cwd=root, capture_output=True)
        taken.append(time.perf_counter() - began)
        if done.returncode not in (0, 1):  # 1: status says that something is stale
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr.decode()[-2000:]}")
    return median(taken[1:])


def _environ(root: Path | None = None) -> dict[str, str]:
    """Ours without the user's settings of the tools, and with the project's."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
    quiet = {"DO_NOT_TRACK": "1", "MLFLOW_DISABLE_TELEMETRY": "true", "GX_ANALYTICS_ENABLED": "false", "DVC_NO_ANALYTICS": "1"}
    places = {"PILLARS_ROOT": str(root), "PYTHONPATH": str(CHECKOUT)} if root else {}
    return clean | project_settings(CHECKOUT) | quiet | places


def _children_cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-3000:]
