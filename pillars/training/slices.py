"""Where a challenger does worst: judged rows told apart by declared columns, and by a shallow tree on their losses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from pillars.config import Project
from pillars.training.metrics import LEVEL, average, drawn, interval, losses, pooled, ratio
from pillars.training.rows import Rows, coded
from pillars.vocabulary import Condition, Decision, Slice

DEPTH = 3  # of the trees
MOST_CATEGORIES = 20  # of a feature, the most frequent ones: what a tree may split by
SHOWN = 12  # slices of the highest increase, and as many of the highest loss


@dataclass(frozen=True)
class Cut:
    """A slice's name and its rows, bool, shape (n,)."""

    name: str
    found: Literal["declared", "discovered"]
    rows: np.ndarray


def sliced(project: Project, judged: Rows, sides: Mapping[str, np.ndarray]) -> tuple[tuple[Slice, ...], int]:
    """The slices in which the challenger does worst, highest increase first, and the number of all that were judged.

    `sides`: scores of the judged rows by model, as `metrics.losses` takes them: the challenger, and what it is held against, which is the
    champion or, without one, the first comparator. Rows count by their weights. Intervals are over blocks. `surely` is a lower bound at
    95 % over all slices together (Bonferroni: what Holm's method asks of the worst one), from Student's t over the slice's blocks.
    """
    others = [name for name in sides if name != "challenger"]  # the champion first, then the comparators in the order of the YAML
    if not others:
        return (), 0
    against = others[0]
    loss, other = (losses(project.gate.loss, judged.y, sides[name]) for name in ("challenger", against))
    cuts = [
        cut for cut in (*_declared(project, judged), *_discovered(project, judged, loss, loss - other)) if _supported(project, judged, cut)
    ]
    group, groups = pooled(judged.blocks, project.search.seed)
    draws = drawn(groups, project.search.seed, project.gate.resamples)
    found = [_slice(cut, judged, loss, other, against, group, draws, len(cuts)) for cut in cuts]
    harmed = sorted(found, key=lambda one: (-one.increase.value, one.name))
    poorest = sorted(found, key=lambda one: (-one.loss.value, one.name))[:SHOWN]
    surest = sorted(found, key=lambda one: (-one.surely, one.name))[:1]  # the condition's
    shown = {one.name for one in (*harmed[:SHOWN], *poorest, *surest)}
    return tuple(one for one in harmed if one.name in shown), len(found)


def worst(project: Project, found: tuple[Slice, ...], judged: int) -> Iterator[Condition]:
    """`gate.worst_slice`: refused where the loss of any slice surely lies above the other's by more than the margin."""
    margin = project.gate.worst_slice
    if margin is None:
        return
    if not found:
        support = f"{project.slices.min_rows} rows and {project.slices.min_blocks} blocks"
        yield Condition("worst slice", Decision.inconclusive(f"no slice has {support}"))
        return
    one = max(found, key=lambda each: each.surely)
    reason = (
        f"{one.name}: {project.gate.loss} increase over the {one.against} {one.increase}, surely above {one.surely:.4f} in all {judged}"
    )
    yield Condition("worst slice", Decision.by(one.surely <= margin, f"{reason} slices together, margin {margin:g}, {one.rows} rows"))


def _slice(
    cut: Cut, judged: Rows, loss: np.ndarray, other: np.ndarray, against: str, group: np.ndarray, draws: np.ndarray, tests: int
) -> Slice:
    from scipy.special import stdtrit

    inside, groups = group[cut.rows], draws.shape[1]
    weights = None if judged.weights is None else judged.weights[cut.rows]
    counted = draws @ np.bincount(inside, weights=weights, minlength=groups)
    held = len(np.unique(inside))

    def resampled(values: np.ndarray) -> np.ndarray:
        sums = np.bincount(inside, weights=values[cut.rows] * (1.0 if weights is None else weights), minlength=groups)
        return ratio(draws @ sums, counted)

    again = resampled(loss - other)
    its, others = (interval(average(v[cut.rows], weights), resampled(v), held) for v in (loss, other))
    increase = interval(average((loss - other)[cut.rows], weights), again, held)
    error = float(np.nanstd(again)) * np.sqrt(held / (held - 1)) if held > 1 else np.inf
    quantile = float(stdtrit(max(held - 1, 1), 1 - (1 - LEVEL) / 2 / tests))
    surely = increase.value - quantile * error
    blocks = len(np.unique(judged.blocks[cut.rows]))
    return Slice(cut.name, cut.found, int(cut.rows.sum()), blocks, its, against, others, increase, float(surely))


def _supported(project: Project, judged: Rows, cut: Cut) -> bool:
    few = cut.rows.sum() < project.slices.min_rows
    return not few and len(np.unique(judged.blocks[cut.rows])) >= project.slices.min_blocks and cut.rows.sum() < len(cut.rows)


def _declared(project: Project, judged: Rows) -> Iterator[Cut]:
    known = {name: coded(judged.aside[name]) for name in project.slices.columns}
    for name, (values, place) in known.items():
        for code in _large(project, place):
            yield Cut(f"{name} = {values[code]}", "declared", place == code)
    for first, second in project.slices.pairs:
        (ones, at), (others, also) = known[first], known[second]
        place = at * len(others) + also
        for code in _large(project, place):
            one, other = divmod(int(code), len(others))
            yield Cut(f"{first} = {ones[one]}, {second} = {others[other]}", "declared", place == code)


def _large(project: Project, place: np.ndarray) -> np.ndarray:
    """Codes with rows enough: of a column of many values the others are not even looked at."""
    codes, counts = np.unique(place, return_counts=True)
    return codes[counts >= project.slices.min_rows]


def _discovered(project: Project, judged: Rows, loss: np.ndarray, increase: np.ndarray) -> Iterator[Cut]:
    """Leaves of two trees, on the loss and on its increase, found on every other block and judged on the blocks between."""
    columns = [name for name in judged.columns if name not in project.confidential]
    odd = np.unique(judged.blocks, return_inverse=True)[1] % 2 == 1
    least = project.slices.min_rows
    if not project.slices.discover or not columns or (~odd).sum() < 2 * least or odd.sum() < least:
        return
    from sklearn.tree import DecisionTreeRegressor

    asked, names = _questions(judged, columns)
    seen = set()
    for values in (loss, increase):
        tree = DecisionTreeRegressor(max_depth=DEPTH, min_samples_leaf=least, random_state=0).fit(asked[~odd], values[~odd]).tree_
        leaf = tree.apply(asked)
        for node, path in _leaves(tree, names):
            if path and path not in seen:
                seen.add(path)
                yield Cut(path, "discovered", (leaf == node) & odd)


def _questions(judged: Rows, columns: list[str]) -> tuple[np.ndarray, list[tuple[str, str | None]]]:
    """What a tree may split by, float32 (n, questions), a missing number below all others; and (column, category or None) of each."""
    asked, names = [], list[tuple[str, str | None]]()
    for name in columns:
        column = judged.columns[name]
        if column.dtype.kind != "O":
            known = column[np.isfinite(column)]
            least = float(known.min()) - 1 if len(known) else 0.0
            asked.append(np.where(np.isfinite(column), column, least))
            names.append((name, None))
            continue
        values, counts = np.unique(column.astype(str), return_counts=True)
        for value in values[np.argsort(-counts, kind="stable")][:MOST_CATEGORIES]:
            asked.append(column.astype(str) == value)
            names.append((name, str(value)))
    return np.clip(np.column_stack(asked), -1e30, 1e30).astype(np.float32), names


def _leaves(tree: object, names: list[tuple[str, str | None]]) -> Iterator[tuple[int, str]]:
    """Each leaf's number and its path in words; "" of a tree that never split."""
    left, right, feature, threshold = (getattr(tree, name) for name in ("children_left", "children_right", "feature", "threshold"))
    waiting: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    while waiting:
        node, path = waiting.pop()
        if left[node] < 0:
            yield node, " and ".join(path)
            continue
        name, category = names[feature[node]]
        low, high = f"{name} <= {threshold[node]:.4g}", f"{name} > {threshold[node]:.4g}"
        if category is not None:
            low, high = f"{name} is not {category}", f"{name} = {category}"
        waiting += [(int(right[node]), (*path, high)), (int(left[node]), (*path, low))]
