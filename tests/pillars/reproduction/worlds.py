"""An installation with one registered model of trams, made as the loop makes it: data version, refit, registry. No Prefect."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.data import branch, versions
from pillars.data.parquet import write_parquet
from pillars.development import features
from pillars.monitoring import lineage, origin, registry, worktree
from pillars.reproduction import reproducing
from pillars.stores import Stores
from pillars.training.refitting import refit
from pillars.vocabulary import DataVersion, Decision, Judged, ModelVersion, Prepared, Recipe, Reproduction, Validation
from tests.clone import CHECKOUT
from tests.factories import rows_and_outcomes
from tests.pillars.data.batches import NOW, git

MONTHS = ("2013-01", "2013-02")
RECIPE = Recipe("searched 1", {"eta": 0.2, "max_depth": 3, "max_bin": 32, "subsample": 0.7}, 8, seed=3)
USER = ("-c", "user.name=A User", "-c", "user.email=user@example.org")


@dataclass
class World:
    """The installation at `stores`, and what the ledger would say of its one version."""

    stores: Stores
    project: Project
    version: DataVersion
    witness: ModelVersion

    def reproduce(self, *, ledger: bool = True, epsilon: float = 1e-6, **settings: Any) -> Reproduction:
        """Make version 1 again; without the `ledger`, by the registry alone. `settings` change those of the installation."""
        stores = self.stores.model_copy(update=settings)
        recorded = [self.project.model_dump(mode="json")] if ledger else []
        return reproducing.reproduce(stores, self.project, 1, self.witness if ledger else None, recorded, epsilon)

    def tag(self, **tags: str) -> None:
        """Edit the version's tags by hand, as somebody with access to MLflow can; `__` stands for a dot."""
        for name, value in tags.items():
            self.client().set_model_version_tag("trams", "1", name.replace("__", "."), value)

    def untag(self, *names: str) -> None:
        for name in names:
            self.client().delete_model_version_tag("trams", "1", name)

    def client(self) -> Any:
        from mlflow import MlflowClient

        return MlflowClient(self.stores.tracking_uri, self.stores.tracking_uri)

    def objects(self) -> list[Path]:
        """Rows and outcomes in both copies."""
        return [
            path
            for place in (self.stores.dvc_cache, Path(self.stores.dvc_remote))
            for path in place.glob("files/md5/??/*")
            if not path.name.endswith(".dir")
        ]

    @property
    def model(self) -> Path:
        """The model's folder in the registry."""
        return registry.bundle_dir(self.stores, "trams", 1).parents[1]


def repository(root: Path, project: Project, *, code: bool = False) -> Path:
    """A user's repository with the project's YAML committed, and a copy of `pillars` where the test needs its code."""
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "trams.yaml").write_text(yaml.safe_dump(project.model_dump(mode="json", exclude_defaults=True), sort_keys=False))
    (root / ".gitignore").write_text("/var\n/data\n__pycache__/\n")
    (root / "requirements.lock").write_text("xgboost==3.2.0\n")
    if code:
        shutil.copytree(CHECKOUT / "pillars", root / "pillars", ignore=shutil.ignore_patterns("__pycache__"))
    git(root, "init", "-q", "-b", "main")
    commit(root, "a project")
    return root


def commit(root: Path, message: str) -> str:
    """Commit all there is; the commit."""
    git(root, "add", "-A")
    git(root, *USER, "commit", "-q", "-m", message)
    return git(root, "rev-parse", "HEAD")


def make(stores: Stores, project: Project, recipe: Recipe = RECIPE, **judged: Any) -> World:
    """Publish two months, fit, register. The repository at `stores.root` is as it is: clean, or not."""
    for month in MONTHS:
        version = publish(stores, project, month)
    return fitted(stores, project, version, recipe, **judged)


def publish(stores: Stores, project: Project, month: str) -> DataVersion:
    """One more month."""
    return versions.publish(stores, project, _prepared(stores, month), NOW)


def fitted(stores: Stores, project: Project, version: DataVersion, recipe: Recipe, **judged: Any) -> World:
    """Fit and register on months that are published; once more, and there is one more version."""
    contents = versions.contents(stores, version)
    read = features.reader(project, version.id, partial(versions.read, stores, version), contents)
    yes = Decision.accept("")
    said: dict[str, Any] = {"calibration": {"kind": "none"}, "threshold": 0.5} | judged
    winner = Judged("trams", MONTHS[-1], recipe, yes, yes, (), path="", **said)
    made_by = {"data_version": version.id, "config": project.digest(), **lineage.code_state(stores.root)}
    if made_by["dirty"]:
        made_by["patch"] = worktree.keep(stores, "trams")
    path, *_ = refit(stores, project, read, list(MONTHS), MONTHS[-1], winner, made_by)
    return World(stores, project, version, _registered(stores, project, version, recipe, stores.var / path))


def _registered(stores: Stores, project: Project, version: DataVersion, recipe: Recipe, bundle: Path) -> ModelVersion:
    from mlflow import MlflowClient

    client = MlflowClient(stores.tracking_uri, stores.tracking_uri)
    known = client.get_experiment_by_name("trams")
    experiment = known.experiment_id if known else client.create_experiment("trams", stores.artifacts_uri)
    run = client.create_run(experiment, tags={"threads": str(stores.threads)})
    client.set_terminated(run.info.run_id)
    loaded = Bundle.load(bundle)
    tags = {"data.version": version.id, "data.commit": version.commit, "fitted_through": MONTHS[-1], "seed": str(recipe.seed)}
    tags |= {"recipe": recipe_tag(recipe), **origin.tags_of(loaded.lineage)}
    patch = worktree.kept(stores, "trams", str(loaded.lineage.get("patch", "")))
    made = registry.register(stores, project, run.info.run_id, bundle, tags, {registry.PATCH: patch} if patch else {})
    return replace(made, digest=loaded.digest)


def recipe_tag(recipe: Recipe) -> str:
    """A recipe as its tag."""
    return json.dumps(recipe.to_json())


def _prepared(stores: Stores, month: str) -> Prepared:
    rows, outcomes = rows_and_outcomes([month], 300)
    folder = f"staging/trams/{month}"
    write_parquet(stores.var / folder / "rows.parquet", rows)
    write_parquet(stores.var / folder / "outcomes.parquet", outcomes)
    checked = Validation("trams", month, rows.num_rows, 0, (), Decision.accept("not checked"))
    kept = {"quarantine_path": "", "kept_at": "", "validation": checked}
    return Prepared("trams", month, f"{folder}/rows.parquet", rows.num_rows, month, f"{folder}/outcomes.parquet", outcomes.num_rows, **kept)


def forget_branch(root: Path) -> None:
    """Drop the data branch and every commit of it."""
    git(root, "update-ref", "-d", f"refs/heads/{branch.name('trams')}")
    git(root, "reflog", "expire", "--expire=now", "--all")
    git(root, "gc", "-q", "--prune=now")
