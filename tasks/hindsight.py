"""Pillar 4: a release that turns out worse than the one it replaced goes back by itself, once outcomes say so."""

from __future__ import annotations

import numpy as np

from pillars.answers.history import TRAFFIC, facts_of
from pillars.data import versions
from pillars.deployment import release, rollout
from pillars.development import features
from pillars.errors import BundleRefused
from pillars.monitoring.ledger import Entry
from pillars.training import gate
from pillars.vocabulary import DataVersion, Decision, Json, Release, Rollout, Weighed
from tasks import rollouts
from tasks.opened import Opened
from tasks.policy import step

DECISION = "quality"  # its name on the ledger


def weigh(opened: Opened, period: str, version: DataVersion) -> Weighed | None:
    """What the outcomes that came with a period say of the champion beside the release it replaced, on record; None where nobody asks.

    It is asked of a version that a deployment or a healthy trial made champion, in its first `rollout.quality.periods` periods with
    outcomes, on rows that neither side was fitted on; of one that is pinned it is not, nor of one that was gone back to.

    Raises:
        BundleRefused: the champion does not load.
    """
    asked, of = opened.config.rollout.quality, opened.outcomes_period(period)
    if asked is None or of is None or of not in version.periods:
        return None
    rollouts.settle(opened)
    now, made = opened.answering(), _made(opened)
    if now is None or made is None or now.pin is not None or not now.previous:
        return None
    fitted = {v.version: v.fitted_through for v in opened.past.versions()}
    sides = (now.champion, now.previous[0])
    if any(fitted.get(side.version, of) >= of for side in sides):
        return None
    since = facts_of(made, Rollout).generation
    inputs: dict[str, Json] = {"period": of, "version": sides[0].version, "against": sides[1].version, "generation": since}
    earlier = {str(e.inputs["period"]) for e in opened.ledger.entries(opened.name, DECISION) if e.inputs["generation"] == since} - {of}
    if len(earlier) >= asked.periods:
        return None
    inputs["data_version"] = version.id
    weighed = opened.recall(DECISION, inputs, Weighed)
    if weighed is None:
        weighed = _weigh(opened, of, version, *sides, since)
        opened.record(DECISION, inputs, weighed.decision, weighed)
    return weighed


@step("weigh release")
def _weigh(opened: Opened, period: str, version: DataVersion, released: Release, replaced: Release, generation: int) -> Weighed:
    """Both on the same rows, paired, by blocks: as the gate compares."""
    config, said = opened.config, list[np.ndarray]()
    told = (opened.name, period, released.version, replaced.version, generation)
    for side in (released, replaced):
        try:
            bundle = release.load(opened.stores, side)
        except BundleRefused as err:
            if side == released:
                raise
            return Weighed(*told, Decision.inconclusive(f"v{side.version}, which it replaced, does not load: {err.problem}"), 0)
        takes = features.taken_by(config, bundle.encoder)
        others = takes.features.named - config.features.named
        if others and (gone := features.lacking(takes, opened.read(version)("rows", [period]))):
            return Weighed(*told, Decision.inconclusive(f"v{side.version} takes {gone[0]}, which the rows have no more"), 0)
        taken = takes if others else config  # what training reads anyway
        known = features.reader(taken, version.id, opened.read(version), versions.contents(opened.stores, version))([period])
        if len(known.y):
            said.append(bundle.scores(known.columns))
    if not said:
        return Weighed(*told, Decision.inconclusive(f"no row of {period} with a known outcome"), 0)
    sides, margin = (said[1], said[0]), config.rollout.quality.margin if config.rollout.quality else float("inf")
    against, y = f"v{replaced.version}, which it replaced", known.y
    decision, increase = gate.judge_release(config.gate, margin, y, *sides, known.blocks, config.search.seed, against, known.weights)
    reason = f"v{released.version} on the outcomes of {period}: {decision.reason}"
    return Weighed(*told, Decision(decision.outcome, reason), len(y), increase)


@step("take release back")
def take_back(opened: Opened, weighed: Weighed) -> Rollout | None:
    """The whole bundle that was replaced answers again, on record; None when nothing is to be moved: it is not the champion any more (this
    was done before, or somebody decided), it is pinned, or automation rests."""
    rollouts.settle(opened)
    now, made = opened.answering(), _made(opened)
    if now is None or made is None or facts_of(made, Rollout).generation != weighed.generation:
        return None
    return rollouts.revert(opened, now, f"v{weighed.version} is taken back: {weighed.decision.reason}")


def _made(opened: Opened) -> Entry | None:
    """The change that made the champion champion, if it was a promotion: a deployment, or the healthy end of a trial."""
    changes = [e for e in opened.ledger.entries(opened.name) if e.decision in TRAFFIC]
    before: Rollout | None = None
    made: Entry | None = None
    for entry in sorted(changes, key=lambda e: (facts_of(e, Rollout).generation, e.seq)):
        now = facts_of(entry, Rollout)
        if before is None or now.champion != before.champion:
            forth = entry.decision == "deploy" or (entry.decision == "rollout" and rollout.forth(before, now))
            made = entry if forth else None
        before = now
    return made
