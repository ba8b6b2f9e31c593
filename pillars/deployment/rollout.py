"""The controller of a trial, as a pure function: from the policy, who answers now, and a verdict, to who answers next.

Every transition is one replacement of the traffic file (`pillars.deployment.traffic.change`), so a kill leaves the state before it or
after it, and the next look goes on from there. Who is champion changes at the end of a trial only, and in the same replacement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta

from pillars.config_rollout import BASIS, Rollout, Step
from pillars.vocabulary import Decision, Judgement, Outcome, Pin, Release, Rest, Stage, Trial
from pillars.vocabulary import Rollout as Traffic


def allowed(now: Traffic, release: Release, at: datetime, by_hand: bool) -> Decision:
    """Whether a release may be tried, or take the traffic. A pin holds whoever asks; rest, harm done before and a running trial only hold
    automation back."""
    if now.pin is not None:
        return Decision.refuse(f"{pinned(now.pin)}; first: pillars unpin {now.project}")
    if by_hand:
        return Decision.accept("asked for by hand")
    if now.trial is not None and now.trial.challenger != release:
        return Decision.refuse(f"v{now.trial.challenger.version} is on trial")
    if now.rest is not None and release.sha256 in now.rest.harmed:
        return Decision.refuse(
            f"v{release.version} was taken back before; by hand: pillars deploy {now.project} --version {release.version}"
        )
    if resting(now, at):
        return Decision.refuse(f"something was taken back; nothing by itself before {now.rest.until if now.rest else ''}")
    return Decision.accept("")


def resting(now: Traffic, at: datetime) -> bool:
    """Whether automation keeps still, because it took something back. `at` is by the clock of the rest, or the rest is over."""
    if now.rest is None:
        return False
    until = datetime.fromisoformat(now.rest.until)
    return same_clock(until, at) and at < until


def same_clock(one: datetime, other: datetime) -> bool:
    """Whether two times can be compared: those of replayed rows are the rows' own and have no offset, the wall clock's have one."""
    return (one.tzinfo is None) == (other.tzinfo is None)


def timed(trial: Trial, first: datetime) -> Trial:
    """The trial by the clock of who looks: a share that is on record by another one is watched from `first` on, and not from before."""
    if same_clock(_since(trial), first):
        return trial
    watched = replace(trial.stages[-1], since=first.isoformat(timespec="seconds"))
    return replace(trial, stages=(*trial.stages[:-1], watched))


def begun(
    policy: Rollout, now: Traffic, release: Release, at: datetime, latency_ms: float | None, ceilings: Mapping[str, float]
) -> Traffic:
    """A trial of `release` at the first share. One that is the champion or on trial already changes nothing.

    Its salt is new, and a function of what is on record: entities are dealt anew, and a repeat after a kill deals them alike.
    """
    if policy.strategy == "direct" or release in (now.champion, now.trial and now.trial.challenger):
        return now
    first = policy.bakes[0]
    salt = f"{now.project}-{now.generation + 1}-{release.sha256[:16]}"
    trial = Trial(release, policy.strategy, salt, (_stage(now, first, at),), latency_ms, dict(ceilings))
    return replace(now, trial=trial, strategy=policy.strategy, reason=f"v{release.version} on trial: {_shared(trial, first.share)}")


def advanced(policy: Rollout, now: Traffic, verdict: Judgement, at: datetime) -> Traffic:
    """What comes after a look: the next share, the end, back, or the same. Without a trial, and with a pin, the same."""
    if (trial := now.trial) is None or now.pin is not None:
        return now
    if verdict.health == "harmful":
        return taken_back(policy, now, f"v{trial.challenger.version} harms: {verdict.reason}", at, harmed=True)
    if verdict.health == "inconclusive":
        over = at - _since(trial) >= timedelta(minutes=policy.timeout_min)
        why = f"v{trial.challenger.version} without a verdict for {policy.timeout_min:g} minutes: {verdict.reason}"
        return taken_back(policy, now, why, at, harmed=False) if over else now
    if (step := _next(policy, trial)) is not None:
        stages = (*trial.stages, _stage(now, step, at))
        reason = f"v{trial.challenger.version} healthy ({verdict.reason}): {_shared(trial, step.share)}"
        return replace(now, trial=replace(trial, stages=stages), reason=reason)
    if policy.ends_in == "keep":
        reason = f"v{trial.challenger.version} healthy to the end ({verdict.reason}); v{now.champion.version} is kept"
        return replace(now, trial=None, reason=reason)
    earlier = tuple(r for r in (now.champion, *now.previous) if r != trial.challenger)[: policy.keep]
    reason = f"v{trial.challenger.version} healthy to the end ({verdict.reason})"
    return replace(now, champion=trial.challenger, previous=earlier, trial=None, reason=reason)


def taken_back(policy: Rollout, now: Traffic, reason: str, at: datetime, harmed: bool) -> Traffic:
    """The champion has the whole traffic again, and automation rests; what harmed is not tried again by itself."""
    known = now.rest.harmed if now.rest else ()
    if harmed and now.trial is not None and now.trial.challenger.sha256 not in known:
        known = (*known, now.trial.challenger.sha256)
    until = (at + timedelta(minutes=policy.cooldown_min)).isoformat(timespec="seconds")
    return replace(now, trial=None, rest=Rest(until, known), reason=reason)


def baked(policy: Rollout, trial: Trial, at: datetime) -> bool:
    """Whether the share in force was watched for its time. Of a share that the policy no longer names: for the longest it does."""
    steps, weight = _steps(policy, trial), trial.stages[-1].weight_bp
    minutes = next((s.bake_min for s in steps if _weight(s) == weight), max(s.bake_min for s in steps))
    return at - _since(trial) >= timedelta(minutes=minutes)


def reverted(policy: Rollout, now: Traffic, reason: str, at: datetime) -> Traffic:
    """Back to the release that the champion replaced, as a whole; a trial ends, automation rests, the champion is not tried again by
    itself. With a pin, or without an earlier release, the same."""
    if now.pin is not None or not now.previous:
        return now
    known = now.rest.harmed if now.rest else ()
    harmed = known if now.champion.sha256 in known else (*known, now.champion.sha256)
    until = (at + timedelta(minutes=policy.cooldown_min)).isoformat(timespec="seconds")
    return replace(now, champion=now.previous[0], previous=now.previous[1:], trial=None, rest=Rest(until, harmed), reason=reason)


def forth(before: Traffic | None, now: Traffic) -> bool:
    """Whether a change of the champion was a trial's healthy end, and no way back."""
    return before is not None and before.trial is not None and now.champion == before.trial.challenger


def held(now: Traffic, release: Release, pin: Pin, keep: int) -> Traffic:
    """All traffic to `release`, held there; a trial ends."""
    if now.pin is not None and (now.pin.version, now.pin.reason, now.champion) == (pin.version, pin.reason, release) and now.trial is None:
        return now
    earlier = tuple(r for r in (now.champion, *now.previous) if r != release)[:keep]
    previous = now.previous if now.champion == release else earlier
    return replace(now, champion=release, previous=previous, trial=None, pin=pin, reason=pinned(pin))


def let_go(now: Traffic, by: str, reason: str) -> Traffic:
    """Without a pin, everything else as it is."""
    return now if now.pin is None else replace(now, pin=None, reason=f"unpinned by {by}: {reason}")


def pinned(pin: Pin) -> str:
    """Who holds what, and why."""
    return f"v{pin.version} is pinned by {pin.by}: {pin.reason}"


def told(before: Traffic | None, now: Traffic) -> tuple[str, Outcome]:
    """Decision and outcome that a change is on record with: what harmed is refused, what nobody could judge is inconclusive."""
    if now.pin != (before and before.pin):
        return ("pin" if now.pin else "unpin"), "accept"
    if before is not None and now.rest != before.rest and now.champion in before.previous:
        return "rollout", "refuse"
    if before is None or before.trial is None or now.trial is not None or now.champion != before.champion:
        return "rollout", "accept"
    harmed = now.rest.harmed if now.rest else ()
    return "rollout", "refuse" if before.trial.challenger.sha256 in harmed else "accept" if now.rest == before.rest else "inconclusive"


def _steps(policy: Rollout, trial: Trial) -> tuple[Step, ...]:
    """Of the trial's own strategy: the YAML may say another by now."""
    return policy.model_copy(update={"strategy": trial.mode}).bakes


def _next(policy: Rollout, trial: Trial) -> Step | None:
    return next((s for s in _steps(policy, trial) if _weight(s) > trial.stages[-1].weight_bp), None)


def _stage(now: Traffic, step: Step, at: datetime) -> Stage:
    return Stage(now.generation + 1, _weight(step), at.isoformat(timespec="seconds"))


def _weight(step: Step) -> int:
    return round(step.share * BASIS)


def _since(trial: Trial) -> datetime:
    return datetime.fromisoformat(trial.stages[-1].since)


def _shared(trial: Trial, share: float) -> str:
    return "shown all requests, answers none" if trial.mode == "shadow" else f"{share:.4g} of the entities"
