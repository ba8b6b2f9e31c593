"""Pillar 5: drift, quality, verdict; registry and alias."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np

from pillars.answers.history import facts_of
from pillars.bundle.bundle import Bundle
from pillars.data import collection
from pillars.errors import BundleRefused, DataCorrupt
from pillars.monitoring import drift as drifts
from pillars.monitoring import lineage, origin, performance, registry, retraining, worktree
from pillars.training import metrics
from pillars.vocabulary import Candidate, DataVersion, Decision, Drift, Json, ModelVersion, Scorecard, Scored, Verdict
from tasks import show
from tasks.opened import Opened
from tasks.policy import step


@step("compare with reference", retries=1)
def drift(opened: Opened, period: str, version: DataVersion) -> Drift | None:
    """Drift of the period's rows against all earlier ones; None for the first period. An alarm gets a page."""
    earlier = [p for p in version.periods if p < period]
    if not earlier:
        return None
    read, columns = opened.read(version), drifts.compared(opened.config)
    reference, current = (read("rows", periods, columns) for periods in (earlier, [period]))
    return drifts.compare(opened.stores, opened.config, period, reference, current, f"{earlier[0]} to {earlier[-1]}")


@step("judge realized quality")
def quality(opened: Opened, period: str, version: DataVersion) -> Scorecard | None:
    """Quality of the predictions whose outcomes came with this period; None before the first scored one. Raises: DataCorrupt."""
    of = opened.outcomes_period(period)
    entry = opened.past.latest("score", of, "accept") if of else None
    if entry is None or of is None:
        return None
    scored, config = facts_of(entry, Scored), opened.config
    try:
        predictions = collection.read_collected(opened.stores, scored.path, scored.sha256)
    except DataCorrupt as err:
        raise DataCorrupt(err.file, err.expected, err.found, f"Write it again (pillars score {opened.name} {of}).") from err
    outcomes = opened.read(version)("outcomes", [of])
    drifts.quality(opened.stores, config, of, performance.usable(config, performance.joined(config, predictions, outcomes)))

    def judge(
        y: np.ndarray, p: np.ndarray, blocks: np.ndarray, weights: np.ndarray | None = None, bounds: np.ndarray | None = None
    ) -> Scorecard:
        return metrics.card(config, f"v{scored.model_version}", of, y, p, blocks, scored.threshold, weights, bounds)

    return performance.realized(config, predictions, outcomes, judge)


@step("decide on retraining")
def verdict(opened: Opened, period: str, drift: Drift | None, quality: Scorecard | None) -> Verdict:
    """The retraining policy's answer."""
    if opened.outcomes_period(period) is None:
        return Verdict(opened.name, period, False, "no outcomes have come yet", None, drift, quality)
    rollout, promoted = opened.answering(), opened.past.latest("promote", outcome="accept")
    index = opened.periods.index(period)
    return retraining.verdict(
        opened.config,
        period,
        index=index,
        history=opened.past.realized(before=period),
        drift=drift,
        quality=quality,
        reference=None,
        periods_since_promotion=index - opened.periods.index(str(promoted.inputs["period"])) if promoted else None,
        champion=rollout.champion.version if rollout else None,
    )


def allowed(opened: Opened, candidate: Candidate) -> Decision:
    """The decision on a candidate that passed or did not; refused, too, where the YAML asks for committed code and it was not.

    Raises:
        BundleRefused: its bundle is gone or was changed.
    """
    if not candidate.releasable or opened.config.registry.dirty_tree == "record":
        return candidate.releasable
    committed = lineage.committed(Bundle.load(opened.stores.var / candidate.path).lineage)
    return candidate.releasable if committed else committed


@step("register model", retries=2)
def register(opened: Opened, candidate: Candidate) -> ModelVersion:
    """The candidate as a version of the MLflow registry; the same bundle is registered once. Raises: BundleRefused."""
    bundle = opened.stores.var / candidate.path
    try:
        loaded = Bundle.load(bundle).held_to(candidate.sha256, candidate.digest)
    except BundleRefused as err:
        raise BundleRefused(err.path, err.problem, f"make it again (pillars train {opened.name} {candidate.period})") from err
    tags = {
        "data.version": candidate.data_version,
        "data.commit": opened.past.ingested(candidate.period).commit,
        "fitted_through": candidate.fitted_through,
        "recipe": json.dumps(candidate.recipe.to_json()),
        "seed": str(candidate.recipe.seed),
        **origin.tags_of(loaded.lineage),
    }
    patch = worktree.kept(opened.stores, opened.name, str(loaded.lineage.get("patch", "")))
    beside = {registry.PATCH: patch} if patch else {}
    return replace(registry.register(opened.stores, opened.config, candidate.run_id, bundle, tags, beside), digest=candidate.digest)


@step("move alias", retries=2)
def follow(opened: Opened) -> None:
    """Let MLflow's alias follow the ledger. One that somebody moved by hand is put back; if the YAML says ask, the request is on record."""
    with registry.writing(opened.stores, opened.name):
        if champions := opened.past.champions():
            _ask_for(opened, registry.external_change(opened.stores, opened.config, champions), champions)
        registry.follow(opened.stores, opened.name, opened.past.champion)


def _ask_for(opened: Opened, found: int | None, champions: list[int]) -> None:
    """Put somebody's wish for version `found` on record."""
    if found is not None and opened.config.registry.external_changes == "ask":
        passed = any(v.version == found for v in opened.past.versions())
        reason = registry.request(opened.name, found, champions[0], passed=passed)
        inputs: dict[str, Json] = {"asked_for": found, "champion": champions[0], "after": len(champions)}
        opened.record("alias", inputs, ("inconclusive", reason), inputs)
        show.request(opened.name, reason)
