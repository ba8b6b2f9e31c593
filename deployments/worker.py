"""`python -m deployments.worker [--own-server] [URL ...]`: wait for the URLs, apply the deployments, then become Prefect's worker."""

from __future__ import annotations

import os
import sys
import time

from deployments.apply import apply
from deployments.left import crash_left_runs
from deployments.settings import POOL, READY, Serving
from flows.environment import answers
from pillars.errors import StoreUnavailable
from pillars.stores import Stores

PATIENCE_S = 180.0
OWN_SERVER = "--own-server"  # nobody else works for it


def main(*arguments: str) -> None:
    """Never returns: this process becomes the worker, so that signals reach it.

    Raises:
        StoreUnavailable: a server does not answer within `PATIENCE_S`, or refuses the deployments.
    """
    stores = Stores()
    for url in arguments:
        if url != OWN_SERVER:
            wait_for(url)
    apply(stores, Serving())
    ready = stores.folder() / READY
    if OWN_SERVER in arguments and not ready.exists():  # not when only the worker was started again: its runs go on without it
        crash_left_runs()
    ready.touch()  # `pillars up` waits for it
    command = [sys.executable, "-m", "prefect", "worker", "start", "--pool", POOL, "--type", "process", "--name", "pillars-up"]
    os.execv(sys.executable, command)


def wait_for(url: str) -> None:
    """Return once a GET of `url` answers 2xx. Raises: StoreUnavailable."""
    end = time.monotonic() + PATIENCE_S
    while not answers(url):
        if time.monotonic() > end:
            raise StoreUnavailable(url, f"no answer for {PATIENCE_S:.0f} s", "See the logs of the servers in var/logs.")
        time.sleep(0.5)


if __name__ == "__main__":
    main(*sys.argv[1:])
