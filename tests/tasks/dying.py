"""A look that kills itself at one of its write points; in a module of its own, which a fork of the nursery has imported already."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from itertools import count
from multiprocessing.connection import Connection

from pillars.config import Project
from pillars.deployment.evidence import Evidence
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tasks.controller import LOOK
from tasks.opened import Opened
from tests.proofs.points import Point, Watch


def look_and_die(stores: Stores, project: Project, evidence: Callable[[], Evidence], at: int, told: Connection) -> None:
    """Each point is told; at the `at`-th the process is gone. One that survives had fewer."""
    reached = count(1)

    def seen(point: Point) -> None:
        told.send(point.name)
        if next(reached) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    opened = Opened(stores, project, Ledger(stores))
    Watch(stores.root, seen).install()
    LOOK(opened, evidence())
