"""Rates at the threshold by group of people, and how far the groups are apart: one group-by of confusion sums, whatever is asked."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from pillars.config import FairnessRules, Limit, Project
from pillars.training.metrics import drawn, interval, pooled, ratio
from pillars.training.rows import Rows, coded
from pillars.vocabulary import Condition, Decision, Fairness, Group

SELECTION, TPR, FPR = "selection_rate", "tpr", "fpr"
OF = {"demographic_parity_difference": SELECTION, "equal_opportunity_difference": TPR, "fpr_difference": FPR}


def compared(project: Project, judged: Rows, p: np.ndarray, threshold: float) -> tuple[Fairness, ...]:
    """Groups by each declared column, and by each two of them crossed, of a binary target.

    A difference is the largest rate of a group less the smallest, as fairlearn's; equalised odds the larger one of tpr's and fpr's.
    Rows count by their weights, and a group is large enough by its rows.
    """
    rules = project.fairness
    acted, positive = p >= threshold, judged.y > 0.5
    sums = np.stack([np.ones(len(p)), positive, acted, acted & positive, acted & ~positive]).astype(np.float64)
    sums = np.concatenate([sums[:2], sums if judged.weights is None else sums * judged.weights])
    group, groups = pooled(judged.blocks, project.search.seed)
    draws = drawn(groups, project.search.seed, project.gate.resamples)
    known = {name: _coded(project, name, judged.aside[name]) for name in rules.groups}
    found = [_compared(rules, name, names, place, sums, group, draws) for name, (names, place) in known.items()]
    for one, other in combinations(known, 2):
        (ones, at), (others, also) = known[one], known[other]
        names = [f"{first}, {second}" for first in ones for second in others]
        found.append(_compared(rules, f"{one} x {other}", names, at * len(others) + also, sums, group, draws))
    return tuple(found)


def held(project: Project, found: tuple[Fairness, ...], period: str) -> Iterator[Condition]:
    """`fairness.limits` of each column's groups: the whole interval lies below the limit, or a waiver holds for the judged period."""
    from pillars.training.conditions import within

    rules = project.fairness
    for fairness in (one for one in found if one.by in rules.groups):
        for metric, most in rules.limits.items():
            measure = fairness.differences.get(metric)
            said = Decision.inconclusive(f"fewer than two groups of {period} have {rules.min_rows} rows and outcomes enough")
            yield Condition(
                f"{metric} of {fairness.by}",
                _waived(rules, fairness.by, metric, period, within(Limit(most=most), measure) if measure else said),
            )


def _waived(rules: FairnessRules, group: str, metric: str, period: str, said: Decision) -> Decision:
    """What a limit says, or its waiver, as long as that lasts. It counts in periods, so that a repeat says the same on any day.

    Periods are compared by their names, so one that is written otherwise (2013-6 for 2013-06) ends no waiver: it has none.
    """
    waivers = [w for w in rules.waivers if (w.group, w.metric) == (group, metric)]
    if said or not waivers:
        return said
    meant = [w for w in waivers if _form(w.until) == _form(period)]
    if not meant:
        return Decision(
            said.outcome, f"{said.reason}; the waiver by {waivers[0].by} ends with {waivers[0].until}, no period such as {period}"
        )
    last = max(meant, key=lambda w: w.until)
    if last.until < period:
        return Decision(said.outcome, f"{said.reason}; the waiver by {last.by} ended with {last.until}")
    return Decision.accept(f"{said.reason}; {said.outcome}, waived until {last.until} by {last.by}: {last.reason}")


def _form(period: str) -> str:
    return re.sub(r"\d", "0", period)


def _coded(project: Project, name: str, column: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Names of the groups, and each row's group. A confidential column's values are numbered in their order, and not named."""
    values, place = coded(column)
    if name in project.confidential:
        return [f"{name} #{number}" for number in range(1, len(values) + 1)], place
    return [f"{name} = {value}" for value in values], place


def _compared(
    rules: FairnessRules, by: str, names: list[str], place: np.ndarray, sums: np.ndarray, group: np.ndarray, draws: np.ndarray
) -> Fairness:
    """`sums`, float64 (7, n): rows and positives as they are, then both, the rows acted on, hits and false alarms as they count."""
    shape = (draws.shape[1], len(names))
    cell = group * shape[1] + place
    rows, positives, weight, true, acted, hits, alarms = (
        np.bincount(cell, weights=s, minlength=shape[0] * shape[1]).reshape(shape) for s in sums
    )
    of = {SELECTION: (acted, weight, rows, rules.min_rows), TPR: (hits, true, positives, rules.min_outcomes)}
    of[FPR] = (alarms, weight - true, rows - positives, rules.min_outcomes)
    large = np.flatnonzero(rows.sum(axis=0) >= rules.min_rows)
    blocks = (rows > 0).sum(axis=0)
    whole, again, given = {}, {}, {}
    for name, (over, under, support, least) in of.items():
        given[name] = large[support[:, large].sum(axis=0) >= least]
        whole[name] = ratio(over.sum(axis=0), under.sum(axis=0))
        again[name] = ratio(draws @ over, draws @ under)
    groups = []
    for one in large:
        rates = {n: interval(float(whole[n][one]), again[n][:, one], int(blocks[one]), 0, 1) for n in of if one in given[n]}
        groups.append(Group(names[one], int(rows[:, one].sum()), int(positives[:, one].sum()), rates))
    apart = {d: (_apart(whole[n][given[n]]), _apart(again[n][:, given[n]])) for d, n in OF.items() if len(given[n]) > 1}
    if {"equal_opportunity_difference", "fpr_difference"} <= apart.keys():
        (tpr, tprs), (fpr, fprs) = apart["equal_opportunity_difference"], apart["fpr_difference"]
        apart["equalised_odds_difference"] = (np.maximum(tpr, fpr), np.maximum(tprs, fprs))
    differences = {name: interval(float(value), resampled, shape[0], 0, 1) for name, (value, resampled) in apart.items()}
    small = int((rows.sum(axis=0) > 0).sum()) - len(large)
    return Fairness(by, tuple(groups), differences, small)


def _apart(rates: np.ndarray) -> np.ndarray:
    """Largest less smallest along the last axis; NaN where one is."""
    return np.asarray(rates.max(axis=-1) - rates.min(axis=-1))
