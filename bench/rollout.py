"""How often a harmless canary is taken back, and how soon a harmful one is: our judge beside two that are common.

    python -m bench.rollout                          # 2,000 harmless canaries and 200 of each harm, per base rate; minutes
    python -m bench.rollout --clean 50 --harmful 20  # a try

A canary is 40,000 requests, and every request is a look. The arm is the entity's, by its hash.

few      4,000 entities. Some ask often, most seldom (log-normal), and each has a rate of its own (Beta, 3 pseudo-counts around the base
         rate): failures come in clusters
many     each request is another entity's: no clusters

ours     m = 3 metrics at alpha = 1 % together, each entity's first bad event of each, the guard; harm is in one metric
counted  the same test on every bad request: what sticky entities do to it
z        two-proportion z-test, one-sided at 1 %, peeked at each 200 requests from the first 1,000 on
window   1,000 requests of the canary with more than 1.5 times the base rate and 3 errors: taken back at the third such window
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product

import numpy as np

from pillars.config_rollout import BASIS, Judge
from pillars.deployment.judge import GUARDED, log_e

REQUESTS, ENTITIES, OWN = 40_000, 4_000, 3.0
METRICS = 3
SHARES: dict[str, tuple[int, ...]] = {"10 %": (1_000,), "1, 5, 25, 50 %": (100, 500, 2_500, 5_000)}
RATES, HARMS = (0.001, 0.01, 0.05), (2, 3, 5, 10)
POLICY = Judge()
BOUND = float(np.log(METRICS / POLICY.alpha))


@dataclass(frozen=True)
class Canary:
    """`entity`, int, (n,): who asks; `challenger`, bool, (n,): whether the canary answers; `stage`, int, (n,); `bad`, bool,
    (metrics, n)."""

    entity: np.ndarray
    challenger: np.ndarray
    stage: np.ndarray
    bad: np.ndarray
    weights_bp: tuple[int, ...]


@dataclass(frozen=True)
class Line:
    """Canaries of one kind. Medians are over those that were taken back: requests in all, of the canary, its entities gone bad."""

    judge: str
    entities: str
    shares: str
    rate: float
    harm: float
    canaries: int
    back: float
    low: float
    high: float
    requests: float
    of_canary: float
    harmed: float


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line per judge, shares, base rate and harm."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--clean", type=int, default=2_000)
    asked.add_argument("--harmful", type=int, default=200)
    asked.add_argument("--rates", type=float, nargs="*", default=list(RATES))
    asked.add_argument("--json", action="store_true")
    how = asked.parse_args(arguments)
    start, made = time.perf_counter(), []
    if not how.json:
        print(
            f"{'':<6}{'shares':<16}{'rate':>6}{'harm':>6}  {'judge':<9}{'back':>7}   95 %{'':<11}{'requests':>9}{'canary':>8}{'harmed':>8}"
        )
    for (entities, draw), (shares, weights_bp), rate in product(POPULATIONS.items(), SHARES.items(), how.rates):
        for harm, n in ((1, how.clean), *((harm, how.harmful) for harm in HARMS)):
            canaries = (draw(weights_bp, rate, harm, seed) for seed in range(n))
            for line in measured((entities, shares, rate, harm), canaries):
                made.append(line)
                if not how.json:
                    tell(line)
    if how.json:
        print(json.dumps([asdict(line) for line in made], indent=1))
    else:
        print(f"{time.perf_counter() - start:.0f} s")


def tell(line: Line) -> None:
    """One line of the table."""
    found = "".join(f"{'-' if np.isnan(v) else f'{v:,.0f}':>{w}}" for v, w in ((line.requests, 9), (line.of_canary, 8), (line.harmed, 8)))
    kind = f"{line.entities:<6}{line.shares:<16}{line.rate:>6.1%}{line.harm:>6g}"
    print(f"{kind}  {line.judge:<9}{line.back:>7.2%}   [{line.low:.2%}, {line.high:.2%}]{found}", flush=True)


Kind = tuple[str, str, float, float]  # entities, shares, base rate, harm


def measured(kind: Kind, canaries: Iterable[Canary]) -> list[Line]:
    """A line per judge over the same canaries."""
    stops: dict[str, list[int | None]] = {judge: [] for judge in JUDGES}
    told: dict[str, list[tuple[int, int, int]]] = {judge: [] for judge in JUDGES}
    for canary in canaries:
        for name, judge in JUDGES.items():
            stop = judge(canary, kind[2])
            stops[name].append(stop)
            if stop is not None:
                before = canary.challenger[: stop + 1]
                harmed = np.unique(canary.entity[: stop + 1][before & canary.bad[0, : stop + 1]])
                told[name].append((stop + 1, int(before.sum()), len(harmed)))
    return [_line(name, kind, stops[name], told[name]) for name in JUDGES]


def _line(judge: str, kind: Kind, stops: Sequence[int | None], told: Sequence[tuple[int, int, int]]) -> Line:
    from scipy.stats import binomtest

    back = binomtest(sum(stop is not None for stop in stops), len(stops))
    interval = back.proportion_ci(0.95, method="exact")
    medians = np.median(told, axis=0).tolist() if told else [float("nan")] * 3
    return Line(judge, *kind, len(stops), back.statistic, interval.low, interval.high, *medians)


def few(weights_bp: tuple[int, ...], rate: float, harm: float, seed: int) -> Canary:
    """Sticky entities. The challenger's rate of the first metric is `harm` times the entity's own."""
    random = np.random.default_rng([seed, int(rate * 1e6), len(weights_bp)])
    often = random.lognormal(sigma=1.5, size=ENTITIES)
    entity = random.choice(ENTITIES, size=REQUESTS, p=often / often.sum())
    own = random.beta(OWN * rate, OWN * (1 - rate), size=(METRICS, ENTITIES))[:, entity]
    return _answered(weights_bp, entity, own, harm, random)


def many(weights_bp: tuple[int, ...], rate: float, harm: float, seed: int) -> Canary:
    """Entities that ask once."""
    random = np.random.default_rng([seed, int(rate * 1e6), len(weights_bp), 1])
    return _answered(weights_bp, np.arange(REQUESTS), np.full((METRICS, REQUESTS), rate), harm, random)


def _answered(weights_bp: tuple[int, ...], entity: np.ndarray, own: np.ndarray, harm: float, random: np.random.Generator) -> Canary:
    stage = np.minimum(np.arange(REQUESTS) * len(weights_bp) // REQUESTS, len(weights_bp) - 1)
    challenger = random.integers(BASIS, size=entity.max() + 1)[entity] < np.asarray(weights_bp)[stage]
    own[0] = np.where(challenger, np.minimum(own[0] * harm, 1), own[0])
    return Canary(entity, challenger, stage, random.uniform(size=own.shape) < own, weights_bp)


def ours(canary: Canary, _: float) -> int | None:
    """The request at which the judge takes it back: e-values change at first bad events only."""
    found = [stop for bad in canary.bad if (stop := crossed(canary, first_of_each(canary, bad), BOUND)) is not None]
    if (struck := guarded(canary)) is not None:
        found.append(struck)
    return min(found, default=None)


def counted(canary: Canary, _: float) -> int | None:
    """The same test, without its unit."""
    return min((s for bad in canary.bad if (s := crossed(canary, np.flatnonzero(bad), BOUND)) is not None), default=None)


def first_of_each(canary: Canary, bad: np.ndarray) -> np.ndarray:
    """Requests that are the first bad one of their entity, int, in order."""
    at = np.flatnonzero(bad)
    return np.sort(at[np.unique(canary.entity[at], return_index=True)[1]])


def crossed(canary: Canary, at: np.ndarray, bound: float) -> int | None:
    """The first of the requests `at` after which the product of the stages' e-values reaches the bound."""
    before = 0.0
    for place, weight in enumerate(canary.weights_bp):
        its = at[canary.stage[at] == place]
        if not len(its):
            continue
        x = np.cumsum(canary.challenger[its])
        e = before + log_e(x, np.arange(1, len(its) + 1) - x, weight / BASIS)
        if (over := np.flatnonzero(e >= bound)).size:
            return int(its[over[0]])
        before = float(e[-1])
    return None


def guarded(canary: Canary) -> int | None:
    """The request at which the guard strikes."""
    error, window = canary.bad[0], POLICY.guard_window
    for stage in range(len(canary.weights_bp)):
        at, there = (np.flatnonzero((canary.challenger == arm) & (canary.stage == stage)) for arm in (True, False))
        failed = np.cumsum(error[at])
        rolling = failed[window - 1 :] - np.concatenate([[0], failed[:-window]])[: len(failed[window - 1 :])]
        for place in np.flatnonzero(rolling > POLICY.guard_share * window):
            its = at[place : place + window]
            its = its[error[its]]
            others = there[there < its[-1]][-window:]
            if len(np.unique(canary.entity[its])) >= GUARDED and error[others].sum() <= POLICY.guard_share * max(len(others), 1):
                return int(at[place + window - 1])
    return None


def z_test(canary: Canary, _: float) -> int | None:
    """The first peek at which the canary's error rate is higher at 1 %."""
    from scipy.stats import norm

    at = np.arange(999, REQUESTS, 200)
    n = np.cumsum(canary.challenger)[at]
    m = at + 1 - n
    x, y = (np.cumsum(canary.bad[0] & (canary.challenger == arm))[at] for arm in (True, False))
    pooled = (x + y) / (at + 1)
    spread = np.sqrt(pooled * (1 - pooled) * (1 / np.maximum(n, 1) + 1 / np.maximum(m, 1)))
    over = (x / np.maximum(n, 1) - y / np.maximum(m, 1)) > norm.ppf(0.99) * np.maximum(spread, 1e-12)
    return int(at[over][0]) if over.any() else None


def window(canary: Canary, rate: float) -> int | None:
    """The end of the third window of the canary's 1,000 requests that is over its limit."""
    at = np.flatnonzero(canary.challenger)
    whole = len(at) // 1_000
    errors = canary.bad[0][at[: whole * 1_000]].reshape(whole, 1_000).sum(axis=1) if whole else np.empty(0)
    over = np.flatnonzero((errors > 1.5 * rate * 1_000) & (errors >= 3))
    return int(at[over[2] * 1_000 + 999]) if len(over) >= 3 else None


POPULATIONS: Mapping[str, Callable[[tuple[int, ...], float, float, int], Canary]] = {"few": few, "many": many}
JUDGES: Mapping[str, Callable[[Canary, float], int | None]] = {"ours": ours, "counted": counted, "z": z_test, "window": window}

if __name__ == "__main__":
    main(sys.argv[1:])
