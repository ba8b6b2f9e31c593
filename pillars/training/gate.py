"""The gate: two questions on rows that neither side has trained on. Is the new recipe better? Is the refitted model not worse?"""

from __future__ import annotations

import numpy as np

from pillars.config import Gate
from pillars.training.metrics import losses, mean
from pillars.vocabulary import Decision, Measure, Outcome

MIN_BLOCKS = 5  # an interval over fewer blocks is too narrow to believe


def paired_gain(
    gate: Gate,
    y: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    blocks: np.ndarray,
    seed: int,
    weights: np.ndarray | None = None,
) -> Measure:
    """How much lower the challenger's loss is per row, in units of `gate.loss`, with its interval over blocks; above 0 it is better.

    y, both sides' scores (as `metrics.losses` takes them) and blocks have n rows, n > 0; so have weights, by which rows count.
    """
    gain = losses(gate.loss, y, champion) - losses(gate.loss, y, challenger)
    return mean(gain, blocks, seed, gate.resamples, weights)


def judge_recipe(
    gate: Gate,
    y: np.ndarray,
    champion: np.ndarray,
    challenger: np.ndarray,
    blocks: np.ndarray,
    seed: int,
    against: str,
    weights: np.ndarray | None = None,
) -> Decision:
    """Accept the challenger's recipe when its gain is surely above the margin, refuse it when surely not; else nobody can say."""
    if few := too_few(gate, blocks):
        return Decision.inconclusive(few)
    gain = paired_gain(gate, y, champion, challenger, blocks, seed, weights)
    return Decision(outcome(gain, gate.margin), f"{gate.loss} gain over {against} {gain}, margin {gate.margin:g}, {len(y)} rows")


def outcome(gain: Measure, margin: float) -> Outcome:
    """What a gain says of a recipe: nobody can say where its interval straddles the margin."""
    if gain.low > margin:
        return "accept"
    return "refuse" if gain.high <= margin else "inconclusive"


def judge_refresh(
    gate: Gate, y: np.ndarray, live: np.ndarray, twin: np.ndarray, blocks: np.ndarray, seed: int, weights: np.ndarray | None = None
) -> Decision:
    """Accept the twin when it is surely not worse than the live champion by the refresh margin, refuse when it surely is."""
    if few := too_few(gate, blocks):
        return Decision.inconclusive(few)
    if np.array_equal(live, twin):
        return Decision.accept(f"the twin is the live champion: equal scores on {len(y)} rows")
    increase = paired_gain(gate, y, twin, live, blocks, seed, weights)
    reason = f"{gate.loss} increase over the live champion {increase}, margin {gate.refresh_margin:g}, {len(y)} rows"
    if increase.low <= gate.refresh_margin <= increase.high:
        return Decision.inconclusive(reason)
    return Decision.by(increase.high < gate.refresh_margin, reason)


def judge_release(
    gate: Gate,
    margin: float,
    y: np.ndarray,
    replaced: np.ndarray,
    released: np.ndarray,
    blocks: np.ndarray,
    seed: int,
    against: str,
    weights: np.ndarray | None = None,
) -> tuple[Decision, Measure | None]:
    """Refuse a release that is surely worse by more than `margin` than the one that it replaced, accept it when surely not. With how much
    higher its loss is per row, where the rows say so."""
    if few := too_few(gate, blocks):
        return Decision.inconclusive(few), None
    for side, said in (("its", released), (f"{against}: its", replaced)):
        if none := int((~np.isfinite(said)).reshape(len(y), -1).any(axis=1).sum()):
            return Decision("refuse" if side == "its" else "inconclusive", f"{none} of {side} {len(y)} scores are no numbers"), None
    increase = paired_gain(gate, y, released, replaced, blocks, seed, weights)
    reason = f"{gate.loss} increase over {against} {increase}, margin {margin:g}, {len(y)} rows"
    if increase.low <= margin < increase.high:
        return Decision.inconclusive(reason), increase
    return Decision.by(increase.high <= margin, reason), increase


def too_few(gate: Gate, blocks: np.ndarray) -> str:
    """Why these rows decide nothing; empty when they may."""
    if len(blocks) < gate.min_rows:
        return f"{len(blocks)} judged rows, {gate.min_rows} needed"
    distinct = len(np.unique(blocks))
    return f"{distinct} blocks of judged rows, {MIN_BLOCKS} needed" if distinct < MIN_BLOCKS else ""
