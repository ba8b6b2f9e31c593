"""The controller of a rollout as a process that looks again and again: what a deployment of the flow `rollout` does every minute, without
Prefect, in seconds. Drills and tests start it, and kill it."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

from pillars.config import Project
from pillars.deployment.evidence import Evidence
from pillars.errors import PillarsError
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Json, Release
from tasks import deployment, monitoring, rollouts
from tasks.opened import Opened, plain
from tasks.policy import without_prefect

Death = Literal["", "before the policy", "before the record"]
EVERY_S = 0.4
LOOK, FOLLOW, SWITCH = without_prefect(rollouts.look), without_prefect(monitoring.follow), without_prefect(deployment.switch)


@dataclass(frozen=True)
class World:
    """How things are outside the controller, asked before each look. `clock_s`: how far its clock is ahead. `registry`: where MLflow is to
    be told what moved; "" tells nobody. `tell`: also where nothing moved."""

    clock_s: float = 0.0
    registry: str = ""
    tell: bool = False


@dataclass(frozen=True)
class Report:
    """One look. `at`: on the monotonic clock, which all processes of a machine share."""

    at: float
    generation: int = 0
    moved: bool = False
    health: str = ""
    reason: str = ""
    error: str = ""


def look_again_and_again(
    stores: Stores, project: Project, read: Callable[[], Evidence], world: Callable[[], World], reports: Connection, death: Death = ""
) -> None:
    """Look until the process that asked for it is gone or this one is killed. `death`: where it kills itself, at its first transition."""
    parent, opened = os.getppid(), None
    os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] = "0"  # or it asks for minutes whether it is back
    die_at(death)
    log = read()
    while os.getppid() == parent:
        now = world()
        try:
            opened = opened or Opened(stores, project, Ledger(stores))
            report = _look(opened, log, now)
        except PillarsError as err:
            report = Report(time.monotonic(), error=f"{type(err).__name__}: {err}")
        try:
            reports.send(report)
        except OSError:  # nobody listens any more
            return
        time.sleep(EVERY_S)


def _look(opened: Opened, log: Evidence, world: World) -> Report:
    looked = LOOK(opened, log, datetime.now(UTC) + timedelta(seconds=world.clock_s))
    error = ""
    if world.registry and (looked.moved or world.tell):
        told = opened.stores.model_copy(update={"mlflow_uri": world.registry})
        try:
            FOLLOW(Opened(told, opened.config, opened.ledger))
        except PillarsError as err:
            error = f"{type(err).__name__}: {err}"
    verdict = looked.judgement
    return Report(
        time.monotonic(),
        looked.rollout.generation,
        looked.moved,
        verdict.health if verdict else "",
        verdict.reason if verdict else "",
        error,
    )


def deploy(stores: Stores, project: Project, release: Release, death: Death = "") -> None:
    """What the flow `deploy` does of traffic and record where the strategy is direct."""
    die_at(death)
    opened = Opened(stores, project, Ledger(stores))
    now = SWITCH(opened, release, f"v{release.version}")
    inputs: dict[str, Json] = {"version": release.version, "sha256": release.sha256, "generation": now.generation}
    opened.ledger.record(opened.name, "deploy", inputs, "accept", now.reason, plain(now), datetime.now(UTC), "controller")


def die_at(death: Death) -> None:
    """Kill this process (SIGKILL) when it comes to that point. There is no way back."""

    def audited(event: str, given: tuple[Any, ...]) -> None:
        if event == "os.rename" and Path(os.fsdecode(given[1])).name == "policy.json":
            _kill()

    if death == "before the policy":
        sys.addaudithook(audited)
    elif death == "before the record":
        Ledger.record = _kill  # type: ignore[method-assign,assignment]


def _kill(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
