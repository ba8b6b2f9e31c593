"""What a trial came to, arm by arm, and where a shadow would have answered otherwise: for people, not for the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable

from pillars.config_rollout import Judge
from pillars.deployment.evidence import is_bad
from pillars.vocabulary import Arm, ArmReport, Divergence, Event, Measure, Metric, Trial, TrialReport


def report(policy: Judge, trial: Trial, events: Iterable[Event], bounds: tuple[float, float]) -> TrialReport:
    """All requests since the trial began. A row that comes again with its outcome counts once."""
    seen: dict[tuple[str, str, float], Event] = {}
    for event in events:
        if event.generation >= trial.stages[0].generation:
            place = (event.arm, event.entity, event.at)
            if place not in seen or seen[place].wrong is None:
                seen[place] = event
    arms: tuple[Arm, ...] = ("champion", "challenger", "shadow")
    found = [_arm(policy, trial, arm, [e for e in seen.values() if e.arm == arm], bounds) for arm in arms]
    return TrialReport(trial.challenger.version, trial.mode, tuple(one for one in found if one.requests), _divergence(seen.values()))


def share(bad: int, n: int, level: float = 0.95) -> Measure:
    """A share with its Wilson interval."""
    z = 1.959963984540054
    p, spread = bad / n, z * math.sqrt(bad / n * (1 - bad / n) / n + z * z / (4 * n * n))
    middle, scale = p + z * z / (2 * n), 1 + z * z / n
    return Measure(p, max((middle - spread) / scale, 0.0), min((middle + spread) / scale, 1.0), level)


def _arm(policy: Judge, trial: Trial, arm: Arm, events: list[Event], bounds: tuple[float, float]) -> ArmReport:
    import numpy as np

    entities = {event.entity for event in events}
    bad: dict[str, Measure] = {}
    for metric in policy.metrics:
        known = {e.entity for e in events if metric != "wrong" or e.wrong is not None}
        if known and (metric != "latency" or trial.latency_ms is not None):
            bad[metric] = share(len({e.entity for e in events if _bad(metric, e, trial, bounds)}), len(known))
    times = [e.latency_ms for e in events if e.latency_ms is not None and math.isfinite(e.latency_ms) and not e.error]
    scores = [event.score for event in events if event.score is not None and math.isfinite(event.score)]
    p50, p99 = (float(q) for q in np.quantile(times, [0.5, 0.99])) if times else (None, None)
    return ArmReport(arm, len(events), len(entities), bad, p50, p99, float(np.mean(scores)) if scores else None)


def _bad(metric: Metric, event: Event, trial: Trial, bounds: tuple[float, float]) -> bool:
    return is_bad(metric, event, trial.latency_ms, bounds)


def _divergence(events: Iterable[Event]) -> tuple[Divergence, ...]:
    """How far a shadow's scores lie from the champion's on the same requests, slice by slice, the farthest first."""
    pairs: dict[tuple[str, float], dict[str, Event]] = {}
    for event in events:
        pairs.setdefault((event.entity, event.at), {})[event.arm] = event
    apart: dict[str, list[float]] = {}
    for arms in pairs.values():
        one, other = arms.get("champion"), arms.get("shadow")
        if one and other and one.score is not None and other.score is not None:
            apart.setdefault(one.slice, []).append(abs(one.score - other.score))
    found = [Divergence(name, len(gaps), sum(gaps) / len(gaps), max(gaps)) for name, gaps in apart.items()]
    return tuple(sorted(found, key=lambda one: (-one.mean, one.slice)))
