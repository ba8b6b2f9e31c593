"""Faults, one function each: injects it while its release is on trial (or answers), and says what was seen of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from pillars.bundle.bundle import Bundle
from pillars.bundle.golden import from_json
from pillars.drill import altering, outcomes, safety, serving
from pillars.drill.faults import CONTROL
from pillars.drill.outcomes import Labelled, Source
from pillars.drill.place import SLOW_MS
from pillars.drill.serving import refuse_writes, until
from pillars.errors import BundleRefused
from pillars.vocabulary import Fault, Played, Release
from tasks import controller, rollouts
from tasks.stage import PROCESSES, Stage, events, known, tell_world

END_S = 150.0  # a play is over by then, whatever came of it
PROBES = 20
LATE_S, LATE_BAKE_S = 3.0, 15.0  # the time between policy and server counts to the bake
JUMP_S = 3600.0


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
    asked = until(lambda: len(found := events(stage, now.generation if now else 0)) >= PROBES and found, LATE_S) or []
    have, _ = outcomes.known(asked)
    played = _wrong(stage, release, played)
    seen = f"{have} of its first {len(asked)} requests had an outcome; {played.injected}"
    return replace(played, injected=seen if asked and not have and played.injected else "")


def _flipped(stage: Stage, release: Release, played: Played) -> Played:
    tell_world(stage.place, flipped=True)
    stage.inject()
    whole = Labelled(*known(stage.place), Source, time.time)  # as outcomes were
    rows, wrong = outcomes.known(list(whole.events(0)))
    again, other = outcomes.known(events(stage))
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


def killed_deployment(stage: Stage, release: Release, played: Played) -> Played:
    """A deployment that kills itself between the policy and the record; the next command puts it there."""
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


def _in_log(stage: Stage, release: Release, what: str, is_it: Callable[[dict[str, Any]], bool], any_arm: bool = False) -> str:
    """How many such lines the server has written of a release; "" where none came."""

    def found() -> int:
        return sum((any_arm or row["version"] == release.version) and is_it(row) for row in safety.logged(stage.place))

    until(found, 20, 0.5)
    count = found()
    return f"{count} {what}{'' if any_arm else f' of v{release.version}'} in the log" if count else ""


def _nobody() -> str:
    """An address at which nobody listens."""
    return f"http://127.0.0.1:{serving.free_port()}"


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
