"""Pillar 4 on a bad day: faults played against rollouts, one strategy after the other, in folders that are thrown away."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from pillars.bundle.bundle import Bundle
from pillars.bundle.golden import from_json
from pillars.config import Project
from pillars.config_rollout import Strategy
from pillars.deployment import traffic
from pillars.drill import altering, outcomes, place, planted, safety, serving
from pillars.drill.altering import Unit
from pillars.drill.faults import CONTROL, HARM, expected
from pillars.drill.load import Answer, Load
from pillars.drill.outcomes import Labelled, Source, Truth
from pillars.drill.place import BAKE_S, SLOW_MS, Place
from pillars.drill.serving import Server, refuse_writes, until
from pillars.errors import BundleRefused, PillarsError
from pillars.stores import Stores, scratch, write_atomically
from pillars.vocabulary import Event, Expected, Fault, Played, Release, Rollout
from tasks import back, controller, rollouts
from tasks.controller import Report, World
from tasks.opened import Opened
from tasks.policy import step, without_prefect

PER_S = 160.0  # requests
WARM = 230  # answered requests before a trial: limits are taken from 200
END_S = 150.0  # a play is over by then, whatever came of it
PROBES = 20
LATE_S, LATE_BAKE_S = 3.0, 15.0  # the time between policy and server counts to the bake
JUMP_S = 3600.0
BEGIN = without_prefect(rollouts.begin)
PROCESSES = multiprocessing.get_context("forkserver")  # its first process imports what all of them need
LOADED = ["tasks.drill", "scipy.special", "sqlalchemy.dialects.sqlite", "pyarrow.parquet", "xgboost"]  # 5 s of CPU in each process else
PROCESSES.set_forkserver_preload(LOADED)


@step("drill strategy")
def drill(of: Stores, project: Project, strategy: Strategy, faults: Sequence[Fault], told: Callable[[Played], None]) -> tuple[Played, ...]:
    """Play faults against one strategy, one after the other; each starts from a champion with nothing on trial. `told` hears of each.

    Raises:
        UnknownName: no release answers in the project yet.
        StoreUnavailable: the server does not come up.
        BundleRefused: the champion's release does not load.
    """
    champion, plays, left = place.champion(of, project), list[Played](), list(faults)
    PROCESSES.Process(target=int, daemon=True).start()  # the nursery imports while the server does
    while left:
        with scratch("drill") as root, staged(place.make(root / "project", of, project, champion, strategy)) as stage:
            while left and not stage.spoilt:
                plays.append(play(stage, strategy, left.pop(0)))
                told(plays[-1])
    return tuple(plays)


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
        given = (stores, project, partial(_evidence, *_known(self.place)), partial(_world, _file(stores)), there, death)
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


def play(stage: Stage, strategy: Strategy, fault: Fault) -> Played:
    """One fault against one strategy. What it leaves is put back, or the stage is spoilt."""
    unit = altering.unit(stage.place.bundle) if fault == "unit change" and stage.place.truth else None
    why_not = "no column's unit moves enough decisions of this model" if fault == "unit change" and stage.place.truth and not unit else ""
    wanted = expected(strategy, fault, stage.place.truth is not None, why_not)
    if wanted.outcome == "not judged":
        return Played(strategy, fault, wanted)
    first, stage.reports, usual = len(stage.load.answers), [], stage.place
    try:
        played = _played(stage, strategy, fault, wanted, unit)
        answers = stage.load.answers[first:]
        after = len(stage.load.answers)
        until(lambda: len(stage.load.answers) >= after + PROBES, 20)
        wrong = safety.unsafe(stage.place, stage.server, stage.opened.past.rollout(), answers, stage.load.answers[after:])
        played = replace(played, unsafe=wrong)
    except (PillarsError, OSError, EOFError, LookupError) as err:  # what was injected may come back at us
        stage.spoilt = True
        return Played(strategy, fault, wanted, unsafe=(f"the play ended early: {type(err).__name__}: {err}",))
    finally:
        stage.rest()
        stage.place = usual
        stage.having()
    if not _home(stage):
        played = replace(played, unsafe=(*played.unsafe, "pillars rollback did not bring the first champion back"))
    stage.spoilt = bool(played.unsafe)
    return played


def _played(stage: Stage, strategy: Strategy, fault: Fault, wanted: Expected, unit: Unit | None) -> Played:
    """Raises: TimeoutError."""
    played = Played(strategy, fault, wanted)
    if fault == "killed worker":
        stage.with_workers(2)
    elif fault == "late labels":
        steps = [{**one.model_dump(), "bake_min": LATE_BAKE_S / 60} for one in stage.place.project.rollout.steps]
        stage.having(steps=steps, bake_min=LATE_BAKE_S / 60)
    elif (fault, strategy) == ("latency", "shadow"):
        stage.having(then="keep")
    elif unit is not None:
        more = stage.place.project.rollout.judge.model_dump() | {"entities": unit.entities}
        stage.having(steps=[{"share": 0.5, "bake_min": BAKE_S / 60}], judge=more)
    _warm(stage, WARM if unit is None else max(WARM, unit.entities))
    release = _made(stage, fault, unit)
    if fault in ("wrong scores", "late labels"):
        entities = altering.to_tell(stage.place.bundle, Bundle.load(stage.place.stores.var / release.path))
        if entities > altering.MOST:
            return replace(played, expected=Expected("not judged", "this model's opposite is hardly worse than it"))
        judge = stage.place.project.rollout.judge
        stage.having(judge=judge.model_dump() | {"entities": max(judge.entities, entities)})
    if strategy == "direct":
        return _direct(stage, fault, release, played)
    BEGIN(stage.opened, release, True, _evidence(*_known(stage.place)))
    rollouts.settle(stage.opened)
    if not stage.served():
        raise TimeoutError("the server does not follow the policy")
    began = len(stage.load.answers)
    stage.inject()
    stage.control("before the record" if fault == "killed controller" else "")
    played = FAULTS[fault](stage, release, played)
    ended = until(lambda: (now := stage.now) is not None and now.trial is None, END_S)
    until(lambda: (now := stage.now) and any(one.generation >= now.generation for one in stage.reports), 5)  # its look ends with the record
    stage.rest()
    rollouts.settle(stage.opened)
    over(stage)
    harmed = _harmed(stage.load.answers[began:], release if fault in HARM else None)
    asked = len(stage.load.answers) - began
    return _judged(stage, release, replace(played, requests=asked, harmed=harmed, end="" if ended else "nowhere"))


def _direct(stage: Stage, fault: Fault, release: Release, played: Played) -> Played:
    """A fault around a deployment that takes the traffic at once."""
    began = len(stage.load.answers)
    stage.inject()
    if fault == "killed controller":
        return _killed_deployment(stage, release, played)
    controller.deploy(stage.place.stores, stage.place.project, release)
    if not stage.served():
        raise TimeoutError("the server does not follow the policy")
    stage.control()
    stage.inject()
    played = FAULTS[fault](stage, release, played)
    stage.rest()
    rollouts.settle(stage.opened)
    over(stage)
    asked = stage.load.answers[began:]
    return replace(played, requests=len(asked), harmed=_harmed(asked, None), end=played.end or "answers")


def _judged(stage: Stage, release: Release, played: Played) -> Played:
    """What became of the release, and who noticed, by the record."""
    now = stage.now
    if played.end or now is None:
        return played
    entry = stage.opened.past.latest("rollout")
    if now.champion == release:
        return replace(played, end="promoted")
    if entry is None or entry.inputs["generation"] != now.generation:
        return replace(played, end="restored")
    if entry.outcome == "accept":
        return replace(played, end="kept")
    moved = next((one for one in stage.reports if one.moved and one.generation == now.generation), None)
    noticed = moved.at - stage.at if moved else None
    if entry.outcome == "inconclusive" and "loads no more" not in entry.reason:
        return replace(played, end="taken back without a verdict")
    if played.detected:
        return replace(played, end="taken back")
    return replace(played, end="taken back", detected=f"judge: {entry.reason.partition('harms: ')[2]}", seconds=noticed)


def _killed_deployment(stage: Stage, release: Release, played: Played) -> Played:
    victim = PROCESSES.Process(
        target=controller.deploy, args=(stage.place.stores, stage.place.project, release, "before the record"), daemon=True
    )
    victim.start()
    victim.join(60)
    recorded, now = stage.opened.past.rollout(), stage.now
    half = victim.exitcode == -signal.SIGKILL and now is not None and recorded is not None and now.generation == recorded.generation + 1
    seen = f"exit code {victim.exitcode}, generation {now.generation if now else 0} is not on record" if half else ""
    rollouts.settle(stage.opened)
    stage.served()
    return replace(played, injected=seen, detected="the next command", seconds=time.monotonic() - stage.at, end="answers")


def _made(stage: Stage, fault: Fault, unit: Unit | None) -> Release:
    if fault in ("wrong scores", "late labels"):
        return stage.challenger(altering.wrong)
    if fault == "unit change" and unit is not None:
        return stage.challenger(altering.in_another_unit, unit.column, unit.factor)
    return stage.challenger()


def _warm(stage: Stage, entities: int) -> None:
    """Wait until limits can be taken from the champion's requests. Raises: TimeoutError."""
    if not stage.served():
        raise TimeoutError("the server does not follow the policy")
    since = len(stage.load.answers)
    if not until(lambda: sum(one.status == 200 for one in stage.load.answers[since:]) >= entities, END_S):
        raise TimeoutError(f"no {entities} requests were answered in {END_S:.0f} s")


def _home(stage: Stage) -> bool:
    """The first champion again, by the way a person has."""
    for _ in range(3):
        now = stage.now
        if now is not None and now.champion == stage.place.home and now.trial is None:
            if stage.server.workers != 1:
                stage.with_workers(1)
            return stage.served()
        with suppress(PillarsError):
            back.take_back(stage.place.stores, stage.place.name, f"home, from generation {now.generation if now else 0}", "drill")
    return False


def over(stage: Stage) -> None:
    """No fault any more."""
    stage.place.plant()
    tell_world(stage.place)
    refuse_writes(stage.server.everyone(), False)
    stage.served()


def _harmed(answers: Sequence[Answer], harmful: Release | None) -> int:
    """Requests that were refused or not answered, too slow, or answered by what harms."""
    bad = [a for a in answers if a.status != 200 or a.took_s * 1e3 > SLOW_MS or (harmful is not None and a.version == harmful.version)]
    return len(bad)


# Each injects a fault while its release is on trial (or answers), and says what was seen of it.


def _none(stage: Stage, release: Release, played: Played) -> Played:
    seen = until(lambda: [one for one in stage.load.answers if one.sent > stage.at and one.status == 200], 20)
    return replace(played, injected="no fault" if seen else "")


def _errors(stage: Stage, release: Release, played: Played) -> Played:
    stage.inject(version=release.version, error=0.7)
    return replace(played, injected=_in_log(stage, release, "errors", lambda row: bool(row.get("error"))))


def _latency(stage: Stage, release: Release, played: Played) -> Played:
    stage.inject(version=release.version, latency_ms=2 * SLOW_MS)
    return replace(played, injected=_in_log(stage, release, f"answers of {2 * SLOW_MS:.0f} ms", lambda row: row["took_us"] > SLOW_MS * 1e3))


def _wrong(stage: Stage, release: Release, played: Played) -> Played:
    """The bundle itself is the fault: it is held against the champion on what both were asked."""
    columns = from_json(stage.place.bundle.golden["columns"])
    before = altering.wrong_share(stage.place.bundle, columns, columns)
    other = Bundle.load(stage.place.stores.var / release.path).predict(columns).decision
    mine = stage.place.bundle.predict(columns).decision
    if mine is None or other is None:
        return played
    differ = float((mine != other).mean())
    return replace(played, injected=f"{differ:.0%} of its decisions are others, the champion is wrong in {before:.0%}" if differ else "")


def _late(stage: Stage, release: Release, played: Played) -> Played:
    tell_world(stage.place, after_s=LATE_S)
    stage.inject()
    now = stage.now
    asked = until(lambda: len(found := _events(stage, now.generation if now else 0)) >= PROBES and found, LATE_S) or []
    known, _ = outcomes.known(asked)
    played = _wrong(stage, release, played)
    seen = f"{known} of its first {len(asked)} requests had an outcome; {played.injected}"
    return replace(played, injected=seen if asked and not known and played.injected else "")


def _flipped(stage: Stage, release: Release, played: Played) -> Played:
    tell_world(stage.place, flipped=True)
    stage.inject()
    whole = Labelled(*_known(stage.place), Source, time.time)  # as outcomes were
    rows, wrong = outcomes.known(list(whole.events(0)))
    again, other = outcomes.known(_events(stage))
    moved = rows and again and wrong * again != other * rows
    return replace(played, injected=f"{wrong / rows:.0%} of the outcomes said wrong, now {other / again:.0%}" if moved else "")


def _registry(stage: Stage, release: Release, played: Played) -> Played:
    tell_world(stage.place, registry=_nobody(), tell=played.strategy == "direct")  # whoever deploys tells it, too
    stage.inject()
    error = until(stage.complained, END_S)
    if "MLflow" not in error:
        return played
    seconds = next(one.at - stage.at for one in stage.reports if one.error)
    return replace(played, injected=f"it could not be told ({error[:70]})", detected="controller: its alias lags", seconds=seconds)


def _half_written(stage: Stage, release: Release, played: Played) -> Played:
    whole = stage.place.policy.read_bytes()
    stage.place.policy.write_bytes(whole[: len(whole) // 2])
    stage.inject()
    seen = stage.noticed(lambda: "is no traffic policy" in stage.server.version().get("refused", ""))
    injected = f"{len(whole) // 2} of {len(whole)} bytes, refused by the server" if seen is not None else ""
    until(stage.complained, 20)
    stage.rest()
    _restore(stage)
    return replace(played, injected=injected, detected="server: /version refused it; controller: exit 6", seconds=seen)


def _restore(stage: Stage) -> None:
    """What the message says: remove the file, and deploy what is on record."""
    recorded = stage.opened.past.rollout()
    if recorded is not None:
        stage.place.policy.unlink()
        controller.deploy(stage.place.stores, stage.place.project, recorded.champion)


def _killed_controller(stage: Stage, release: Release, played: Played) -> Played:
    """It kills itself between the policy and the record of its first transition; another goes on."""
    process = stage.process
    process.join(END_S)
    recorded, now = stage.opened.past.rollout(), stage.now
    half = process.exitcode == -signal.SIGKILL and now and recorded and now.generation == recorded.generation + 1
    seen = f"exit code {process.exitcode}, generation {now.generation if now else 0} is not on record" if half else ""
    stage.inject()
    stage.reports.clear()
    stage.control()
    noticed = stage.noticed(lambda: (said := stage.opened.past.rollout()) and now and said.generation >= now.generation)
    return replace(played, injected=seen, detected="the next look put it on record", seconds=noticed)


def _killed_worker(stage: Stage, release: Release, played: Played) -> Played:
    before = stage.server.children()
    stage.inject()
    os.kill(before[0], signal.SIGKILL)
    seen = stage.noticed(lambda: len(now := stage.server.children()) == len(before) and before[0] not in now, 120)
    killed = before[0] not in stage.server.children()
    return replace(
        played, injected=f"one of {len(before)} workers is gone" if killed else "", detected="server: started another", seconds=seen
    )


def _full_disk(stage: Stage, release: Release, played: Played) -> Played:
    pids = [*stage.server.everyone(), *([stage.process.pid] if stage.process else [])]
    refuse_writes(pids, True)
    stage.inject()
    seen = stage.noticed(lambda: any(one.sent > stage.at and one.code == "LOG" for one in stage.load.answers[-500:]))
    refused = sum(one.sent > stage.at and one.code == "LOG" for one in stage.load.answers[-500:])
    until(lambda: len([one for one in stage.load.answers[-500:] if one.sent > stage.at and one.code == "LOG"]) > 50, 5)
    refuse_writes(pids, False)
    return replace(
        played, injected="writes refused by the kernel (EFBIG)" if refused else "", detected="server: 503, error_code LOG", seconds=seen
    )


def _clock(stage: Stage, release: Release, played: Played) -> Played:
    stage.inject(clock_s=JUMP_S)
    tell_world(stage.place, clock_s=JUMP_S)
    seen = _in_log(stage, release, "lines an hour ahead", lambda row: row["at_us"] / 1e6 > time.time() + JUMP_S / 2, any_arm=True)
    return replace(played, injected=seen)


def _corrupt(stage: Stage, release: Release, played: Played) -> Played:
    """Rotten bytes while it is in memory, then a start of the server that has to read them, then a look."""
    stage.rest()  # or it takes the release back before the server is up
    booster = stage.place.stores.var / release.path / "booster-0.ubj"
    whole = booster.read_bytes()
    booster.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    try:
        Bundle.load(booster.parent)
        injected = ""
    except BundleRefused as err:
        injected = err.problem
    stage.inject()
    stage.again()
    seen = stage.noticed(lambda: "was changed" in stage.server.version().get("refused", ""))
    fallback = stage.server.version().get("fallback") or ""
    played = replace(played, injected=injected, detected=f"server: {fallback} answers", seconds=seen)
    if played.strategy == "direct":
        booster.write_bytes(whole)  # as pillars deploy does from the registry
        until(lambda: stage.server.version().get("refused") == "", 30)
        return replace(played, end="mended, and answers again without a restart")
    stage.control()
    return played


FAULTS: dict[Fault, Callable[[Stage, Release, Played], Played]] = {
    CONTROL: _none,
    "errors": _errors,
    "latency": _latency,
    "corrupt bundle": _corrupt,
    "wrong scores": _wrong,
    "flipped labels": _flipped,
    "unit change": _wrong,
    "registry down": _registry,
    "half-written policy": _half_written,
    "killed controller": _killed_controller,
    "killed worker": _killed_worker,
    "full disk": _full_disk,
    "clock jump": _clock,
    "late labels": _late,
}


def _in_log(stage: Stage, release: Release, what: str, is_it: Callable[[dict[str, Any]], bool], any_arm: bool = False) -> str:
    """How many such lines the server has written of a release; "" where none came."""

    def found() -> int:
        return sum((any_arm or row["version"] == release.version) and is_it(row) for row in safety.logged(stage.place))

    until(found, 20, 0.5)
    count = found()
    return f"{count} {what}{'' if any_arm else f' of v{release.version}'} in the log" if count else ""


def _events(stage: Stage, generation: int = 0) -> list[Event]:
    return list(_evidence(*_known(stage.place)).events(generation))


def _known(at: Place) -> tuple[Stores, str, Truth | None]:
    return at.stores, at.name, at.truth


def _evidence(stores: Stores, name: str, truth: Truth | None) -> Labelled:
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


def _nobody() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{serving.free_port()}"


def _listen(pipe: Connection, reports: list[Report]) -> None:
    with suppress(EOFError, OSError):
        while True:
            reports.append(pipe.recv())
