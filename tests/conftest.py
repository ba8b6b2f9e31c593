"""What every test has: its own places, no settings of the user, and on demand a project folder and a real Prefect server."""

from __future__ import annotations

import atexit
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from flows.environment import answers, project_settings
from pillars import masking
from tests.clone import CHECKOUT, make_clone
from tests.small import replayed, slices, small, two_periods
from tests.waiting import wait_until

__all__ = ["replayed", "slices", "small", "two_periods"]


def free_port() -> int:
    """A port nobody listens on, below the range from which the system serves outgoing connections."""
    while True:
        port = random.SystemRandom().randint(20_000, 30_000)
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port


# Set here and not in a fixture: Prefect reads its settings when it is imported, which collecting the tests may do.
_OWNER = os.getpid()
_SESSION = Path(tempfile.mkdtemp(prefix="pillars-tests-"))
_PORT = free_port()
for _name in [n for n in os.environ if n.startswith(("PREFECT_", "PILLARS_", "MLFLOW_", "DVC_", "GIT_"))]:
    del os.environ[_name]
os.environ |= project_settings(CHECKOUT) | {
    "PREFECT_HOME": str(_SESSION / "prefect"),
    "PREFECT_API_URL": f"http://127.0.0.1:{_PORT}/api",
    "PREFECT_SERVER_EPHEMERAL_ENABLED": "false",
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "DO_NOT_TRACK": "1",
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "DVC_GLOBAL_CONFIG_DIR": str(_SESSION / "dvc"),
    "DVC_SYSTEM_CONFIG_DIR": str(_SESSION / "dvc"),
    "DVC_NO_ANALYTICS": "1",
    "GX_ANALYTICS_ENABLED": "false",
    "MPLBACKEND": "Agg",
}


@atexit.register
def _clear() -> None:
    if os.getpid() == _OWNER:  # a process forked from this one ends earlier
        shutil.rmtree(_SESSION, ignore_errors=True)


def pytest_unconfigure() -> None:
    _clear()  # xdist's workers end without their exit functions


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with long tests come first: a process takes whole files, and the last one should not be the longest."""
    longest: dict[Path, int] = {}
    for item in items:
        rank = next((n for n, mark in enumerate(("e2e", "slow", "flow")) if item.get_closest_marker(mark)), 3)
        longest[item.path] = min(rank, longest.get(item.path, 3))
    items.sort(key=lambda item: longest[item.path])


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Stores()` writes to this test's folder."""
    monkeypatch.setenv("PILLARS_VAR", str(tmp_path / "var"))


@pytest.fixture
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret that another test told this process of is masked."""
    for name, value in (("_known", {}), ("_pattern", None), ("_seen", {})):
        monkeypatch.setattr(masking, name, value)


@pytest.fixture
def project_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A git repository like a user's clone: configs/, projects/, one commit. For `Stores(root=project_root)`; its var is inside."""
    root = make_clone(tmp_path / "project")
    monkeypatch.delenv("PILLARS_VAR")
    monkeypatch.setenv("PILLARS_ROOT", str(root))
    return root


@pytest.fixture(scope="session")
def prefect_server() -> Iterator[str]:
    """API address of a real Prefect server, one per session. Flows of this process run against it, without heartbeats."""
    with running_prefect() as url:
        yield url


@contextmanager
def running_prefect() -> Iterator[str]:
    """A real Prefect server at this session's address; flows of this process run without heartbeats."""
    from prefect.logging.handlers import APILogHandler
    from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings

    url = os.environ["PREFECT_API_URL"]
    log = _SESSION / "server.log"
    environ = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    environ["PREFECT_SERVER_API_PORT"] = str(_PORT)  # by variable: with --port the UI asks the default port
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, env=environ, cwd=_SESSION, stdout=output, stderr=output)
    try:
        wait_until(lambda: answers(f"{url}/health") or _ended(server, log), deadline_s=180, what="the Prefect server")
        # every synchronous flow run waits 1 s for its heartbeat thread
        with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
            yield url
    finally:
        APILogHandler().flush()  # what is sent later finds no server
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()


def _ended(server: subprocess.Popen[bytes], log: Path) -> bool:
    """Raises with the server's last words when it has ended instead of answering."""
    if server.poll() is not None:
        raise RuntimeError(f"the Prefect server ended with {server.returncode}:\n{log.read_text(errors='replace')[-2000:]}")
    return False
