"""Back to the last good release, by files and ledger alone: neither Prefect nor MLflow is imported, let alone asked."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from pillars import project_file
from pillars.deployment import rollback, traffic
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Json, Rollout
from tasks.past import Past


def take_back(stores: Stores, project: str, reason: str, actor: str) -> Rollout:
    """The policy file, then the ledger. One that died in between is finished, not gone beyond.

    Raises:
        ConfigInvalid, UnknownName: see `pillars.project_file.load`; or there is no earlier release.
        BundleRefused: no earlier release loads; nothing was changed.
        LedgerBroken: the record does not hold together; nothing may be decided on it.
    """
    name, ledger = project_file.load(stores.config_file(project)).project, Ledger(stores)
    ledger.verify()
    past = Past(name, ledger)
    recorded = past.rollout()  # before the policy, which is written first
    now = traffic.held_to(stores, traffic.read(stores, name), recorded, past.versions())
    half_done = now is not None and now.generation > (recorded.generation if recorded else 0) and now.reason == reason
    rollout = now if now is not None and half_done else rollback.roll_back(stores, name, reason)
    inputs: dict[str, Json] = {"version": rollout.champion.version, "generation": rollout.generation}
    ledger.record(name, "rollback", inputs, "accept", reason, asdict(rollout), datetime.now(UTC), actor)
    return rollout
