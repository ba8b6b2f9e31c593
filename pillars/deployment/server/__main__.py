"""`python -m pillars.deployment.server SETTINGS [--json]`: serve in the foreground until SIGTERM or ^C. Written for `pillars serve`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import sys
import threading
import time
from pathlib import Path

from pillars.deployment.server import lean
from pillars.deployment.server.settings import SETTINGS, Settings, read
from pillars.errors import SettingInvalid

START_S = 120.0


def main(*arguments: str) -> int:
    """Serve; the exit code."""
    lean.keep_out()
    import uvicorn

    from pillars.deployment.server import guard

    try:
        settings, as_json = read(Path(arguments[0])), "--json" in arguments
    except SettingInvalid as err:
        print(f"pillars: {err}", file=sys.stderr)
        return err.exit_code
    os.environ[SETTINGS] = arguments[0]
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # workers are processes
    os.environ[guard.HEADER_S] = str(settings.limits.header_s)
    os.environ[guard.HEADER_BYTES] = str(settings.limits.header_bytes)
    signal.signal(signal.SIGTERM, lambda *_: None)  # uvicorn has its own while it runs, and then raises the signal again
    threading.Thread(target=_say_when_ready, args=(settings, as_json), daemon=True).start()
    with _shared_metrics(settings):
        uvicorn.run(
            "pillars.deployment.server.workers:create",
            factory=True,
            host=settings.host,
            port=settings.port,
            workers=settings.workers,
            http=guard.Guarded,
            ws="none",
            lifespan="on",
            log_level="warning",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=20,
            timeout_worker_healthcheck=60,  # importing and loading take longer than its 5 s on a busy machine
        )
    return 0


@contextlib.contextmanager
def _shared_metrics(settings: Settings):  # type: ignore[no-untyped-def]
    """Where several workers count together; a folder that ends with them."""
    if settings.workers == 1:
        yield
        return
    for left in settings.requests.parent.glob("metrics-*"):  # of servers that were killed
        if not Path(f"/proc/{left.name.partition('-')[2]}").exists():
            shutil.rmtree(left, ignore_errors=True)
    folder = settings.requests.parent / f"metrics-{os.getpid()}"  # not among temporary files, which somebody may tidy up
    folder.mkdir(parents=True, exist_ok=True)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _say_when_ready(settings: Settings, as_json: bool) -> None:
    """One line for people or programs, once a prediction would be answered."""
    host = "127.0.0.1" if settings.host in ("0.0.0.0", "::") else settings.host
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(host, settings.port, timeout=2)
        try:
            connection.request("GET", "/ready")
            if connection.getresponse().status == 200:
                break
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)
    else:
        print(
            f"pillars serve: {settings.project} is up and nobody answers yet: pillars deploy {settings.project}",
            file=sys.stderr,
            flush=True,
        )
        return
    told = {"project": settings.project, "url": f"http://{host}:{settings.port}", "pid": os.getpid(), "workers": settings.workers}
    print(json.dumps(told) if as_json else f"{settings.project} answers on {told['url']} (pid {told['pid']}); stop it with ^C", flush=True)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
