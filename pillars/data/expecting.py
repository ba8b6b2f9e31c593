"""Expectations proposed from accepted batches: hard facts strictly, categories by their unseen share, statistics by control limits.

Limits copied from one good month alarm on a quarter of all checks in every later one. A statistic's limits here are its mean over the
last batches and as many standard deviations as `k` means when the deviation itself is known from few batches only: the same share
of false alarms, by Student's t with n - 1 degrees of freedom, times sqrt(1 + 1/n) for the new batch (Hahn and Meeker, Statistical
Intervals, prediction interval of one observation).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from pydantic import JsonValue

from pillars.config import Project
from pillars.config_data import Expectation
from pillars.data.figures import Figures, Past
from pillars.data.suite import Kind

FACTS_FROM, STATISTICS_FROM = 3, 6  # batches before anything is claimed
UNSEEN_MARGIN, NULL_MARGIN = 0.01, 0.01  # shares of rows, beside what was seen
MARK = "proposed from"  # how the note of each begins; what bears it is replaced by the next proposal


@dataclass(frozen=True)
class Limits:
    """How statistics are bounded: over how many of the last batches, at how many standard deviations."""

    over: int = 12
    k: float = 4.0


@dataclass(frozen=True)
class Bound:
    """One proposed expectation, and what it rests on."""

    expectation: Expectation
    basis: Literal["fact", "category", "statistic"]


def propose(project: Project, kind: Kind, past: Sequence[Past], limits: Limits) -> tuple[Bound, ...]:
    """Bounds of one table from its accepted batches, oldest first; fewer than three claim nothing."""
    past = [batch for batch in past if batch.rows]
    if len(past) < FACTS_FROM:
        return ()
    found = list(_rows(kind, past, limits))
    for name in past[-1].columns:
        if name in project.key and project.columns[name].type in ("int", "text"):
            continue
        seen = [batch.columns[name] for batch in past if name in batch.columns]
        if len(seen) == len(past):
            rows = [batch.rows for batch in past]
            found += [
                *_facts(kind, name, seen, past),
                *_categories(kind, name, seen, past),
                *_statistics(kind, name, seen, rows, past, limits),
            ]
    return tuple(found)


def _bound(
    basis: Literal["fact", "category", "statistic"], kind: Kind, what: str, why: str, past: Sequence[Past], **kwargs: JsonValue
) -> Bound:
    strict = basis == "fact"
    note = f"{MARK} {past[0].period} to {past[-1].period}: {why}"
    severity: Literal["critical", "warning"] = "critical" if strict else "warning"
    return Bound(Expectation(type=what, kwargs=kwargs, severity=severity, quarantine=strict, table=kind, note=note), basis)


def _facts(kind: Kind, name: str, seen: Sequence[Figures], past: Sequence[Past]) -> Iterator[Bound]:
    """What held in every row of every batch, and is about form or sign rather than about how much."""
    lengths = {(f.shortest, f.longest) for f in seen if f.longest is not None}
    if len(lengths) == 1 and (length := next(iter(lengths)))[0] == length[1]:
        yield _bound("fact", kind, "expect_column_value_lengths_to_equal", "every value is as long", past, column=name, value=length[0])
    if any(f.low is None or f.high is None for f in seen):
        return
    low, high = {f.low for f in seen}, {f.high for f in seen}
    between = "expect_column_values_to_be_between"
    if len(low) == len(high) == 1:
        a, b = _plain(low.pop()), _plain(high.pop())
        yield _bound("fact", kind, between, "every batch has the same ends", past, column=name, min_value=a, max_value=b)
    elif min(f.low for f in seen if f.low is not None) >= 0 and any(f.low == 0 for f in seen):
        yield _bound("fact", kind, between, "zero is reached, and nothing is below it", past, column=name, min_value=0)


def _categories(kind: Kind, name: str, seen: Sequence[Figures], past: Sequence[Past]) -> Iterator[Bound]:
    """All values so far; a later batch may bring twice the share of new ones that any batch has brought, and a margin."""
    sets = [f.values for f in seen if f.values is not None]
    if len(sets) < len(seen):
        return
    known: set[str] = set(sets[0])
    worst = 0.0
    for values in sets[1:]:
        worst = max(worst, sum(n for v, n in values.items() if v not in known) / max(sum(values.values()), 1))
        known |= set(values)
    mostly = _down(1 - 2 * worst - UNSEEN_MARGIN)
    if mostly > 0 and known:
        why = f"at most {worst:.3%} of a batch's rows had a value nobody had seen"
        kwargs: dict[str, JsonValue] = {"column": name, "value_set": [*sorted(known)], "mostly": mostly}
        yield _bound("category", kind, "expect_column_values_to_be_in_set", why, past, **kwargs)


def _rows(kind: Kind, past: Sequence[Past], limits: Limits) -> Iterator[Bound]:
    said = _control([float(batch.rows) for batch in past], [math.sqrt(batch.rows) for batch in past], limits)
    if said is not None:
        low, high, why = said
        kwargs: dict[str, JsonValue] = {"min_value": max(math.floor(low), 1), "max_value": math.ceil(high)}
        yield _bound("statistic", kind, "expect_table_row_count_to_be_between", f"rows {why}", past[-limits.over :], **kwargs)


def _statistics(
    kind: Kind, name: str, seen: Sequence[Figures], rows: Sequence[int], past: Sequence[Past], limits: Limits
) -> Iterator[Bound]:
    """Null share, mean and median. Limits that take in every value ever seen say nothing, and are left out."""
    last = past[-limits.over :]
    shares = [f.null_share for f in seen]
    if any(shares):
        errors = [math.sqrt(max(s, 1 / n) * (1 - min(s, 1 - 1 / n)) / n) for s, n in zip(shares, rows, strict=True)]
        if (said := _control(shares, errors, limits)) is not None and (mostly := _down(1 - said[1] - NULL_MARGIN)) > 0:
            kwargs: dict[str, JsonValue] = {"column": name, "mostly": mostly}
            yield _bound("statistic", kind, "expect_column_values_to_not_be_null", f"null share {said[2]}", last, **kwargs)
    lows, highs = [f.low for f in seen if f.low is not None], [f.high for f in seen if f.high is not None]
    if not lows or min(lows) == max(highs):
        return
    for what, values in (("mean", [f.mean for f in seen]), ("median", [f.median for f in seen])):
        given = [v for v in values if v is not None]
        said = _control(given, [f.mean_error for f in seen], limits) if len(given) == len(seen) else None
        if said is not None and (said[0] > min(lows) or said[1] < max(highs)):
            kwargs = {"column": name, "min_value": _rounded(said[0], said, -1), "max_value": _rounded(said[1], said, 1)}
            yield _bound("statistic", kind, f"expect_column_{what}_to_be_between", f"{what} {said[2]}", last, **kwargs)


def _control(values: Sequence[float], errors: Sequence[float], limits: Limits) -> tuple[float, float, str] | None:
    """Limits of the next batch's value from those before it (n,), and the numbers in words; None when they are too few.

    The deviation is never taken below the mean's own standard error in a batch: that much differs by chance alone.
    """
    from scipy.stats import norm, t

    last = np.asarray(values[-limits.over :], float)
    n = last.size
    if n < STATISTICS_FROM:
        return None
    deviation = max(float(last.std(ddof=1)), float(np.max(errors[-limits.over :])))
    factor = float(t.isf(norm.sf(limits.k), n - 1)) * math.sqrt(1 + 1 / n)
    centre = float(last.mean())
    words = f"{centre:.6g}, sd {deviation:.3g} over {n} batches, {factor:.1f} sd either way (k={limits.k:g})"
    return centre - factor * deviation, centre + factor * deviation, words


def _down(share: float) -> float:
    return math.floor(share * 1000) / 1000


def _plain(value: float | None) -> int | float | None:
    return int(value) if value is not None and float(value).is_integer() else value


def _rounded(value: float, said: tuple[float, float, str], way: int) -> float:
    """Outwards, to a hundredth of the limits' distance."""
    digits = 2 - math.floor(math.log10(max(said[1] - said[0], 1e-12)))
    step = 10.0**-digits
    return round((math.floor if way < 0 else math.ceil)(value / step) * step, max(digits, 0))
