"""kill -9 at every transition of a rollout, of its controller, of the server, of a worker, while clients ask: nothing that was answered is
lost, one champion answers, and the rollout ends as its policy says."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import pytest

from pillars.drill import altering, place, safety
from pillars.drill.serving import until
from pillars.vocabulary import Release
from tasks import rollouts
from tasks import stage as stages
from tasks.drill import BEGIN
from tasks.stage import PROCESSES, Stage
from tests import drilled
from tests.tasks.dying import look_and_die

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_200)]
SHARES = (0.3, 0.5, 0.7)
QUICK = {
    "steps": [{"share": share, "bake_min": 0} for share in SHARES],
    "judge": {"metrics": ["error", "score"], "entities": 5},
    "timeout_min": 30,
}
END_S = 240.0
PROCESSES.set_forkserver_preload([*stages.LOADED, "tests.tasks.dying", "pytest", "httpx", "requests"])


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    """A champion under load, and three shares to go."""
    of = drilled.deployed(tmp_path / "project")
    at = place.make(tmp_path / "played", of, drilled.project(), place.champion(of, drilled.project()), "canary")
    with stages.staged(at, per_s=20.0) as made:
        made.having(**QUICK)
        yield made


def begun(stage: Stage) -> Release:
    release = stage.challenger(altering.again)
    BEGIN(stage.opened, release, True, stages.evidence(*stages.known(stage.place)))
    rollouts.settle(stage.opened)
    return release


def held(stage: Stage, release: Release) -> None:
    """Hold the end to what the policy says: promoted, each step once on record, and a safe state."""
    rollouts.settle(stage.opened)
    assert stage.served()
    answers = list(stage.load.answers)
    assert until(lambda: len(stage.load.answers) > len(answers) + 30, 30)
    probes = stage.load.answers[len(answers) :]
    assert safety.unsafe(stage.place, stage.server, stage.opened.past.rollout(), answers, probes) == ()
    now = stage.now
    assert now is not None
    assert (now.champion, now.trial) == (release, None)
    assert now.generation == 2 + len(SHARES), "one generation a share, and the end"
    entries = [e for e in stage.opened.ledger.entries("small") if e.decision == "rollout"]
    assert [(e.outcome, e.inputs["generation"]) for e in entries] == [("accept", n) for n in range(2, 3 + len(SHARES))]
    assert sum(one.status == 200 for one in answers) > 50


def test_a_controller_that_dies_at_every_write_point_of_every_transition(stage: Stage) -> None:
    release, kills, names, at = begun(stage), 0, set[str](), 1
    evidence = partial(stages.evidence, *stages.known(stage.place))

    def over() -> bool:
        return (now := stage.now) is not None and now.trial is None

    for _ in range(400):
        if over():
            break
        here, there = PROCESSES.Pipe(duplex=False)
        victim = PROCESSES.Process(target=look_and_die, args=(stage.place.stores, stage.place.project, evidence, at, there), daemon=True)
        victim.start()
        there.close()
        points = list(_told(here))
        victim.join(60)
        names |= {*points}
        if victim.exitcode == -signal.SIGKILL:
            kills, at = kills + 1, at + 1
        else:
            assert victim.exitcode == 0
            at = 1 if points else at  # all of its points were survived: from the first one again. No point: it was too early
    assert over(), f"not over after {kills} kills"
    assert kills > len(SHARES)
    assert any("policy.json" in name for name in names), names
    assert any("ledger" in name for name in names), names
    held(stage, release)


def _told(pipe: Connection) -> Iterator[str]:
    while True:
        try:
            yield pipe.recv()
        except (EOFError, OSError):
            return


def test_a_server_that_dies_at_every_transition(stage: Stage) -> None:
    release, seen = begun(stage), 0
    stage.control()
    while (now := stage.now) is not None and now.generation < 2 + len(SHARES):
        if now.generation > seen:
            seen = now.generation
            stage.again()  # as soon as the policy is another one, whether it was taken over or not
        assert until(lambda seen=seen: (one := stage.now) is not None and one.generation > seen, END_S), stage.reports[-1:]  # type: ignore[misc]
    stage.again()
    stage.rest()
    held(stage, release)


def test_a_worker_that_dies_at_every_transition(stage: Stage) -> None:
    stage.with_workers(2)
    release, seen, killed = begun(stage), 0, 0
    stage.control()
    while (now := stage.now) is not None and now.generation < 2 + len(SHARES):
        if now.generation > seen:
            seen = now.generation
            assert until(stage.server.children, 60)
            os.kill(stage.server.children()[0], signal.SIGKILL)
            killed += 1
        assert until(lambda seen=seen: (one := stage.now) is not None and one.generation > seen, END_S), stage.reports[-1:]  # type: ignore[misc]
    assert killed == 1 + len(SHARES) - 1
    assert until(lambda: len(stage.server.children()) == 2, 60)
    stage.rest()
    held(stage, release)


def test_all_of_them_at_once(stage: Stage) -> None:
    """The controller dies between policy and record each time, the server with it."""
    release = begun(stage)
    for _ in range(3 * len(SHARES)):
        if (now := stage.now) is not None and now.trial is None:
            break
        stage.control("before the record")
        stage.process.join(END_S)
        stage.again()
    stage.control()
    assert until(lambda: (now := stage.now) is not None and now.trial is None, END_S)
    stage.rest()
    held(stage, release)
    assert json.loads(stage.place.policy.read_bytes())["champion"]["version"] == release.version
