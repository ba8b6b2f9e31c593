"""What the requests of a rollout say: how many entities went bad first under the challenger, and how many under the champion."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from pillars.config_rollout import BASIS, Judge
from pillars.vocabulary import Event, Metric, Stage, Trial

PAIRED = 0.5  # of a shadow and the champion on one request, each is alike to be the bad one
BASELINE = 200  # requests and entities of the champion that a limit may be taken from


class Evidence(Protocol):
    """Where answered requests are read from: the server's request log, or a replay."""

    def events(self, generation: int) -> Iterator[Event]:
        """Requests that were routed by this generation of the traffic or a later one, in any order; one may come twice."""
        ...


@dataclass(frozen=True)
class Count:
    """Entities whose first bad event of a metric was the challenger's, and the champion's, while the challenger's chance was `share`.

    With the whole traffic nobody compares: then `share` is a ceiling, and `champion` the entities that did not go bad.
    """

    metric: Metric
    challenger: int
    champion: int
    share: float


@dataclass(frozen=True)
class Tally:
    """All that a judge looks at. `challenger` and `champion`: entities served at the share in force. `recent`: (requests, errors, entities
    with an error) among the newest of each arm, the challenger's first."""

    counts: tuple[Count, ...]
    challenger: int
    champion: int
    recent: tuple[tuple[int, int, int], tuple[int, int, int]]
    judged: tuple[Metric, ...]
    alone: bool = False  # it has the whole traffic: there is no other arm to wait for


def tally(policy: Judge, trial: Trial, events: Iterable[Event], bounds: tuple[float, float]) -> Tally:
    """Count a trial's events, in whatever order they come, and each once however often. `bounds`: where scores lie.

    An entity counts once for each metric in the whole trial: by its first bad event, whichever arm that was of. Sticky entities fail in
    clusters; counting requests, 71 % of harmless canaries were taken back (2026-11), and each entity's first bad event, 0.6 %.
    """
    metrics = judged_by(policy, trial)
    first: dict[Metric, dict[str, tuple[float, int, str]]] = {metric: {} for metric in metrics}
    asked: dict[tuple[int, str, str], tuple[float, set[Metric], set[Metric]]] = {}  # first request of an entity, at a stage, of an arm
    served: dict[str, set[str]] = {"champion": set(), "challenger": set()}
    newest: dict[str, list[tuple[float, str, bool]]] = {"champion": [], "challenger": []}
    paired: dict[tuple[str, float], dict[str, Event]] = {}
    for event in events:
        place = _stage(trial.stages, event.generation)
        if place is None:
            continue
        arm = "challenger" if event.arm == "shadow" else event.arm
        if place == len(trial.stages) - 1:
            served[arm].add(event.entity)
            _keep(newest[arm], (event.at, event.entity, event.error), policy.guard_window)
        if trial.mode == "shadow":
            seen = paired.setdefault((event.entity, event.at), {})
            if arm not in seen or seen[arm].wrong is None:  # the row may come again with its outcome
                seen[arm] = event
            continue
        bad = {metric for metric in metrics if is_bad(metric, event, trial.latency_ms, bounds)}
        if trial.stages[place].weight_bp == BASIS:
            if arm == "challenger":
                known = {metric for metric in metrics if metric != "wrong" or event.wrong is not None}
                before = asked.get((place, arm, event.entity))
                if before is None or (event.at, -len(known)) < (before[0], -len(before[2])):
                    asked[place, arm, event.entity] = (event.at, bad, known)
            continue
        for metric in bad:
            here = (event.at, place, arm)
            first[metric][event.entity] = min(here, first[metric].get(event.entity, here))
    if trial.mode == "shadow":
        first = _discordant(metrics, paired, bounds)
    counts = [*_split(trial, first), *_whole(trial, metrics, asked)]
    recent = (_recent(newest["challenger"]), _recent(newest["champion"]))
    alone = trial.mode != "shadow" and trial.stages[-1].weight_bp == BASIS
    return Tally(tuple(counts), len(served["challenger"]), len(served["champion"]), recent, metrics, alone)


def judged_by(policy: Judge, trial: Trial) -> tuple[Metric, ...]:
    """The policy's metrics that this trial can be judged by: latency only with a limit, and never a shadow's, which waits for nobody."""
    metrics = [m for m in policy.metrics if m != "latency" or (trial.latency_ms is not None and trial.mode != "shadow")]
    return tuple(m for m in metrics if trial.mode != "blue-green" or m in trial.ceilings)


def is_bad(metric: Metric, event: Event, latency_ms: float | None, bounds: tuple[float, float]) -> bool:
    """Whether the event is a bad one of its kind. An error is neither slow nor out of range: it would count three times."""
    if metric == "error":
        return event.error
    if metric == "wrong":
        return event.wrong is True
    if event.error:
        return False
    if metric == "latency":
        return latency_ms is not None and event.latency_ms is not None and not event.latency_ms <= latency_ms  # NaN is not in time
    return event.score is None or not math.isfinite(event.score) or not bounds[0] <= event.score <= bounds[1]


def baseline(policy: Judge, events: Iterable[Event], bounds: tuple[float, float]) -> tuple[float | None, dict[str, float]]:
    """The limits of a trial that begins now, from the champion's requests before it: milliseconds, and ceilings of shares of bad entities.

    A ceiling is the upper bound of a Clopper-Pearson interval at a tenth of alpha, over the first request of each entity. Both need
    `BASELINE` requests and entities; what the policy names is taken as it is.
    """
    import numpy as np
    from scipy.special import betaincinv

    first: dict[str, Event] = {}
    times = []
    for event in events:
        if event.arm == "champion":
            known = first.get(event.entity)
            first[event.entity] = event if known is None or event.at < known.at else known
            if not event.error and event.latency_ms is not None and math.isfinite(event.latency_ms):
                times.append(event.latency_ms)
    latency_ms = policy.latency_ms
    if latency_ms is None and len(times) >= BASELINE:
        latency_ms = float(np.quantile(times, 0.99, method="higher"))
    ceilings: dict[str, float] = {}
    for metric in policy.metrics:
        known_first = [e for e in first.values() if metric != "wrong" or e.wrong is not None]
        if (n := len(known_first)) >= BASELINE and (metric != "latency" or latency_ms is not None):
            bad = sum(is_bad(metric, event, latency_ms, bounds) for event in known_first)
            upper = float(betaincinv(bad + 1, n - bad, 1 - policy.alpha / 10)) if bad < n else 1.0
            ceilings[metric] = min(upper, 1 - 1 / BASIS)
    return latency_ms, ceilings | {m: min(max(c, 1e-6), 1 - 1 / BASIS) for m, c in policy.ceilings.items()}


def event_of(row: Mapping[str, Any]) -> Event:
    """A row of a log as an event.

    Raises:
        ValueError: a field is missing, of another type, or no arm.
    """
    try:
        event = Event(
            entity=_is(str, row["entity"]),
            arm=row["arm"],
            at=float(_is((int, float), row["at"])),
            generation=_is(int, row["generation"]),
            error=_is(bool, row["error"]),
            latency_ms=None if row["latency_ms"] is None else float(_is((int, float), row["latency_ms"])),
            score=None if row.get("score") is None else float(_is((int, float), row["score"])),
            wrong=None if row.get("wrong") is None else _is(bool, row["wrong"]),
            slice=_is(str, row.get("slice", "")),
        )
    except KeyError as err:
        raise ValueError(f"{err.args[0]} is missing") from None
    if event.arm not in ("champion", "challenger", "shadow"):
        raise ValueError(f"{event.arm!r} is no arm")
    if not math.isfinite(event.at):
        raise ValueError("at is no time")
    return event


def _is(kind: type | tuple[type, ...], value: Any) -> Any:
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise ValueError(f"{value!r:.60} is of another type")
    return value


def _stage(stages: tuple[Stage, ...], generation: int) -> int | None:
    """Place of the stage that a generation belongs to; None before the trial."""
    return next((place for place in range(len(stages) - 1, -1, -1) if stages[place].generation <= generation), None)


def _keep(newest: list[tuple[float, str, bool]], request: tuple[float, str, bool], window: int) -> None:
    if request not in newest:
        (heapq.heappush if len(newest) < window else heapq.heappushpop)(newest, request)


def _recent(newest: list[tuple[float, str, bool]]) -> tuple[int, int, int]:
    failed = [entity for _, entity, error in newest if error]
    return len(newest), len(failed), len(set(failed))


def _discordant(
    metrics: tuple[Metric, ...], paired: Mapping[tuple[str, float], Mapping[str, Event]], bounds: tuple[float, float]
) -> dict[Metric, dict[str, tuple[float, int, str]]]:
    """The first request of each entity on which one arm alone was bad, and which: both bad, or both good, say nothing of a difference."""
    first: dict[Metric, dict[str, tuple[float, int, str]]] = {metric: {} for metric in metrics}
    for (entity, at), arms in paired.items():
        if len(arms) < 2:
            continue
        for metric in metrics:
            bad = [arm for arm, event in arms.items() if is_bad(metric, event, None, bounds)]
            if len(bad) == 1:
                here = (at, 0, bad[0])
                first[metric][entity] = min(here, first[metric].get(entity, here))
    return first


def _split(trial: Trial, first: Mapping[Metric, Mapping[str, tuple[float, int, str]]]) -> Iterator[Count]:
    for metric, entities in first.items():
        for place, stage in enumerate(trial.stages):
            arms = [arm for _, at_stage, arm in entities.values() if at_stage == place]
            if arms:
                x = arms.count("challenger")
                yield Count(metric, x, len(arms) - x, PAIRED if trial.mode == "shadow" else stage.weight_bp / BASIS)


def _whole(
    trial: Trial, metrics: tuple[Metric, ...], asked: Mapping[tuple[int, str, str], tuple[float, set[Metric], set[Metric]]]
) -> Iterator[Count]:
    for metric in metrics:
        known = [metric in bad for _, bad, judged in asked.values() if metric in judged]
        if known and metric in trial.ceilings:
            yield Count(metric, sum(known), len(known) - sum(known), trial.ceilings[metric])
