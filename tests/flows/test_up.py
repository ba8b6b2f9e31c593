"""The whole stack, started and killed: `pillars up` and `pillars down` in a project of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from flows.environment import answers, read_up
from flows.up import down, up
from pillars.errors import Busy
from pillars.stores import Stores, locked
from tests.waiting import wait_until

PROJECT = """\
project: waiting
target: late
source: {python: waits_for_ever}
columns:
  id: {type: int, role: [key]}
  at: {type: timestamp, role: [time]}
  speed: {type: float, role: [feature]}
  late: {type: bool, role: [outcome]}
features: {numeric: [speed]}
"""
SOURCE = """\
import threading

def source():
    threading.Event().wait()
"""
SECRET = "geheim-4711-abc"
Pillars = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def stores(project_root: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """A project whose cycle never ends by itself, with no Prefect chosen and ports of its own."""
    for file in (project_root / "configs").glob("*.yaml"):
        file.unlink()
    (project_root / "configs" / "waiting.yaml").write_text(PROJECT)
    (project_root / "waits_for_ever.py").write_text(SOURCE)
    for name in [n for n in os.environ if n.startswith("PREFECT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(project_root.parent / "home"))
    for name, port in (("PREFECT", 14200), ("MLFLOW", 15000), ("EVIDENTLY", 18000)):
        monkeypatch.setenv(f"PILLARS_PORT_{name}", str(port))
    monkeypatch.chdir(project_root)
    return Stores()


@pytest.fixture
def pillars(stores: Stores) -> Iterator[Pillars]:
    def command(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = "import sys; from flows.__main__ import main; main(sys.argv[1:])"
        done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr + logs(stores)
        return done

    yield command
    down(stores, say=lambda _: None)


def logs(stores: Stores) -> str:
    return "\n".join(f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in sorted((stores.var / "logs").glob("*.log")))


def marked(stores: Stores) -> list[int]:
    """Living processes of the stack."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("PILLARS_UP") == str(stores.var) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process.pid)
        except psutil.Error:
            continue
    return found


def prefect(api: str, *arguments: str) -> str:
    command = [sys.executable, "-m", "prefect", *arguments]
    return subprocess.run(command, env=os.environ | {"PREFECT_API_URL": api}, capture_output=True, text=True, check=True).stdout


def runs(api: str) -> dict[str, str]:
    """Flow runs that have begun, with their states."""
    rows: list[dict[str, Any]] = json.loads(prefect(api, "flow-run", "ls", "--output", "json", "--limit", "200"))
    return {row["id"]: row["state"]["name"] for row in rows if row["state"]["type"] != "SCHEDULED"}


@pytest.mark.slow
@pytest.mark.flow
def test_up_and_down_and_killed_and_up_again(stores: Stores, pillars: Pillars, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", SECRET)
    first = pillars("up", "--detach").stdout
    state = read_up(stores)
    for url in state["addresses"].values():
        assert url in first
        assert answers(url)
    assert (stores.var / "up.json").stat().st_mode & 0o777 == 0o600
    assert "already up" in pillars("up").stdout
    for url in state["addresses"].values():
        assert not answers(f"{url}/api/nothing?token={SECRET}")
    wait_until(lambda: logs(stores).count("?token=***") >= 2, what="the access logs of MLflow and Evidently")
    assert SECRET not in "".join(log.read_text(errors="replace") for log in (stores.var / "logs").iterdir())

    prefect(state["prefect_api"], "deployment", "run", "cycle/cycle-waiting")
    dead = next(iter(wait_until(lambda: {i for i, s in runs(state["prefect_api"]).items() if s == "Running"}, deadline_s=120, every_s=1)))

    os.kill(state["pid"], signal.SIGKILL)
    pillars("up", "--detach")
    again = read_up(stores)
    assert again["pid"] != state["pid"]
    assert runs(again["prefect_api"])[dead] == "Crashed"  # or it would hold the schedule's only slot for ever
    prefect(again["prefect_api"], "deployment", "run", "cycle/cycle-waiting")
    second = wait_until(lambda: {i for i, s in runs(again["prefect_api"]).items() if s == "Running"}, deadline_s=120, every_s=1)
    assert dead not in second

    assert "stopped" in pillars("down").stdout
    assert not marked(stores)
    assert not read_up(stores)
    assert not answers(state["addresses"]["prefect"])
    assert "nothing was running" in pillars("down").stdout


@pytest.mark.slow
def test_what_has_just_begun_to_start_can_be_stopped(stores: Stores) -> None:
    starting = subprocess.Popen([sys.executable, "-m", "flows.__main__", "up", "--detach"], stdout=subprocess.PIPE, text=True)
    wait_until(lambda: read_up(stores), what="up.json")
    down(stores, say=lambda _: None)
    assert "not up" in starting.communicate(timeout=60)[0]
    assert not marked(stores)


def test_only_one_starts_at_a_time(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.up.STOP_S", 0.1)
    with locked(stores.folder() / "up.lock", "another"), pytest.raises(Busy, match="pillars up"):
        up(stores)


@pytest.mark.parametrize("left", ["", "{", '{"pid": 1, "started": 0, "addresses": {}}'])
def test_down_forgets_what_a_killed_stack_left(stores: Stores, left: str) -> None:
    (stores.folder() / "up.json").write_text(left)
    down(stores, say=lambda _: None)
    assert not (stores.var / "up.json").exists()
    assert psutil.pid_exists(1)
