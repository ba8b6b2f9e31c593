"""`pillars serve` as a process that ends with this one, asked over HTTP, killed, or refused its disk."""

from __future__ import annotations

import ctypes
import http.client
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil

from pillars.errors import StoreUnavailable

START_S = 120.0
DEATH = 1  # PR_SET_PDEATHSIG


def environ(root: Path, var: Path, more: Mapping[str, str]) -> dict[str, str]:
    """An environment in which `pillars` knows the throw-away folder and nothing of the user's own: no ledger, registry, key or token."""
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PILLARS_")}
    return ours | {"PILLARS_ROOT": str(root), "PILLARS_VAR": str(var), "OMP_NUM_THREADS": "1"} | dict(more)


class Server:
    """One that runs."""

    def __init__(self, project: str, root: Path, environ: Mapping[str, str], workers: int = 1, port: int = 0) -> None:
        self.port, self.workers, self._log = port or free_port(), workers, root / "server.log"
        command = [sys.executable, "-m", "flows", "serve", project, "--port", str(self.port), "--workers", str(workers), "--json"]
        with self._log.open("ab") as output:
            self.process = subprocess.Popen(
                command, cwd=root, env=dict(environ), stdin=subprocess.DEVNULL, stdout=output, stderr=output, preexec_fn=_end_with_parent
            )

    def ask(self, path: str) -> tuple[int, dict[str, Any]]:
        """Status and JSON of a GET; (0, {}) where nobody answers."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError):
            return 0, {}
        finally:
            connection.close()

    def version(self) -> dict[str, Any]:
        """Who answers, as it says; {} where nobody does."""
        return self.ask("/version")[1]

    def ready(self) -> Server:
        """Wait until it answers. Raises: StoreUnavailable."""
        if not until(lambda: self.process.poll() is not None or self.ask("/ready")[0] == 200, START_S) or self.process.poll() is not None:
            said = self._log.read_text(errors="replace").strip().splitlines()[-1:] or ["nothing"]
            raise StoreUnavailable("pillars serve", f"did not come up for the drill, and said: {said[0]}", "Nothing was changed.")
        return self

    def children(self) -> list[int]:
        """Processes of its workers, where there are several."""
        try:
            found = psutil.Process(self.process.pid).children()
            return [one.pid for one in found if one.status() != psutil.STATUS_ZOMBIE and "resource_tracker" not in " ".join(one.cmdline())]
        except psutil.Error:
            return []

    def everyone(self) -> list[int]:
        """The process and all its children."""
        return [self.process.pid, *self.children()]

    def kill(self) -> None:
        """kill -9, of its workers too."""
        for pid in reversed(self.everyone()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self.process.wait()

    def stop(self) -> None:
        """Let it end."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def refuse_writes(pids: list[int], on: bool) -> None:
    """Have the kernel refuse every byte that these processes write to a file (EFBIG), as a full disk does; or take it again."""
    for pid in pids:
        try:
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (0 if on else hard, hard))
        except ProcessLookupError:
            continue


def free_port() -> int:
    """One that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], Any], most_s: float, every_s: float = 0.05) -> Any:
    """The first true answer of `condition`; its last one after `most_s` seconds."""
    end = time.monotonic() + most_s
    while not (answer := condition()) and time.monotonic() < end:
        time.sleep(every_s)
    return answer


def _end_with_parent() -> None:
    """A drill that is killed leaves no server behind (Linux)."""
    ctypes.CDLL(None).prctl(DEATH, signal.SIGKILL)
