"""A project's history in a real ledger, as the flows write it, without running any of them."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from pillars.bundle import folder
from pillars.config import Project
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import (
    Batch,
    Candidate,
    DataVersion,
    Decision,
    Drift,
    Measure,
    ModelVersion,
    Recipe,
    Release,
    Rollout,
    Scorecard,
    Scored,
    Verdict,
)

SCORES = {"carrier": 0.03, "fare": 0.05, "humid": 0.4, "carrier nulls": 0.0, "fare nulls": 0.0, "humid nulls": 0.0}
RECIPE = Recipe("prior", {"max_depth": 6}, 120, 0)


@dataclass
class Year:
    """Writes a project's history period by period, one second between two decisions."""

    stores: Stores
    project: Project
    now: datetime = datetime(2014, 1, 5, 6, tzinfo=UTC)

    @cached_property
    def ledger(self) -> Ledger:
        return Ledger(self.stores)

    def moved_to(self, root: Path) -> Year:
        """The same history under another folder."""
        shutil.copytree(self.stores.var, root / "var")
        return Year(Stores(root=root, var=root / "var", key="ab" * 32), self.project, self.now)

    def record(self, decision: str, inputs: dict[str, Any], outcome: str, reason: str, facts: Any) -> None:
        self.now += timedelta(seconds=1)
        plain = facts if isinstance(facts, dict) else asdict(facts)
        as_json = TypeAdapter(Any).dump_python(plain, mode="json")
        self.ledger.record(self.project.project, decision, inputs, outcome, reason, as_json, self.now, "tester")

    def configure(self, project: Project | None = None) -> None:
        dump = (project or self.project).model_dump(mode="json")
        self.record("configure", {"config": str(len(dump)), "at": str(self.now)}, "accept", "first run", dump)

    def ingest(self, period: str, rows: int = 1000, quarantined: int = 0, refused: str = "") -> None:
        name = self.project.project
        version = DataVersion(name, f"{int(period[-2:]):032x}.dir", "c0ffee", None, rows, 9, (period,))
        decision = Decision.refuse(refused) if refused else Decision.accept("all critical checks held")
        page = f"reports/{name}/{period}/validation.html"
        write_atomically(self.stores.var / page, b"<p>checks</p>")
        batch = Batch(name, period, decision, rows, quarantined, rows, None if refused else version, page, "rejected/x" if refused else "")
        self.record("ingest", {"period": period, "at": str(self.now)}, decision.outcome, decision.reason, batch)

    def score(self, period: str, version: int | None) -> None:
        name = self.project.project
        path = f"predictions/{name}/{period}-0123.parquet"
        write_atomically(self.stores.var / path, b"PAR1")
        scored = Scored(name, period, version, "d.dir", 1000 if version else 0, path if version else "", "ab", "v answers")
        self.record("score", {"period": period}, "accept" if version else "inconclusive", scored.reason, scored)

    def monitor(
        self, period: str, version: int | None, retrain: bool = True, auc: float | None = 0.7, share: float = 0.0, of: str = ""
    ) -> None:
        moved = ("carrier",) if share else ()
        scores = SCORES | ({"carrier": 0.4} if share else {})
        drift = Drift(period, "2013-01", scores, (*moved, "humid"), moved, share, f"reports/{self.project.project}/{period}/drift.json")
        quality = card(f"v{version}", of or period, auc) if version and auc else None
        alarms = ("drift: 1 of 2 structural columns lie 0.1 or more from 2013-01: carrier",) if share >= 0.5 else ()
        verdict = Verdict(self.project.project, period, retrain, "scheduled every period", version, drift, quality, alarms)
        self.record("monitor", {"period": period}, "retrain" if retrain else "keep", verdict.reason, verdict)

    def train(self, period: str, sha256: str = "f" * 64) -> None:
        cards = (
            card("challenger", period, 0.71),
            card("champion", period, 0.70),
            card("logistic", period, 0.66),
            card("majority", period, 0.5),
        )
        decision = Decision.accept("gain 0.0021 [0.0011, 0.0031], margin 0.0010")
        candidate = Candidate(
            self.project.project, period, "run" * 8, "d.dir", RECIPE, "candidates/x", sha256, period, decision, decision, cards
        )
        self.record("train", {"period": period}, "accept", "tuning did not beat the prior recipe beyond noise", candidate)

    def promote(self, period: str, version: int, outcome: Any = "accept") -> None:
        facts = {"version": asdict(self.version(period, version)), "recipe_decision": asdict(Decision.accept("gain"))}
        self.record("promote", {"period": period, "version": version}, outcome, "twin on these rows is not worse than the champion", facts)

    def deploy(self, version: int, generation: int, on_disk: bool = True, decision: str = "deploy") -> Rollout:
        release = self.release(version)
        rollout = Rollout(self.project.project, generation, release, (), "direct", f"v{version} promoted")
        if on_disk:
            self.write_release(release)
            self.write_policy(rollout)
        self.record(decision, {"version": version, "generation": generation}, "accept", rollout.reason, rollout)
        return rollout

    def cycle(self, period: str) -> None:
        self.record("cycle", {"period": period}, "finished", "finished", {"period": period})

    def full_period(self, period: str, version: int, **watched: Any) -> None:
        """A period that was scored by the version before and promoted `version`."""
        before = version - 1 or None
        self.ingest(period, rows=1000 + version, quarantined=version % 3)
        self.score(period, before)
        self.monitor(period, before, **watched)
        self.train(period, sha256=self.release(version).sha256)
        self.promote(period, version)
        self.deploy(version, generation=version)
        self.cycle(period)

    def version(self, period: str, number: int) -> ModelVersion:
        return ModelVersion(self.project.project, number, self.release(number).sha256, "run" * 8, "d.dir", period, "prior")

    def release(self, version: int) -> Release:
        sha256 = f"{version:064x}"
        return Release(self.project.project, version, sha256, f"releases/{self.project.project}/v{version}-{sha256[:8]}")

    def write_release(self, release: Release) -> None:
        files = dict.fromkeys(folder.PARTS, b"{}") | {"booster-0.ubj": b"boosters"}
        folder.write(self.stores.var / release.path, folder.manifest_of({}, files), files)

    def write_policy(self, rollout: Rollout) -> None:
        content = TypeAdapter(Any).dump_json({"format": 1, **asdict(rollout)})
        write_atomically(self.stores.var / "releases" / rollout.project / "policy.json", content)


def card(model: str, period: str, auc: float | None) -> Scorecard:
    """A scorecard whose figures all follow from the AUC."""
    value = auc or 0.5
    figures = {"auc": value, "log_loss": 1.2 - value, "brier": 0.5 - value / 2, "cost": 1 - value}
    return Scorecard(model, period, 900, 207, {name: Measure(v, v - 0.01, v + 0.01) for name, v in figures.items()})
