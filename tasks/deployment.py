"""Pillar 4: export, switch, score."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import pyarrow as pa

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.data import sealing
from pillars.deployment import release, scoring, traffic
from pillars.development import features
from pillars.errors import BundleRefused, ChampionOutgrown, DataCorrupt, Overtaken
from pillars.monitoring import registry
from pillars.vocabulary import DataVersion, ModelVersion, Release, Rollout, Scored
from tasks import rollouts
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
    """The period's predictions by the release that answers now, and by what is on trial beside it; none when nobody does.

    With a release on trial the rows are its requests: it goes through its steps while they are asked in their order
    (`pillars.deployment.played`), and `tasks.rollouts.carry_out` moves the traffic so. Rows without a time are dealt once.

    Raises:
        ChampionOutgrown: the rows no longer have what the champion takes.
        DataCorrupt: those on record are `lost`, and cannot be made again.
        Overtaken: somebody else changed the traffic meanwhile; nothing was written.
    """
    rollout = opened.answering()
    if lost and (rollout is None or not _as_then(lost, rollout)):  # before anything is written
        raise DataCorrupt(lost.path, lost.sha256, _found(opened, lost), GONE)
    if rollout is None:
        return Scored(opened.name, period, None, version.id, 0, "", "", "no champion yet")
    pieces = opened.pieces(version, "rows", period, scoring.PIECE)
    first = next(pieces)
    bundle = release.load(opened.stores, rollout.champion)
    takes = features.taken_by(opened.config, bundle.encoder)
    if gone := features.lacking(takes, first):
        raise ChampionOutgrown(opened.name, period, rollout.champion.version, gone)
    beside, whole = _beside(opened, rollout), itertools.chain([first], pieces)
    made, moves = _made(opened, period, version, rollout, bundle, takes, beside, whole, first.column_names)
    if opened.answering() != rollout:
        raise Overtaken(f"the traffic policy of {opened.name}", rollout.generation, rollout.generation + 1)
    most = max(made.by, key=lambda one: (made.by[one], one == rollout.champion.version), default=rollout.champion.version)
    acted = bundle if most == rollout.champion.version or beside is None or beside.bundle is None else beside.bundle
    scored = scoring.keep(opened.stores, opened.name, period, most, version.id, made, opened.write)
    if lost and scored.sha256 != lost.sha256:
        raise DataCorrupt(lost.path, lost.sha256, _found(opened, lost), GONE)
    return replace(scored, reason=_reason(made.by, most, rollout, moves), threshold=acted.threshold, moves=moves)


def _made(
    opened: Opened,
    period: str,
    version: DataVersion,
    rollout: Rollout,
    bundle: Bundle,
    takes: Project,
    beside: scoring.Beside | None,
    pieces: Iterable[pa.Table],
    known: Sequence[str],
) -> tuple[scoring.Made, tuple[Rollout, ...]]:
    """The predictions of rows that have the columns `known`, and how the traffic moved while they were made."""
    named = (*opened.config.entity, opened.config.rollout.slice) if rollout.trial else ()
    entity = tuple(name for name in named if name and name in known)
    key = tuple(
        dict.fromkeys((*opened.config.key, *opened.config.of("time"), *opened.config.of("weight"), *entity))
    )  # block and weight a row is judged by, and whom it counts for

    def design(piece: pa.Table) -> scoring.Columns:
        columns = features.seen(takes, piece)
        return (
            {**features.seen(opened.config, piece), **columns} if rollout.trial else columns
        )  # who is tried takes what the YAML says today

    if not beside or not opened.config.of("time"):
        return scoring.predicted(pieces, design, bundle, rollout, version.id, key, opened.stores.threads, beside), ()
    rows, answers = scoring.together(
        scoring.in_turn(lambda piece: (piece, scoring.answers(design(piece), bundle, rollout, beside)), pieces, opened.stores.threads)
    )
    done = rollouts.play(opened, rollout, period, rows, answers, beside, version, key)
    return scoring.made([done.predictions]), tuple(move for move, _ in done.moves)


def _beside(opened: Opened, rollout: Rollout) -> scoring.Beside | None:
    """What is on trial, with who an entity is. One that does not load answers nobody, and the champion does."""
    if rollout.trial is None:
        return None
    try:
        bundle = release.load(opened.stores, rollout.trial.challenger)
    except BundleRefused:
        bundle = None
    return scoring.Beside(bundle, opened.config.entity, opened.config.key)


def _found(opened: Opened, scored: Scored) -> str:
    """The hash of the predictions that are there."""
    if not (opened.stores.var / scored.path).is_file():
        return "no file"
    try:
        return hashlib.sha256(sealing.read(opened.stores, scored.path)).hexdigest()
    except DataCorrupt:
        return "a seal that does not hold"


def _reason(by: Mapping[int, int], most: int, rollout: Rollout, moves: tuple[Rollout, ...]) -> str:
    """Whose predictions they are; on record this names the generation, too."""
    others = "".join(f", {rows} by v{version}" for version, rows in by.items() if version != most)
    first = f"{by.get(most, 0)} rows by v{most}{others}, generation {rollout.generation}"
    return f"{first} to {moves[-1].generation}" if moves else first


def _as_then(lost: Scored, rollout: Rollout) -> bool:
    """Whether the traffic is what it was when these predictions were made, and has not moved with them."""
    return not lost.moves and lost.reason.endswith(f"generation {rollout.generation}")
