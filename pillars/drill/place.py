"""Where a drill is played: a folder that is thrown away, with the champion's release, a policy in seconds, and a record of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from pillars.bundle.bundle import Bundle
from pillars.bundle.golden import from_json
from pillars.config import Project
from pillars.config_rollout import Rollout, Strategy
from pillars.deployment import release as releases
from pillars.deployment import traffic
from pillars.drill import planted
from pillars.drill.outcomes import CLIENT, Truth, truth_of
from pillars.errors import UnknownName
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import Decision, ModelVersion, Promotion, Release

BAKE_S, TIMEOUT_S = 2.0, 120.0  # a share's time, and that of one without a verdict
SLOW_MS = 200.0  # a slower answer is a bad event; what is planted takes twice that
ENTITIES = {"canary": 80}  # that each arm must serve at a share; so many that harm is found before a share is healthy
USUAL = 120
LATEST = "drill"  # what stands on record as the period of the releases


@dataclass(frozen=True)
class Place:
    """A folder in which a champion answers. `rows`: what clients ask, in turn."""

    stores: Stores
    project: Project
    home: Release
    bundle: Bundle
    truth: Truth | None
    rows: tuple[dict[str, Any], ...]

    @property
    def name(self) -> str:
        """The project's name."""
        return self.project.project

    @property
    def faults(self) -> Path:
        """What is wrong inside the server, see `planted`."""
        return self.stores.root / "faults.json"

    @property
    def policy(self) -> Path:
        """The traffic policy."""
        return releases.folder(self.stores, self.name) / "policy.json"

    def ledger(self) -> Ledger:
        """Its own."""
        return Ledger(self.stores)

    def having(self, **rollout: Any) -> Place:
        """The same with other keys of the section `rollout`."""
        said = Rollout.model_validate(self.project.rollout.model_dump() | rollout)
        return replace(self, project=self.project.model_copy(update={"rollout": said}))

    def plant(self, **faults: float) -> None:
        """Have these faults inside the server from now on; without any, none."""
        write_atomically(self.faults, json.dumps(faults).encode())

    def challenger(self, make: Callable[..., str], number: int, *given: Any) -> Release:
        """A promoted and exported release of `make` (see `altering`), of version home + `number`; on record."""
        draft = self.stores.folder("made") / str(number)
        registered = ModelVersion(self.name, self.home.version + number, make(self.bundle, draft, number, *given), "", "", LATEST, "drill")
        registered = replace(registered, digest=Bundle.load(draft).digest)
        _promoted(self.ledger(), registered)
        release = releases.export(self.stores, self.project, registered, draft)
        shutil.rmtree(draft)
        return release


def make(root: Path, of: Stores, project: Project, champion: Release, strategy: Strategy) -> Place:
    """A place in the empty folder `root` for one strategy. Nothing of the project's own folder is changed.

    Raises:
        BundleRefused: the champion's release does not load.
    """
    stores = places(root)
    releases.load(of, champion)
    shutil.copytree(of.var / champion.path, stores.var / champion.path)
    home = replace(champion, project=project.project)
    bundle = releases.load(stores, home)
    drilled = Project.model_validate(content(project, bundle, strategy))
    (root / "configs").mkdir()
    said = drilled.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    (root / "configs" / f"{project.project}.yaml").write_text(yaml.safe_dump(said, sort_keys=False))
    (root / "inside").mkdir()
    (root / "inside" / "sitecustomize.py").write_text(planted.SITE)
    place = Place(stores, drilled, home, bundle, truth_of(bundle), rows(bundle))
    place.plant()
    ledger = place.ledger()
    _promoted(ledger, ModelVersion(home.project, home.version, home.sha256, "", "", LATEST, "drill", home.digest))
    now = traffic.switch(stores, drilled, home, 0, "the drill's champion")
    inputs: dict[str, Any] = {"version": home.version, "generation": now.generation}
    ledger.record(home.project, "deploy", inputs, "accept", now.reason, asdict(now), datetime.now(UTC), "drill")
    return place


def places(root: Path) -> Stores:
    """Everything under `root`, whatever the environment says of the user's own places."""
    return Stores(root=root, var=root / "var", configs=root / "configs", mlflow_uri="", ledger_uri="", remote="", key=None, readers="")


def champion(stores: Stores, project: Project) -> Release:
    """The release that answers in the user's project.

    Raises:
        UnknownName: nobody answers there yet.
        StoreUnavailable: the policy cannot be read.
    """
    now = traffic.read(stores, project.project)
    if now is None:
        raise UnknownName("project with a release that answers (pillars run, or pillars deploy, makes one)", project.project, [])
    return now.champion


def content(project: Project, bundle: Bundle, strategy: Strategy) -> dict[str, Any]:
    """The project's YAML, its rollout compressed to seconds, its traffic split by who asks in the drill."""
    said = project.model_dump(mode="json", by_alias=True, exclude_defaults=True)
    for column in said["columns"].values():
        column["role"] = [role for role in column.get("role", ()) if role != "entity"]
    said["columns"][CLIENT] = {"type": "text", "role": ["entity"]}
    said.pop("retention", None)
    said.get("privacy", {}).pop("encrypt", None)  # the drill reads its own log, of golden rows, which stand open in every release
    each = ENTITIES.get(strategy, USUAL)
    metrics = ["error", "latency", "score", *(["wrong"] if bundle.task != "regression" else [])]
    said["rollout"] = {
        "strategy": strategy,
        "keep": 3,
        "steps": [{"share": 0.2, "bake_min": BAKE_S / 60}, {"share": 0.5, "bake_min": BAKE_S / 60}],
        "share": 0.5,
        "bake_min": 1.5 * BAKE_S / 60,
        "timeout_min": TIMEOUT_S / 60,
        "cooldown_min": 0,
        "entity": CLIENT,
        "fallback": _middle(bundle),
        "judge": {"metrics": metrics, "entities": each, "latency_ms": SLOW_MS},
    }
    return said


def rows(bundle: Bundle) -> tuple[dict[str, Any], ...]:
    """The champion's golden rows as a client sends them."""
    columns = {name: values.tolist() for name, values in from_json(bundle.golden["columns"]).items()}
    many = len(next(iter(columns.values())))
    return tuple({name: None if values[i] != values[i] else values[i] for name, values in columns.items()} for i in range(many))


def _middle(bundle: Bundle) -> Any:
    match bundle.task:
        case "multiclass":
            return {name: 1 / len(bundle.classes) for name in bundle.classes}
        case "regression":
            return 0.0
        case _:
            return 0.5


def _promoted(ledger: Ledger, version: ModelVersion) -> None:
    facts = asdict(Promotion(version, Decision.accept("made for the drill")))
    inputs: dict[str, Any] = {"version": version.version, "sha256": version.sha256}
    ledger.record(version.project, "promote", inputs, "accept", "made for the drill", facts, datetime.now(UTC), "drill")
