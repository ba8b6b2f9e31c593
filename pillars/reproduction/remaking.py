"""A version fitted again in a folder of its own: the recorded commit's code, the recorded data, the recorded recipe, a fresh process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

import pillars
from pillars import project_file
from pillars.bundle.bundle import identity
from pillars.bundle.encoder import Encoder
from pillars.bundle.golden import from_json
from pillars.config import Project
from pillars.errors import PillarsError, RebuildFailed
from pillars.monitoring import lineage, worktree
from pillars.reproduction import driver
from pillars.stores import Stores
from pillars.vocabulary import DataVersion, Origin, Recipe

HIDDEN = (  # variables that lead to a store, or into another Python
    *("PILLARS_", "PREFECT_", "MLFLOW_", "DVC_", "GIT_", "AWS_"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONHASHSEED"),
)
TOLD = 500  # characters of what a process said last


@dataclass(frozen=True)
class Code:
    """Where the code lies that is run, and why it may not be the recorded one ("" where it is)."""

    folder: Path
    missing: str


@dataclass(frozen=True)
class Settings:
    """The YAML that is followed, and its digest."""

    project: Project
    digest: str


@dataclass(frozen=True)
class Remade:
    """What a rebuild made. `source` is the digest of the code that made it, `sample` raw columns of rows that were fitted on, n each.

    `scores` (uncalibrated) and `outcomes` are of the rows of a period that was to be judged, in the order of their keys.
    """

    boosters: tuple[bytes, ...]
    encoder: dict[str, Any]
    sample: Mapping[str, Any]
    fit_digest: str
    rows: int
    source: str
    device: str = "cpu"
    scores: np.ndarray | None = None
    outcomes: np.ndarray | None = None

    @property
    def sha256(self) -> str:
        """The boosters' identity."""
        return identity(self.boosters)


def code_of(stores: Stores, origin: Origin, patch: bytes | None, folder: Path) -> Code:
    """Check the recorded commit out into `folder`, with its patch; the folder stays empty where that cannot be, and says why.

    Raises:
        StoreUnavailable: the kept patch does not fit its commit.
    """
    folder.mkdir()
    if not origin.commit:
        return Code(folder, "it was trained from code without a commit")
    if not worktree.has_commit(stores.root, origin.commit):
        why = f"commit {origin.commit[:12]} is not in this repository (a shallow clone, or its branch was deleted): git fetch brings it"
        return Code(folder, why)
    inside = worktree.check_out(stores.root, origin.commit, patch or b"", folder)
    lost = f"it was trained from uncommitted changes on top of {origin.commit[:12]}, which were not kept"
    return Code(inside, lost if origin.dirty and not patch else "")


def settings_of(stores: Stores, origin: Origin, code: Code, recorded: Iterable[Mapping[str, Any]], here: Project) -> Settings:
    """The YAML of the recorded digest: that of the checked out code, one that is on record, or the one here; else the nearest to it.

    Nearest is the checked out one, then the newest on record (`recorded` is newest first), then the one here.
    """
    known: list[Project] = []
    name = f"{origin.project}.yaml"
    if not code.missing and stores.configs.is_relative_to(stores.root):
        try:
            known.append(project_file.load(code.folder / stores.configs.relative_to(stores.root) / name))
        except PillarsError:  # of a release whose YAML is another, or not there
            pass
    for facts in recorded:
        try:
            known.append(Project.model_validate(dict(facts)))
        except ValidationError:
            continue
    known.append(here)
    chosen = next((one for one in known if one.digest() == origin.config), known[0])
    return Settings(chosen, chosen.digest())


def remake(
    folder: Path, code: Code, data: DataVersion, settings: Settings, origin: Origin, recipe: Recipe, threads: int, judge: str = ""
) -> Remade:
    """Fit `recipe` on the files in `folder/data`, in a process of its own that sees nothing but `folder`. It scores the period `judge` of
    `folder/judge`, too, where one is named.

    Raises:
        RebuildFailed: it ended without a model; says with which words.
    """
    made = folder / "made"
    shutil.rmtree(made, ignore_errors=True)  # of another try
    order = {
        "config": settings.project.model_dump(mode="json", exclude_defaults=True),  # the recorded code may not know the newest keys
        "data_version": data.id,
        "periods": [period for period in data.periods if period <= origin.fitted_through],
        "until": origin.fitted_through,
        "recipe": recipe.to_json(),
        "threads": threads,
        "ends": origin.ends,
        **({"judge": judge} if judge else {}),
    }
    (folder / "order.json").write_text(json.dumps(order))
    said = folder / "said.txt"
    with said.open("wb") as output:
        command = [sys.executable, "-P", str(driver.__file__), str(folder)]
        process = subprocess.Popen(
            command, cwd=folder, env=_surroundings(folder, code), stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT
        )
        try:
            ended = process.wait()
        finally:
            process.kill()
            process.wait()
            if process.stdin:
                process.stdin.close()
    if ended or not (made / "made.json").is_file():
        words = [line for line in said.read_text(errors="replace").splitlines() if line.strip() and not line.startswith(" ")]
        raise RebuildFailed(origin.project, origin.version, (words[-1] if words else f"it ended with {ended}")[:TOLD].rstrip("."))
    return _read(made)


def _surroundings(folder: Path, code: Code) -> dict[str, str]:
    """The process's environment: nothing in it leads to a store. Where the commit holds no `pillars` (a project alone), ours is used."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(HIDDEN)}
    path = os.pathsep.join((str(code.folder), str(Path(pillars.__path__[0]).parent)))
    places = {"PILLARS_ROOT": str(folder), "PILLARS_VAR": str(folder / "var")}
    return {**clean, **places, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}


def _read(made: Path) -> Remade:
    told = json.loads((made / "made.json").read_bytes())
    judged = {name: np.load(made / f"{name}.npy") if (made / f"{name}.npy").is_file() else None for name in ("scores", "outcomes")}
    return Remade(
        boosters=tuple((made / f"booster-{place}.ubj").read_bytes() for place in range(told["boosters"])),
        encoder=json.loads((made / "encoder.json").read_bytes()),
        sample=from_json(json.loads((made / "sample.json").read_bytes())),
        fit_digest=told["fit_digest"],
        rows=told["rows"],
        source=lineage.source(Path(told["package"])),
        device=told.get("device", "cpu"),
        **judged,
    )


def encoder_of(remade: Remade) -> Encoder:
    """The encoder that it learned."""
    return Encoder.from_json(remade.encoder)
