"""What the serving bench serves: the flights champion with a challenger beside it, as releases under a policy, and as an MLflow model."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from pillars import project_file
from pillars.bundle import folder
from pillars.bundle.bundle import Bundle, write_bundle
from pillars.bundle.encoder import Encoder
from pillars.bundle.golden import from_json
from pillars.development import features
from pillars.development.models import prior_recipe
from pillars.stores import Stores, write_atomically
from tests.clone import CHECKOUT

PERIOD = "2013-01"
SHARE_BP = 1_000  # of the challenger


@dataclass(frozen=True)
class World:
    """A folder that a server serves. `rows`: 100 of January as a client sends them."""

    var: Path
    champion: dict[str, Any]
    challenger: dict[str, Any]
    bundle: Bundle
    rows: list[dict[str, Any]]

    def policy(self, generation: int, champion: dict[str, Any], challenger: dict[str, Any] | None = None, weight_bp: int = 0) -> None:
        """Who answers from now on."""
        content = {"format": 1, "project": "flights", "generation": generation, "champion": champion, "previous": []}
        content["challenger"] = challenger and {**challenger, "weight_bp": weight_bp}
        write_atomically(self.var / "releases/flights/policy.json", json.dumps(content).encode())


def world(var: Path, trees: int | None = None) -> World:
    """The champion that `make run` left in this checkout; where there is none, the project's prior recipe fitted on January.

    The challenger has its boosters and another threshold: loaded, verified and called as any other, and all sides agree on scores.
    """
    project = project_file.load(Stores(root=CHECKOUT).config_file("flights"))
    kept, y, _ = features.labelled(project, *_january())
    first = var / "releases/flights/v1-bench"
    found = _champion()
    if found is None:
        fitted(project, kept, y, trees or project.search.prior_rounds, first)
    else:
        shutil.copytree(found, first)
    bundle = Bundle.load(first)
    second = var / "releases/flights/v2-bench"
    raw = [(first / name).read_bytes() for name in folder.booster_names(path.name for path in first.iterdir())]
    golden = from_json(bundle.golden["columns"])
    decision = {"threshold": bundle.threshold + 0.01}
    write_bundle(second, "flights", raw, bundle.encoder, bundle.calibration, decision, bundle.schema, golden, {})
    releases = [_release(var, path, version) for version, path in ((1, first), (2, second))]
    names = bundle.encoder.numeric, bundle.encoder.categorical
    rows = [
        {name: None if row[name] is None else float(row[name]) if name in names[0] else row[name] for name in (*names[0], *names[1])}
        for row in kept.slice(0, 100).select([*names[0], *names[1]]).to_pylist()
    ]
    keys = kept.slice(0, 100).select(list(project.key)).to_pylist()
    rows = [row | {name: row.get(name, _plain(key[name])) for name in key} for row, key in zip(rows, keys, strict=True)]
    made = World(var, releases[0], releases[1], bundle, rows)
    made.policy(1, made.champion, made.challenger, SHARE_BP)
    return made


def fitted(project: Any, rows: Any, y: np.ndarray, trees: int, path: Path) -> None:
    """A bundle of one booster."""
    import xgboost

    columns = features.design(project, rows)
    encoder = Encoder.fit(columns, project.features.numeric, project.features.categorical, project.features.min_category_rows)
    settings = prior_recipe(project).params | {"objective": "binary:logistic", "nthread": 2}
    booster = xgboost.train(settings, xgboost.DMatrix(encoder.encode(columns), y), num_boost_round=trees)
    inputs = [{"name": n, "type": "double"} for n in encoder.numeric] + [{"name": n, "type": "string"} for n in encoder.categorical]
    schema = {"inputs": inputs, "outputs": [], "key": list(project.key), "target": project.target}
    golden = {name: values[:20] for name, values in columns.items()}
    raw = bytes(booster.save_raw("ubj"))
    write_bundle(path, "flights", [raw], encoder, {"kind": "none"}, {"threshold": 0.3}, schema, golden, {})


def mlflow_model(made: World) -> Path:
    """The same bundle as the registry would hold it."""
    from pillars.monitoring.packaging import save_model
    from pillars.tracking import quiet_mlflow

    quiet_mlflow()
    about: Any = SimpleNamespace(artifact_location=str(made.var), model_id="m-bench", source_run_id="bench")
    save_model(made.var, made.bundle.path, made.bundle, about)
    return made.var / "model"


def _january() -> tuple[Any, Any]:
    from projects import flights

    source = flights.source()
    return source.rows(PERIOD), source.outcomes(PERIOD)


def _champion() -> Path | None:
    try:
        policy = json.loads((CHECKOUT / "var/releases/flights/policy.json").read_bytes())
        path = CHECKOUT / "var" / policy["champion"]["path"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return path if path.is_dir() else None


def _release(var: Path, path: Path, version: int) -> dict[str, Any]:
    bundle = Bundle.load(path)
    return {
        "project": "flights",
        "version": version,
        "sha256": bundle.identity,
        "path": str(path.relative_to(var)),
        "digest": bundle.digest,
    }


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)
