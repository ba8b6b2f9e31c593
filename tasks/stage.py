"""Where faults are played: a place with a server, clients, and a controller that comes and goes; and how things are outside of them."""

from __future__ import annotations

import json
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pillars.deployment import traffic
from pillars.drill import altering, planted, serving
from pillars.drill.load import Load
from pillars.drill.outcomes import Labelled, Source, Truth
from pillars.drill.place import Place
from pillars.drill.serving import Server, refuse_writes, until
from pillars.errors import PillarsError
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import Event, Release, Rollout
from tasks import controller
from tasks.controller import Report, World
from tasks.opened import Opened

PER_S = 160.0  # requests
PROCESSES = multiprocessing.get_context("forkserver")  # its first process imports what all of them need
LOADED = ["tasks.stage", "scipy.special", "sqlalchemy.dialects.sqlite", "pyarrow.parquet", "xgboost"]  # 5 s of CPU in each process else
PROCESSES.set_forkserver_preload(LOADED)


@dataclass
class Stage:
    """A place with a server, clients, and a controller that comes and goes. `made`: challengers so far. `spoilt`: not to be used again."""

    place: Place
    server: Server
    load: Load
    opened: Opened
    made: int = 0
    spoilt: bool = False
    reports: list[Report] = field(default_factory=list)
    process: Any = None
    at: float = 0.0  # when the fault was injected, monotonic

    @property
    def now(self) -> Rollout | None:
        """The policy; None where it cannot be read."""
        try:
            return traffic.read(self.place.stores, self.place.name)
        except PillarsError:
            return None

    def having(self, **rollout: Any) -> None:
        """Other keys of the section `rollout` from here on."""
        self.place = self.place.having(**rollout)
        self.opened = Opened(self.place.stores, self.place.project, self.place.ledger())

    def challenger(self, make: Callable[..., str] = altering.again, *given: Any) -> Release:
        """A new one."""
        self.made += 1
        return self.place.challenger(make, self.made, *given)

    def inject(self, **faults: float) -> None:
        """Have a fault from now on; without a name, one outside the server."""
        self.at = time.monotonic()
        if faults:
            self.place.plant(**faults)

    def served(self, most_s: float = 30.0) -> bool:
        """Wait until the server, all of its workers, answers by the policy that is in force."""

        def follows() -> bool:
            asked = [self.server.version().get("generation") for _ in range(1 if self.server.workers == 1 else 8)]
            return (now := self.now) is not None and set(asked) == {now.generation}

        return bool(until(follows, most_s))

    def control(self, death: controller.Death = "") -> None:
        """Start a controller."""
        here, there = PROCESSES.Pipe(duplex=False)
        stores, project = self.place.stores, self.place.project
        given = (stores, project, partial(evidence, *known(self.place)), partial(_world, _file(stores)), there, death)
        self.process = PROCESSES.Process(target=controller.look_again_and_again, args=given, daemon=True)
        self.process.start()
        there.close()
        threading.Thread(target=_listen, args=(here, self.reports), daemon=True).start()

    def rest(self) -> None:
        """End the controller."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None

    def noticed(self, by: Callable[[], Any], most_s: float = 20.0) -> float | None:
        """Seconds from the injection until `by` is true."""
        return time.monotonic() - self.at if until(by, most_s) else None

    def complained(self) -> str:
        """What the controller could not do since the injection; "" where it could all."""
        return next((one.error for one in self.reports if one.at >= self.at and one.error), "")

    def again(self, workers: int = 1) -> None:
        """The server killed and started anew, at the same port."""
        self.server.kill()
        self._start(workers)

    def with_workers(self, workers: int) -> None:
        """The server stopped and started with so many workers."""
        self.server.stop()
        self._start(workers)

    def _start(self, workers: int) -> None:
        self.server = _server(self.place, workers, self.server.port).ready()


@contextmanager
def staged(at: Place, per_s: float = PER_S) -> Iterator[Stage]:
    """A server that answers at a place, and clients that ask it so often a second."""
    server = _server(at).ready()
    stage = Stage(at, server, Load(server.port, at.rows, per_s), Opened(at.stores, at.project, at.ledger()))
    tell_world(at)
    try:
        with stage.load:
            yield stage
    finally:
        stage.rest()
        stage.server.stop()


def _server(at: Place, workers: int = 1, port: int = 0) -> Server:
    root = at.stores.root
    path = os.pathsep.join(filter(None, (str(root / "inside"), os.environ.get("PYTHONPATH"))))
    return Server(at.name, root, serving.environ(root, at.stores.var, {planted.FILE: str(at.faults), "PYTHONPATH": path}), workers, port)


def over(stage: Stage) -> None:
    """No fault any more."""
    stage.place.plant()
    tell_world(stage.place)
    refuse_writes(stage.server.everyone(), False)
    stage.served()


def events(stage: Stage, generation: int = 0) -> list[Event]:
    """What a controller knows of the requests of a generation and later ones."""
    return list(evidence(*known(stage.place)).events(generation))


def known(at: Place) -> tuple[Stores, str, Truth | None]:
    """What `evidence` needs of a place."""
    return at.stores, at.name, at.truth


def evidence(stores: Stores, name: str, truth: Truth | None) -> Labelled:
    """The server's log with outcomes, as they come by `tell_world`."""
    file = _file(stores)
    return Labelled(stores, name, truth, partial(_source, file), partial(_time, file))


def _file(stores: Stores) -> Path:
    return stores.root / "world.json"


def tell_world(at: Place, **said: Any) -> None:
    """How things are outside: `clock_s`, `registry` and `tell` of the controller, `after_s` and `flipped` of outcomes."""
    write_atomically(_file(at.stores), json.dumps(said).encode())


def _said(file: Path) -> dict[str, Any]:
    return dict(json.loads(file.read_bytes()))


def _source(file: Path) -> Source:
    said = _said(file)
    return Source(said.get("after_s", 0.0), said.get("flipped", False))


def _time(file: Path) -> float:
    return time.time() + float(_said(file).get("clock_s", 0.0))


def _world(file: Path) -> World:
    said = _said(file)
    return World(said.get("clock_s", 0.0), said.get("registry", ""), said.get("tell", False))


def _listen(pipe: Connection, reports: list[Report]) -> None:
    with suppress(EOFError, OSError):
        while True:
            reports.append(pipe.recv())
