"""The catalogue of faults, what each has to come to under each strategy, and whether a play came to that."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb
from typing import get_args

from pillars.config_rollout import Strategy
from pillars.vocabulary import Drilled, Expected, Fault, Played

STRATEGIES: tuple[Strategy, ...] = get_args(Strategy)
FAULTS: tuple[Fault, ...] = get_args(Fault)
CONTROL: Fault = "none"
BY_LABELS = ("wrong scores", "unit change", "flipped labels", "late labels")  # seen by outcomes alone
LUCK = 0.01  # a clean run may be taken back by luck; more of them than this chance allows are no luck

UNWATCHED = "nothing is compared after a direct deployment; a person takes it back (pillars rollback)"
NUMBERS = "of numbers nothing is wrong, see rollouts.md"
HARMLESS = {
    "none": "there is no fault",
    "flipped labels": "both arms are wrong alike",
    "registry down": "who answers is in a file; the alias follows later",
    "half-written policy": "what ran goes on; restored from the record",
    "killed controller": "the next one goes on",
    "killed worker": "another is started; what was acknowledged is on record",
    "full disk": "refused with 503 and not lost; goes on once there is room",
    "clock jump": "shares are watched by requests, not by the clock alone",
}
HARM = {
    "errors": "more of its requests fail",
    "latency": "more of its answers are slow",
    "wrong scores": "it is wrong more often",
    "unit change": "it is wrong more often",
    "late labels": "it is wrong more often, and that is known late",
    "corrupt bundle": "it does not load when the server is started again",
}


def expected(strategy: Strategy, fault: Fault, labelled: bool, why_not: str = "") -> Expected:
    """What a fault must come to. `labelled`: whether answers of this task can be wrong; `why_not`: why this model cannot play it."""
    if strategy == "direct" and (fault in ("errors", "latency") or fault in BY_LABELS):
        return Expected("not judged", UNWATCHED)
    if fault in BY_LABELS and not labelled:
        return Expected("not judged", NUMBERS)
    if why_not:
        return Expected("not judged", why_not)
    if fault == "latency" and strategy == "shadow":
        return Expected("harmless", "clients wait for the champion alone; a shadow's own latency is not judged")
    if fault == "flipped labels" and strategy == "blue-green":
        return Expected("either", "compared with the champion of before, whose labels were right: a false alarm, and a safe one")
    if fault == "corrupt bundle" and strategy == "direct":
        return Expected("harmless", "an earlier champion answers until the release is mended")
    if fault in HARM:
        return Expected("taken back", HARM[fault])
    return Expected("harmless", HARMLESS[fault])


def problems(played: Played) -> tuple[str, ...]:
    """What does not hold of a play; () where all does, and of what nobody judges."""
    wanted = played.expected.outcome
    if wanted == "not judged":
        return ()
    found = list(played.unsafe)
    if not played.injected:
        found.append("the fault was not seen, so nothing is proved")
    if wanted == "taken back" and played.end != "taken back":
        found.append(f"it ended {played.end or 'nowhere'}, and had to be taken back")
    if wanted != "harmless" and played.end == "taken back" and played.seconds is None:
        found.append("nobody noticed")
    if wanted == "harmless" and played.fault not in (CONTROL, "clock jump") and played.end == "taken back":
        found.append("a good release was taken back for it")
    return tuple(found)


def false_alarms(plays: Sequence[Played]) -> tuple[int, int]:
    """Clean runs that were taken back for harm, of how many that were judged."""
    clean = [one for one in plays if one.fault == CONTROL and one.strategy != "direct"]
    return sum(one.end == "taken back" for one in clean), len(clean)


def holds(drilled: Drilled, alpha: float) -> bool:
    """Whether all plays came to what they had to, and no more clean runs were taken back than luck at `alpha` allows."""
    alarms, clean = false_alarms(drilled.plays)
    return not any(problems(one) for one in drilled.plays) and (alarms == 0 or at_least(alarms, clean, alpha) >= LUCK)


def at_least(k: int, n: int, chance: float) -> float:
    """The probability of `k` or more of `n`, each with `chance`."""
    return 1 - sum(comb(n, i) * chance**i * (1 - chance) ** (n - i) for i in range(k))
