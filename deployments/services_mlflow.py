"""`python -m deployments.services_mlflow OPTION ...`: have MLflow's database made whole, then become MLflow's server."""

from __future__ import annotations

import os
import sys

from pillars.stores import Stores
from pillars.tracking import opening_mlflow


def main(*options: str) -> None:
    """Never returns: this process becomes the server, so that signals reach it. Killed while it makes a database, the server would
    never open it again.

    Raises:
        Busy, StoreUnavailable: see `pillars.stores.locked`.
    """
    environ = dict(os.environ)  # a server is to log what we are not to hear
    with opening_mlflow(Stores()):
        pass
    os.execve(sys.executable, [sys.executable, "-m", "mlflow", "server", *options], environ)


if __name__ == "__main__":
    main(*sys.argv[1:])
