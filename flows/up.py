"""The whole stack on this machine in one command: Prefect server, MLflow, Evidently, a worker with all deployments."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flows.environment import answers, is_up, places, read_up
from pillars.stores import Stores, locked

if TYPE_CHECKING:
    from deployments.services import Service

Say = Callable[[str], None]
START_S = 300.0  # a first start makes two databases; on a busy machine with two cores that took 40 s
STOP_S = 45.0
LOG_BYTES = 10_000_000  # a longer log is put aside at the next start, and the one before it dropped


def up(stores: Stores, detach: bool = False, say: Say = print) -> int:
    """Start everything and stay until ^C or `pillars down`; with `detach` return once it answers. Before anything imports Prefect.

    Returns 0 when stopped, answering or already up; 1 when a service would not run: its log is under `var/logs`.

    Raises:
        Busy: another `up` is starting or stopping and does not finish.
    """
    already = read_up(stores)
    if is_up(already) and already["pid"] != os.getpid():
        _say_addresses(already, "already up", say)
        return 0
    if detach:
        return _detached(stores, say)
    from deployments.services import services
    from deployments.settings import Serving

    sweep(stores)
    with locked(stores.folder() / "up.lock", "pillars up", STOP_S):
        _forget(stores)
        _write(stores, {})
        try:
            return _supervise(stores, services(stores, Serving(), read_up(stores)), say)
        finally:
            sweep(stores, mine=True)
            _forget(stores)


def down(stores: Stores, say: Say = print) -> int:
    """Stop what `up` started, here or in another terminal, and what a killed one left behind. Returns 0."""
    import psutil

    from deployments.supervisor import end

    found = read_up(stores)
    if is_up(found):
        end([psutil.Process(int(found["pid"]))], STOP_S)
    left = sweep(stores)
    _forget(stores)
    say("stopped" if found or left else "nothing was running")
    return 0


def sweep(stores: Stores, mine: bool = False) -> int:
    """End the processes of this project's stack whose supervisor is dead, or is this process (`mine`); returns how many there were."""
    import psutil

    from deployments.services import MARK, supervisor_of
    from deployments.supervisor import end

    left = []
    for process in psutil.process_iter():
        environ = _environ(process)
        if environ.get(MARK) == str(stores.var) and process.pid != os.getpid():
            by = supervisor_of(environ)
            if not is_up(by) or (mine and by["pid"] == str(os.getpid())):
                left.append(process)
    end(left, patience_s=10.0)
    return len(left)


def _detached(stores: Stores, say: Say) -> int:
    """The same in a process of its own, which outlives this one and its terminal."""
    with (stores.folder("logs") / "up.log").open("ab") as log:
        command, environ = [sys.executable, "-m", "flows.up"], os.environ | places(stores)
        child = subprocess.Popen(
            command, cwd=stores.root, env=environ, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    _write(stores, {}, child.pid)  # so that `down` finds it before it can say so itself
    _until(lambda: child.poll() is not None or "addresses" in _of(stores, child.pid), START_S)
    if "addresses" not in (found := _of(stores, child.pid)):
        say(f"not up: see {stores.var / 'logs'}")
        return 1
    _say_addresses(found, "up", say)
    return 0


def _of(stores: Stores, pid: int) -> dict[str, Any]:
    """What this supervisor wrote; a killed one before it may have left its own."""
    found = read_up(stores)
    return found if found.get("pid") == pid else {}


def _supervise(stores: Stores, wanted: list[Service], say: Say) -> int:
    from deployments.supervisor import Quiet, Supervisor

    logs = stores.folder("logs")
    for log_file in logs.glob("*.log"):
        if log_file.stat().st_size > LOG_BYTES:
            os.replace(log_file, log_file.with_suffix(".log.1"))
    with (logs / "up.log").open("a", encoding="utf-8") as log:
        supervisor = Supervisor(Quiet(log), first="worker", started=lambda: _announce(stores, wanted, say))
        for service in wanted:
            supervisor.add_process(service.name, service.line(str(logs / f"{service.name}.log")), env=service.environ, cwd=str(stores.root))
        say(f"starting {', '.join(s.name for s in wanted)}; logs in {logs}")
        supervisor.loop()
    if supervisor.asked:
        say("stopped")
        return 0
    say(f"stopped, because a service would not run: see {logs}")
    return 1


def _announce(stores: Stores, wanted: list[Service], say: Say) -> None:
    """Wait until every service answers and the worker is at work, then write and print the addresses."""
    from deployments.settings import READY

    servers, ready = [s for s in wanted if s.health], stores.var / READY
    api = next(s for s in wanted if s.name == "worker").environ.get("PREFECT_API_URL", "")
    if not _until(lambda: ready.exists() and all(answers(s.health) for s in servers), START_S):
        say(f"still not answering after {START_S:.0f} s: see {stores.folder('logs')}")
        return
    _write(stores, {"prefect_api": api, "addresses": {s.name: s.url for s in servers}, "shows": {s.name: s.shows for s in servers}})
    _say_addresses(read_up(stores), "up", say)


def _until(condition: Callable[[], bool], deadline_s: float) -> bool:
    end = time.monotonic() + deadline_s
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.5)
    return False


def _write(stores: Stores, addresses: dict[str, Any], pid: int | None = None) -> None:
    """`var/up.json`, readable by its owner only: who supervises (this process), and where the servers are once they answer."""
    import psutil

    process = psutil.Process(pid)
    content = {"pid": process.pid, "started": process.create_time(), **addresses}
    path = stores.folder() / "up.json"
    draft = path.with_name(f".up-{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(content, indent=1), encoding="utf-8")
    os.replace(draft, path)


def _forget(stores: Stores) -> None:
    from deployments.settings import READY

    for name in ("up.json", READY):
        (stores.var / name).unlink(missing_ok=True)


def _say_addresses(found: dict[str, Any], state: str, say: Say) -> None:
    width = max(map(len, found.get("addresses", {})), default=0)
    lines = [f"  {name.ljust(width)}  {url}  {found['shows'][name]}" for name, url in found.get("addresses", {}).items() if url]
    say("\n".join([f"{state} (pid {found['pid']}); stop it with ^C or pillars down", *lines]))


def _environ(process: Any) -> dict[str, str]:
    import psutil

    try:
        return dict(process.environ())
    except (psutil.Error, OSError):  # ended meanwhile, or another user's
        return {}


if __name__ == "__main__":
    sys.exit(up(Stores()))
