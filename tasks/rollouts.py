"""Pillar 4: a release on trial, from one share to the next; and versions that people hold in place."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pyarrow as pa

from pillars.answers.trials import bounds, evidence_of, judged, report
from pillars.deployment import evidence, played, rollback, rollout, scoring, traffic
from pillars.deployment import release as releases
from pillars.deployment.evidence import Evidence
from pillars.errors import BundleRefused, NobodyAnswers, Overtaken
from pillars.periods import span
from pillars.stores import write_atomically
from pillars.vocabulary import DataVersion, Decision, Json, Looked, Pin, Release, Rollout, Scored, TrialReport
from tasks.opened import Opened, actor, plain
from tasks.policy import step


def moment(opened: Opened) -> datetime:
    """How far the rows have come, by their own clock, without an offset: the end of the newest period. By the wall clock where rows have
    no time, or their periods none."""
    come = opened.past.periods("ingest", "accept") if opened.config.of("time") else []
    ends = span(come[-1]) if come else None
    return ends[1] if ends else datetime.now(UTC)


def allowed(opened: Opened, release: Release, by_hand: bool, at: datetime | None = None) -> Decision:
    """Whether a release may be tried, or take the traffic. Before the first deployment it may; a policy that was edited is asked about what
    is on record."""
    now = opened.past.rollout() if in_question(opened) else traffic.read(opened.stores, opened.name)
    return Decision.accept("") if now is None else rollout.allowed(now, release, at or _clock(opened, now), by_hand)


def _clock(opened: Opened, now: Rollout) -> datetime:
    """The time by the clock that automation rests by."""
    if now.rest is None or datetime.fromisoformat(now.rest.until).tzinfo is not None:
        return datetime.now(UTC)
    return moment(opened)


def in_question(opened: Opened) -> bool:
    """Whether the traffic is not what is on record, nor can have come of it: somebody edited it, or took it away."""
    recorded = opened.past.rollout()
    return not traffic.believed(traffic.read(opened.stores, opened.name), recorded, opened.past.versions())


@step("begin trial")
def begin(opened: Opened, release: Release, by_hand: bool = False, read: Evidence | None = None, at: datetime | None = None) -> Rollout:
    """A release on trial at its first share; a repeat changes nothing, and a race is lost to whoever was first. It begins where the rows
    have come to: batches are judged by their rows' own times, requests from the first one on (`pillars.answers.trials.judged`).

    Raises:
        NobodyAnswers: as it says.
        Overtaken: somebody else changed the policy first.
    """
    now = opened.answering()
    if now is None:
        raise NobodyAnswers(opened.name)
    policy = opened.config.rollout  # batches say nothing of latency, and ceilings are for who has the whole traffic
    log = read or evidence_of(opened.stores, opened.config, opened.ledger, batches=policy.alone)
    limits = evidence.baseline(policy.judge, log.events(now.generation), bounds(opened.config))

    def onto(current: Rollout | None) -> Rollout:
        if current is None or current.generation != now.generation:
            return current or now
        if not rollout.allowed(current, release, at or _clock(opened, current), by_hand):
            return current
        return rollout.begun(policy, current, release, at or moment(opened), *limits)

    begun = traffic.change(opened.stores, opened.name, None, onto)
    if begun.generation != now.generation and release not in (begun.champion, begun.trial and begun.trial.challenger):
        raise Overtaken(f"the traffic policy of {opened.name}", now.generation, begun.generation)
    return begun


@step("look at trial")
def look(opened: Opened, read: Evidence | None = None, at: datetime | None = None) -> Looked:
    """Judge what is on trial, and make the one transition that follows. A look that was overtaken changes nothing: one of two wins.

    What somebody changed and died before it was on record is put there first. A release on trial whose files do not load any more is taken
    back, however well it does.

    Raises:
        NobodyAnswers: as it says.
    """
    settle(opened)
    now, at = opened.answering(), at or datetime.now(UTC)
    if now is None:
        raise NobodyAnswers(opened.name)
    if now.trial is None:
        return Looked(opened.name, False, now)
    log = read or evidence_of(opened.stores, opened.config, opened.ledger)
    verdict, watched = judged(opened.config, now.trial, log, at)
    broken = _broken(opened, now.trial.challenger)

    def to(current: Rollout) -> Rollout:
        if broken:
            return rollout.taken_back(opened.config.rollout, current, broken, at, harmed=False)
        return rollout.advanced(opened.config.rollout, replace(current, trial=watched), verdict, at)

    if to(now) == replace(now, trial=watched):
        return Looked(opened.name, False, now, verdict, getattr(log, "unreadable", 0))
    path = _tell(opened, now, report(opened.config, now.trial, log))  # before the move: after it, nobody would make it
    after = _replaced(opened, now, to)
    moved = after.generation != now.generation
    if moved:
        settle(opened)
    return Looked(opened.name, moved, after, verdict, getattr(log, "unreadable", 0), path)


def play(
    opened: Opened,
    now: Rollout,
    period: str,
    rows: pa.Table,
    answers: scoring.Answers,
    beside: scoring.Beside,
    version: DataVersion,
    key: Sequence[str],
) -> played.Played:
    """A period's rows, asked one after the other while the release on trial goes through its steps. Writes how its arms did until each."""
    config, log = opened.config, evidence_of(opened.stores, opened.config, opened.ledger, but=period)
    judge, told = partial(judged, config), partial(report, config)
    broken = _broken(opened, now.trial.challenger) if now.trial and beside.bundle is None else ""
    done = played.play(config, now, rows, answers, beside, version.id, key, log, judge, told, broken)
    for move, arms in done.moves:
        _tell(opened, replace(move, generation=move.generation - 1), arms)
    return done


@step("move traffic")
def carry_out(opened: Opened, scored: Scored) -> Rollout | None:
    """Move the traffic as it went while a period was scored, and put each move on record; who answers then. What was done before a kill
    is not done again, and where somebody else decided meanwhile, that holds."""
    before: Rollout | None = None
    for move in scored.moves:
        settle(opened)
        now = opened.answering()
        if now is not None and (now == before or (before is None and now.generation == move.generation - 1)):
            _replaced(opened, now, lambda _, move=move: move)  # type: ignore[misc]
        before = move
    settle(opened)
    return opened.answering()


def revert(opened: Opened, now: Rollout, reason: str) -> Rollout | None:
    """From `now` back to the release that the champion replaced, on record; None where a pin, rest or somebody else holds it back."""
    if rollout.resting(now, _clock(opened, now)):
        return None
    after = _replaced(opened, now, lambda current: rollout.reverted(opened.config.rollout, current, reason, moment(opened)))
    settle(opened)
    return after if (after.generation, after.reason) == (now.generation + 1, reason) else None


@step("pin version")
def pin(opened: Opened, release: Release, reason: str, at: datetime | None = None) -> Rollout:
    """All traffic to a release, held there by a person; on record. A repeat changes nothing. Raises: NobodyAnswers."""
    settle(opened)
    held = Pin(release.version, actor(), (at or datetime.now(UTC)).isoformat(timespec="seconds"), reason)
    return _changed(opened, lambda now: rollout.held(now, release, held, opened.config.rollout.keep))


@step("unpin")
def unpin(opened: Opened, reason: str) -> Rollout:
    """Let automation go on; on record. Without a pin nothing changes. Raises: NobodyAnswers."""
    settle(opened)
    return _changed(opened, lambda now: rollout.let_go(now, actor(), reason))


def settle(opened: Opened, but: Release | None = None) -> None:
    """Put the traffic on record where whoever changed it died before that; not a deployment of `but`, who does that itself."""
    recorded, now = opened.past.rollout(), opened.answering()
    if now is None or (but is not None and but in (now.champion, now.trial and now.trial.challenger)):
        return
    if now.generation > (recorded.generation if recorded else 0):
        _record(opened, recorded, now)


def _tell(opened: Opened, now: Rollout, arms: TrialReport) -> str:
    """Keep how the arms of a trial did before the next generation; where, relative to `var`."""
    path = f"rollouts/{opened.name}/g{now.generation}.json"
    told = json.dumps(plain(arms), indent=1).encode() + b"\n"
    write_atomically(opened.stores.folder("rollouts", opened.name) / f"g{now.generation}.json", told)
    return path


def _broken(opened: Opened, challenger: Release) -> str:
    """Why a release on trial cannot go on: a server that holds it in memory may be the last that does. "" where it loads."""
    try:
        releases.load(opened.stores, challenger)
    except BundleRefused as err:
        if isinstance(err.__cause__, OSError) and not isinstance(err.__cause__, FileNotFoundError):
            return ""  # a disk that refuses for a moment has changed nothing
        return f"v{challenger.version} loads no more: {err.problem}"
    return ""


def _replaced(opened: Opened, now: Rollout, to: Callable[[Rollout], Rollout]) -> Rollout:
    """The traffic after a transition from `now`; as it is, if somebody else was first. A champion that does not load any more is no place
    to go back to: then it is the last release that does."""

    def onto(current: Rollout | None) -> Rollout:
        return now if current is None else current if current.generation != now.generation else to(current)

    try:
        return traffic.change(opened.stores, opened.name, None, onto)
    except BundleRefused:
        wanted = to(now)
        if wanted.trial is not None or wanted.champion != now.champion:
            raise
        return rollback.roll_back(opened.stores, opened.name, wanted.reason, now.generation)


def _changed(opened: Opened, to: Callable[[Rollout], Rollout]) -> Rollout:
    recorded = opened.past.rollout()

    def onto(current: Rollout | None) -> Rollout:
        if current is None:
            raise NobodyAnswers(opened.name)
        return to(current)

    opened.answering()
    now = traffic.change(opened.stores, opened.name, None, onto)
    if recorded is None or now.generation > recorded.generation:
        _record(opened, recorded, now)
    return now


def _record(opened: Opened, before: Rollout | None, now: Rollout) -> None:
    """One row a generation, whoever writes it."""
    inputs: dict[str, Json] = {"version": now.champion.version, "generation": now.generation}
    decision, outcome = rollout.told(before, now)
    opened.ledger.record(opened.name, decision, inputs, outcome, now.reason, plain(now), datetime.now(UTC), actor())
