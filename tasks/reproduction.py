"""Beside the cycle: registered versions made again from their lineage."""

from __future__ import annotations

import random

from pillars.answers.history import facts_of
from pillars.errors import BundleRefused, DataCorrupt, PillarsError, RebuildFailed, UnknownName
from pillars.monitoring import registry
from pillars.reproduction import reproducing
from pillars.vocabulary import Json, ModelVersion, Outcome, Promotion, Reproduction
from tasks.opened import Opened
from tasks.policy import step

WORDS = ("champion", "newest", "random", "all")
OUTCOMES: dict[str, Outcome] = {"IDENTICAL": "accept", "EQUIVALENT": "accept", "DIFFERENT": "refuse", "ERASED": "inconclusive"}
OF_ITS_OWN = (BundleRefused, DataCorrupt, RebuildFailed)  # what keeps one version from being made again, and no other


def chosen(opened: Opened, asked: str) -> tuple[ModelVersion, ...]:
    """The versions that are meant: a number (`3` or `v3`), or one of WORDS.

    `random`: an earlier one than the newest, drawn by the number of the project's rows in the ledger, which grows with each reproduction;
    none where none is registered.

    Raises:
        UnknownName: there is no such version.
    """
    known = registry.versions(opened.stores, opened.name)
    if asked == "all" or (asked == "random" and not known):
        return known
    if asked == "random":
        rows = len(opened.ledger.entries(opened.name, every_epoch=True))
        return (random.Random(f"{opened.name} {rows}").choice(known[:-1] or known),)
    wanted = {"champion": opened.past.champion(), "newest": known[-1].version if known else None}.get(asked, asked.removeprefix("v"))
    found = tuple(version for version in known if str(version.version) == str(wanted))
    if not found:
        raise UnknownName(f"version of {opened.name}", asked, [*(str(v.version) for v in known), *WORDS])
    return found


@step("make again", retries=2)
def reproduce(opened: Opened, version: ModelVersion, epsilon: float) -> Reproduction:
    """One version made again and compared. Raises: as `reproducing.reproduce`."""
    recorded = [entry.facts for entry in reversed(opened.ledger.entries(opened.name, "configure", every_epoch=True))]
    return reproducing.reproduce(opened.stores, opened.config, version.version, _witness(opened, version), recorded, epsilon)


def failed(version: ModelVersion, err: PillarsError, epsilon: float) -> Reproduction:
    """A version that could not be tried, among several."""
    return Reproduction(version.project, version.version, "FAILED", f"{type(err).__name__}: {err}", version.sha256, epsilon=epsilon)


def record(opened: Opened, found: Reproduction) -> None:
    """Put a verdict on record: each reproduction is evidence of its own, so its inputs name the one before it."""
    if found.verdict in OUTCOMES:
        before = opened.past.latest("reproduce")
        inputs: dict[str, Json] = {"version": found.version, "sha256": found.recorded, "after": before.seq if before else 0}
        opened.record("reproduce", inputs, (OUTCOMES[found.verdict], f"{found.verdict}: {found.reason}"), found)


def _witness(opened: Opened, version: ModelVersion) -> ModelVersion | None:
    """What the ledger says of a version: the newest promotion that registered it."""
    told = [facts_of(entry, Promotion).version for entry in opened.ledger.entries(opened.name, "promote", every_epoch=True)]
    return next((one for one in reversed(told) if one.version == version.version), None)
