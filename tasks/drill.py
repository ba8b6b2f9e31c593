"""Pillar 4 on a bad day: faults played against rollouts, one strategy after the other, in folders that are thrown away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.config_rollout import Strategy
from pillars.drill import altering, place, safety
from pillars.drill.altering import Unit
from pillars.drill.faults import HARM, expected
from pillars.drill.load import Answer
from pillars.drill.place import BAKE_S, SLOW_MS
from pillars.drill.serving import until
from pillars.errors import PillarsError
from pillars.stores import Stores, scratch
from pillars.vocabulary import Expected, Fault, Played, Release
from tasks import back, controller, rollouts
from tasks.faults import END_S, FAULTS, LATE_BAKE_S, PROBES, killed_deployment
from tasks.policy import step, without_prefect
from tasks.stage import PROCESSES, Stage, evidence, known, over, staged

WARM = 230  # answered requests before a trial: limits are taken from 200
BEGIN = without_prefect(rollouts.begin)


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
    BEGIN(stage.opened, release, True, evidence(*known(stage.place)))
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
        return killed_deployment(stage, release, played)
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


def _harmed(answers: Sequence[Answer], harmful: Release | None) -> int:
    """Requests that were refused or not answered, too slow, or answered by what harms."""
    bad = [a for a in answers if a.status != 200 or a.took_s * 1e3 > SLOW_MS or (harmful is not None and a.version == harmful.version)]
    return len(bad)
