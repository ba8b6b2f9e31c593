"""Pillar 4: a release on trial, from one share to the next; and versions that people hold in place."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime

from pillars.answers.trials import bounds, evidence_of, judged, report
from pillars.deployment import evidence, rollback, rollout, traffic
from pillars.deployment import release as releases
from pillars.deployment.evidence import Evidence
from pillars.errors import BundleRefused, Overtaken, UnknownName
from pillars.stores import write_atomically
from pillars.vocabulary import Decision, Json, Looked, Pin, Release, Rollout
from tasks.opened import Opened, actor, plain
from tasks.policy import step


def allowed(opened: Opened, release: Release, by_hand: bool, at: datetime | None = None) -> Decision:
    """Whether a release may be tried, or take the traffic. Before the first deployment it may; a policy that was edited is asked about what
    is on record."""
    now = opened.past.rollout() if in_question(opened) else traffic.read(opened.stores, opened.name)
    return Decision.accept("") if now is None else rollout.allowed(now, release, at or datetime.now(UTC), by_hand)


def in_question(opened: Opened) -> bool:
    """Whether the traffic is not what is on record, nor can have come of it: somebody edited it, or took it away."""
    recorded = opened.past.rollout()
    return not traffic.believed(traffic.read(opened.stores, opened.name), recorded, opened.past.versions())


@step("begin trial")
def begin(opened: Opened, release: Release, by_hand: bool = False, read: Evidence | None = None, at: datetime | None = None) -> Rollout:
    """A release on trial at its first share; a repeat changes nothing, and a race is lost to whoever was first.

    Raises:
        UnknownName: nobody answers yet.
        Overtaken: somebody else changed the policy first.
    """
    now, at = opened.answering(), at or datetime.now(UTC)
    if now is None:
        raise UnknownName("champion to try it beside", opened.name, [])
    policy, log = opened.config.rollout, read or evidence_of(opened.stores, opened.config, opened.ledger)
    limits = evidence.baseline(policy.judge, log.events(now.generation), bounds(opened.config))

    def onto(current: Rollout | None) -> Rollout:
        if current is None or current.generation != now.generation or not rollout.allowed(current, release, at, by_hand):
            return current or now
        return rollout.begun(policy, current, release, at, *limits)

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
        UnknownName: nobody answers yet.
    """
    settle(opened)
    now, at = opened.answering(), at or datetime.now(UTC)
    if now is None:
        raise UnknownName("champion", opened.name, [])
    if now.trial is None:
        return Looked(opened.name, False, now)
    log = read or evidence_of(opened.stores, opened.config, opened.ledger)
    verdict, broken = judged(opened.config, now.trial, log, at), _broken(opened, now.trial.challenger)

    def to(current: Rollout) -> Rollout:
        if broken:
            return rollout.taken_back(opened.config.rollout, current, broken, at, harmed=False)
        return rollout.advanced(opened.config.rollout, current, verdict, at)

    if to(now) == now:
        return Looked(opened.name, False, now, verdict, getattr(log, "unreadable", 0))
    path = f"rollouts/{opened.name}/g{now.generation}.json"  # before the move: after it, nobody would make it
    told = json.dumps(plain(report(opened.config, now.trial, log)), indent=1).encode() + b"\n"
    write_atomically(opened.stores.folder("rollouts", opened.name) / f"g{now.generation}.json", told)
    after = _replaced(opened, now, to)
    moved = after.generation != now.generation
    if moved:
        settle(opened)
    return Looked(opened.name, moved, after, verdict, getattr(log, "unreadable", 0), path)


@step("pin version")
def pin(opened: Opened, release: Release, reason: str, at: datetime | None = None) -> Rollout:
    """All traffic to a release, held there by a person; on record. A repeat changes nothing. Raises: UnknownName (nobody answers yet)."""
    settle(opened)
    held = Pin(release.version, actor(), (at or datetime.now(UTC)).isoformat(timespec="seconds"), reason)
    return _changed(opened, lambda now: rollout.held(now, release, held, opened.config.rollout.keep))


@step("unpin")
def unpin(opened: Opened, reason: str) -> Rollout:
    """Let automation go on; on record. Without a pin nothing changes. Raises: UnknownName (nobody answers yet)."""
    settle(opened)
    return _changed(opened, lambda now: rollout.let_go(now, actor(), reason))


def settle(opened: Opened, but: Release | None = None) -> None:
    """Put the traffic on record where whoever changed it died before that; not a deployment of `but`, who does that itself."""
    recorded, now = opened.past.rollout(), opened.answering()
    if now is None or (but is not None and but in (now.champion, now.trial and now.trial.challenger)):
        return
    if now.generation > (recorded.generation if recorded else 0):
        _record(opened, recorded, now)


def _broken(opened: Opened, challenger: Release) -> str:
    """Why a release on trial cannot go on: a server that holds it in memory may be the last that does. "" where it loads."""
    try:
        releases.load(opened.stores, challenger)
    except BundleRefused as err:
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
            raise UnknownName("champion", opened.name, [])
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
