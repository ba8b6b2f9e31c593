"""The supervisor over tiny shell commands, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.waiting import wait_until

SCRIPT = """
import json, sys
from deployments.supervisor import Quiet, Supervisor
commands = json.loads(sys.argv[1])
with open("up.log", "a") as log:
    supervisor = Supervisor(Quiet(log), first="worker", started=lambda: open("started", "w").close())
    for name, command in commands.items():
        supervisor.add_process(name, command)
    supervisor.loop()
print("asked" if supervisor.asked else "gave up", flush=True)
"""
AT_ONCE = """
import os, signal
class Supervisor(Supervisor):
    def _start(self):
        super()._start()
        os.kill(os.getpid(), signal.SIGTERM)
"""
STAYS = "echo $$ > {name}.pid; trap 'date +%s%N > {name}.end; exit 0' TERM; while :; do sleep 0.1; done"
Supervise = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def supervise(tmp_path: Path) -> Iterator[Supervise]:
    started: list[subprocess.Popen[str]] = []

    def run(**commands: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, json.dumps({n: c.format(name=n) for n, c in commands.items()})]
        started.append(subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True))
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.communicate()


def pid_of(name: str, folder: Path) -> int:
    def read() -> int:
        path = folder / f"{name}.pid"
        return int(path.read_text().strip() or 0) if path.exists() else 0

    return wait_until(read, what=f"{name} to start")


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_asked_to_stop_it_stops_all_and_the_worker_first(supervise: Supervise, tmp_path: Path, number: signal.Signals) -> None:
    process = supervise(server=STAYS, worker=STAYS)
    pids = [pid_of("server", tmp_path), pid_of("worker", tmp_path)]
    process.send_signal(number)
    assert process.communicate(timeout=30)[0].splitlines()[-1] == "asked"
    assert all(gone(pid) for pid in pids)
    assert int((tmp_path / "worker.end").read_text()) < int((tmp_path / "server.end").read_text())


def test_asked_to_stop_before_its_services_have_said_that_they_run_it_stops_all(tmp_path: Path) -> None:
    """A ^C at once, or a machine so busy that the first words of a service come late."""
    script = SCRIPT.replace("commands = ", f"{AT_ONCE}commands = ", 1)
    commands = json.dumps({name: STAYS.format(name=name) for name in ("server", "worker")})
    done = subprocess.run([sys.executable, "-c", script, commands], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert (done.stdout.splitlines()[-1:], done.stderr) == (["asked"], "")
    assert all(gone(int(file.read_text())) for file in tmp_path.glob("*.pid") if file.read_text().strip())


def test_a_process_that_is_killed_is_started_again(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(server=STAYS, worker=STAYS)
    first = pid_of("server", tmp_path)
    os.kill(first, signal.SIGKILL)
    second = wait_until(lambda: pid if (pid := pid_of("server", tmp_path)) != first else 0, what="another one")
    process.terminate()
    assert "server | ended with -9, started again" in process.communicate(timeout=30)[0]
    assert gone(second)  # the new one is the one that is stopped


def test_a_process_that_cannot_run_ends_the_stack(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(server="echo once >> tries; exit 3", worker=STAYS)
    said = process.communicate(timeout=60)[0]
    assert (tmp_path / "tries").read_text().count("once") == 3
    assert "ended with 3, given up after 3 times" in said
    assert said.splitlines()[-1] == "gave up"
    assert gone(pid_of("worker", tmp_path))


def test_a_process_that_will_not_stop_is_killed(supervise: Supervise, tmp_path: Path) -> None:
    deaf = "echo $$ > {name}.pid; trap '' TERM; while :; do sleep 0.1; done"
    process = supervise(server=deaf, worker=STAYS)
    pid = pid_of("server", tmp_path)
    pid_of("worker", tmp_path)
    process.terminate()
    process.communicate(timeout=60)
    assert gone(pid)


def test_no_process_outlives_a_killed_supervisor(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(server=STAYS, worker=STAYS)
    pids = [pid_of("server", tmp_path), pid_of("worker", tmp_path)]
    children = psutil.Process(process.pid).children()
    process.kill()
    wait_until(lambda: all(gone(pid) for pid in pids), what="the services to end")
    wait_until(lambda: all(gone(child.pid) for child in children), what="honcho's own processes to end")
    assert not [pid for pid in (*pids, *(child.pid for child in children)) if not gone(pid)]


def test_what_honcho_says_is_in_the_log_and_not_in_the_terminal(supervise: Supervise, tmp_path: Path) -> None:
    process = supervise(server=STAYS, worker=STAYS)
    pid_of("worker", tmp_path)
    process.terminate()
    assert "system" not in process.communicate(timeout=30)[0]
    assert "worker started" in (tmp_path / "up.log").read_text()
