"""Pillar 4: export, switch, score."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pyarrow as pa

from pillars.bundle.encoder import Words
from pillars.data import sealing
from pillars.deployment import release, scoring, traffic
from pillars.development import features
from pillars.errors import BundleRefused, ChampionOutgrown, DataCorrupt
from pillars.monitoring import registry
from pillars.vocabulary import DataVersion, ModelVersion, Release, Rollout, Scored
from tasks.opened import Opened
from tasks.policy import step

GONE = "The release that made it answers no longer; restore the file from a backup."


@step("export release", retries=2)
def export(opened: Opened, version: ModelVersion) -> Release:
    """A registered version as an immutable folder. Raises: BundleRefused."""
    source = registry.bundle_dir(opened.stores, opened.name, version.version)
    try:
        return release.export(opened.stores, opened.config, version, source)
    except BundleRefused as err:
        trained = opened.past.trained(version)
        remedy = f"put MLflow's files back (var/{trained.path} has them too), then pillars deploy {opened.name}" if trained else err.remedy
        raise BundleRefused(err.path, err.problem, remedy) from err


@step("switch traffic")
def switch(opened: Opened, to: Release, reason: str) -> Rollout:
    """All traffic to a release; a repeat changes nothing, a race is lost with an error."""
    recorded = opened.past.rollout()  # before the policy, which is written first
    now = traffic.read(opened.stores, opened.name)
    instead = None if traffic.believed(now, recorded, opened.past.versions()) else recorded
    if recorded is None:
        opened.answering()  # refuses what nobody put there: there is nothing to go by instead
    return traffic.switch(opened.stores, opened.config, to, now.generation if now else 0, reason, instead)


def kept(opened: Opened, scored: Scored) -> bool:
    """Whether the predictions are still the bytes that were put on record."""
    return not scored.path or _found(opened, scored) == scored.sha256


@step("score batch")
def score(opened: Opened, period: str, version: DataVersion, lost: Scored | None = None) -> Scored:
    """The period's predictions by the release that answers now; none when nobody does.

    Raises:
        ChampionOutgrown: the rows no longer have what the champion takes.
        DataCorrupt: those on record are `lost`, and cannot be made again.
    """
    rollout = opened.answering()
    if lost and (rollout is None or lost.reason != _reason(lost, rollout)):  # before anything is written
        raise DataCorrupt(lost.path, lost.sha256, _found(opened, lost), GONE)
    if rollout is None:
        return Scored(opened.name, period, None, version.id, 0, "", "", "no champion yet")
    pieces = opened.pieces(version, "rows", period, scoring.PIECE)
    first = next(pieces)
    bundle = release.load(opened.stores, rollout.champion)
    takes = features.taken_by(opened.config, bundle.encoder)
    if gone := features.lacking(takes, first):
        raise ChampionOutgrown(opened.name, period, rollout.champion.version, gone)

    def design(rows: pa.Table) -> Mapping[str, np.ndarray | Words]:
        columns = features.seen(takes, rows)
        return features.seen(opened.config, rows) | columns if rollout.trial else columns  # who is tried takes what the YAML says today

    named = (opened.config.rollout.entity, opened.config.rollout.slice) if rollout.trial else ()
    entity = tuple(name for name in named if name and name in first.column_names)
    key = tuple(
        dict.fromkeys((*opened.config.key, *opened.config.of("time"), *opened.config.of("weight"), *entity))
    )  # block and weight a row is judged by, and whom it counts for
    whole, beside = itertools.chain([first], pieces), _beside(opened, rollout)
    scored = scoring.score(opened.stores, opened.name, period, whole, design, bundle, rollout, version.id, key, opened.write, beside)
    if lost and scored.sha256 != lost.sha256:
        raise DataCorrupt(lost.path, lost.sha256, _found(opened, lost), GONE)
    return replace(scored, reason=_reason(scored, rollout), threshold=bundle.threshold)


def _beside(opened: Opened, rollout: Rollout) -> scoring.Beside | None:
    """What is on trial, with who an entity is. One that does not load answers nobody, and the champion does."""
    if rollout.trial is None:
        return None
    column = opened.config.rollout.entity
    try:
        bundle = release.load(opened.stores, rollout.trial.challenger)
    except BundleRefused:
        return None
    return scoring.Beside(bundle, (column,) if column else tuple(opened.config.key))


def _found(opened: Opened, scored: Scored) -> str:
    """The hash of the predictions that are there."""
    if not (opened.stores.var / scored.path).is_file():
        return "no file"
    try:
        return hashlib.sha256(sealing.read(opened.stores, scored.path)).hexdigest()
    except DataCorrupt:
        return "a seal that does not hold"


def _reason(scored: Scored, rollout: Rollout) -> str:
    """Whose predictions they are; on record this names the generation, too."""
    return f"{scored.rows} rows by v{rollout.champion.version}, generation {rollout.generation}"
