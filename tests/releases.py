"""Small real things for tests of registry and deployment: a project, a bundle of ten trees, and what a training says."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from pillars.bundle.bundle import write_bundle
from pillars.bundle.encoder import Encoder
from pillars.config import Project
from pillars.vocabulary import DataVersion, Decision, Judged, Measure, ModelVersion, Recipe, Scorecard, Tried, Tuned

RECIPE = Recipe("stock", {"max_depth": 3, "eta": 0.3}, rounds=10, seed=7)
DATA = DataVersion("small", "23b6ec2200112233445566778899aabb.dir", "c0ffee" * 6 + "c0ff", None, 200, 4096, ("2013-01", "2013-02"))


def small_project(name: str = "small", keep: int = 2) -> Project:
    columns = {
        "at": {"type": "timestamp", "role": ["key", "time"]},
        "distance": {"type": "float"},
        "carrier": {"type": "category"},
        "late": {"type": "bool", "role": ["outcome"]},
    }
    return Project.model_validate(
        {
            "project": name,
            "target": "late",
            "source": {"python": "projects.small"},
            "columns": columns,
            "features": {"numeric": ["distance"], "categorical": ["carrier"]},
            "rollout": {"keep": keep},
        }
    )


def small_columns(rows: int = 200, seed: int = 0) -> dict[str, np.ndarray]:
    """`distance` float64 with a NaN, `carrier` of UA, AA or None; shape (rows,)."""
    random = np.random.default_rng(seed)
    distance = random.uniform(100, 2000, rows)
    distance[0] = np.nan
    return {"distance": distance, "carrier": random.choice(np.array(["UA", "AA", None], dtype=object), rows)}


def write_small_bundle(path: Path, seed: int = 0, threshold: float = 0.5) -> str:
    """A bundle of one booster; another seed gives other bytes. Its identity."""
    import xgboost

    columns = small_columns(seed=seed)
    encoder = Encoder.fit(columns, ["distance"], ["carrier"])
    late = (np.nan_to_num(columns["distance"]) > 900) ^ (columns["carrier"] == "UA")
    booster = xgboost.train(
        {"max_depth": 3, "objective": "binary:logistic", "nthread": 1}, xgboost.DMatrix(encoder.encode(columns), late), num_boost_round=10
    )
    golden = {name: values[:5] for name, values in columns.items()}
    raw = bytes(booster.save_raw("ubj"))
    return write_bundle(path, "small", [raw], encoder, {"kind": "none"}, {"threshold": threshold}, {}, golden, {"data.version": DATA.id})


def small_version(version: int, sha256: str) -> ModelVersion:
    return ModelVersion("small", version, sha256, "run", DATA.id, "2013-02", "stock")


def small_training(period: str = "2013-02") -> tuple[Tuned, Judged]:
    """What search and judging hand to the record."""
    card = Scorecard("challenger", period, 200, 90, {"log_loss": Measure(0.41, 0.38, 0.44), "auc": Measure(0.8, 0.75, float("nan"))})
    board = (Tried(RECIPE, 0.41, True, 0.1), Tried(Recipe("trial 1", {"max_depth": 9}, 5, 7), float("inf"), False, 0.05))
    refused, accepted = Decision.refuse("gain 0.0001, margin 0.001"), Decision.accept("not worse")
    judged = Judged("small", period, RECIPE, refused, accepted, (card,), {"kind": "none"}, 0.5, "judged.parquet")
    return Tuned("small", period, board, "tuning did not beat the stock recipe", "trials.json"), judged
