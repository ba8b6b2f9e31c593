"""Whether a challenger harms: a one-sided test that may be looked at after every request, and a guard against catastrophes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pillars.config_rollout import Judge
from pillars.deployment.evidence import Count, Tally
from pillars.vocabulary import Judgement

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike

PRIOR = 10.0  # pseudo-counts; of all that were tried the figures of docs/rollouts.md hardly depend on it
GUARDED = 5  # entities with an error, before the guard believes that it is not one entity's own trouble


def judge(policy: Judge, tally: Tally, baked: bool) -> Judgement:
    """Harmful as soon as one metric's e-value reaches m / alpha (m metrics), or the guard strikes. Else healthy when each arm served enough
    entities, the share was watched for its time (`baked`), and harm by `exclude` is excluded. All else is inconclusive: not healthy.

    Under no harm, each entity's first bad event is the challenger's with its share as the chance: the probability that an e-value ever
    reaches 1 / a is at most a (Ville). Lindon, Sanden, Shirikian, KDD 2022, arXiv:2205.14762.
    """
    e: dict[str, float] = dict.fromkeys(tally.judged, 0.0)
    for count in tally.counts:
        e[count.metric] += float(log_e(count.challenger, count.champion, count.share))
    seen = (e, tally.challenger, tally.champion)
    bound = math.log(max(len(policy.metrics), 1) / policy.alpha)
    if guarded := guard(policy, tally):
        return Judgement("harmful", guarded, *seen)
    if e and max(e.values()) >= bound:
        worst = max(e, key=lambda metric: e[metric])
        return Judgement("harmful", f"{worst}: {_said(tally, worst)}, e-value {_power(e[worst])}, harm from {_power(bound)}", *seen)
    if not e:
        return Judgement("inconclusive", "there is nothing to judge it by: too few requests of the champion before the rollout", *seen)
    if missing := _missing(policy, tally):
        return Judgement("inconclusive", missing, *seen)
    if not baked:
        return Judgement("inconclusive", "not watched for its time yet", *seen)
    if policy.exclude is not None and (kept := [m for m in tally.judged if not excluded(policy, tally, m)]):
        return Judgement("inconclusive", f"{', '.join(kept)}: harm by {policy.exclude:g} is not excluded yet", *seen)
    least = f"e-values at most {_power(max(e.values()))}"
    return Judgement("healthy", f"{tally.challenger} entities served, {least}, harm from {_power(bound)}", *seen)


def log_e(bad: ArrayLike, good: ArrayLike, share: float) -> np.ndarray:
    """Natural logarithm of the e-value that bad events come more often than by the chance `share`: `bad` of them did, `good` did not.

    The chance under harm has a Beta(10 share, 10 (1 - share)) prior, cut at `share`. Shapes broadcast.
    """
    import numpy as np
    from scipy.special import betaln

    x, y = np.asarray(bad, dtype=float), np.asarray(good, dtype=float)
    a, b = PRIOR * share, PRIOR * (1 - share)
    numerator = betaln(a + x, b + y) + _log_above(a + x, b + y, share)
    denominator = betaln(a, b) + _log_above(np.asarray(a), np.asarray(b), share)
    return numerator - denominator - (x * math.log(share) + y * math.log1p(-share))


def excluded(policy: Judge, tally: Tally, metric: str) -> bool:
    """Whether harm by the factor `exclude` or more, in odds, is excluded at alpha: the same test, from the other side."""
    factor = policy.exclude or math.inf
    found = 0.0
    for count in (c for c in tally.counts if c.metric == metric):
        odds = factor * count.share / (1 - count.share)
        found += float(log_e(count.champion, count.challenger, 1 / (1 + odds)))
    return found >= math.log(1 / policy.alpha)


def guard(policy: Judge, tally: Tally) -> str:
    """Why the challenger must go at once, or "": most of its newest requests failed, of several entities, and not the champion's."""
    (requests, failed, entities), (others, failed_there, _) = tally.recent
    if requests < policy.guard_window or entities < GUARDED or failed <= policy.guard_share * requests:
        return ""
    if others and failed_there > policy.guard_share * others:
        return ""  # whatever it is, the champion has it, too
    return f"error: {failed} of its newest {requests} requests failed, of {entities} entities"


def _missing(policy: Judge, tally: Tally) -> str:
    """Which arm has served too few."""
    arms = {"challenger": tally.challenger} | ({} if tally.alone else {"champion": tally.champion})
    few = [f"{arm} {n}" for arm, n in arms.items() if n < policy.entities]
    return f"too few entities served at this share ({', '.join(few)}; {policy.entities} needed)" if few else ""


def _log_above(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """Logarithm of the mass of Beta(a, b) above `share`.

    Where that underflows it is bounded by the density's slope at `share` (log-concave there): a constant floor in its place would make a
    challenger much better than the champion look harmful (3,000 bad events, none of them its own).
    """
    import numpy as np
    from scipy.special import betaincc, betaln

    mass = betaincc(a, b, share)
    tail = mass < 1e-200
    slope = np.where(tail, (b - 1) / (1 - share) - np.maximum(a - 1, 0) / share, 1.0)
    bound = (a - 1) * math.log(share) + (b - 1) * math.log1p(-share) - np.log(np.maximum(slope, 1e-9)) - betaln(a, b)
    return np.where(tail, bound, np.log(np.maximum(mass, 1e-300)))


def _said(tally: Tally, metric: str) -> str:
    counts: list[Count] = [c for c in tally.counts if c.metric == metric]
    bad, others = sum(c.challenger for c in counts), sum(c.champion for c in counts)
    expected = sum(c.share * (c.challenger + c.champion) for c in counts)
    return f"{bad} of {bad + others} entities count against the challenger, {expected:.1f} by chance"


def _power(log: float) -> str:
    return f"{math.exp(log):.3g}" if log < 600 else f"10^{log / math.log(10):.0f}"
