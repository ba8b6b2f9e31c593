"""The declared constant as a bundle that holds no booster: it answers when no release loads, and says the same of every row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pillars.bundle.bundle import Bundle, Predictions
from pillars.bundle.encoder import Encoder, Words
from pillars.deployment.server.settings import Settings
from pillars.vocabulary import Release

VERSION = 0  # no model has this number


@dataclass(frozen=True)
class Constant(Bundle):
    """`said`: the value of each output column; None is no number."""

    said: Mapping[str, float | bool | str | None] = field(default_factory=dict)

    def say(self, encoded: np.ndarray, groups: np.ndarray | Words | None = None) -> Predictions:
        """The same for each of the rows."""
        rows, said = len(encoded), self.said
        return Predictions(
            np.full(rows, said["score"], dtype=np.float64),
            np.full(rows, said["decision"], dtype=object) if "decision" in said else None,
            np.tile(np.array([said[f"p_{name}"] for name in self.classes], dtype=np.float64), (rows, 1)) if self.classes else None,
            np.full((rows, 2), np.nan) if "low" in said else None,
        )

    @property
    def outputs(self) -> dict[str, str]:
        """Its columns with their types, as MLflow names them."""
        kinds = {bool: "boolean", str: "string"}
        return {name: kinds.get(type(value), "double") for name, value in self.said.items()}


def release(project: str) -> Release:
    """What answers, as the log and `/version` name it: none."""
    return Release(project, VERSION, "", "")


def bundle(settings: Settings) -> Constant:
    """The constant that the project declares, over the features of its YAML."""
    inputs = [{"name": n, "type": "double"} for n in settings.numeric] + [{"name": n, "type": "string"} for n in settings.categorical]
    rows: dict[str, list[Any]] = {n: [0.0] for n in settings.numeric} | {n: [""] for n in settings.categorical}
    return Constant(
        path=Path("the declared constant"),
        project=settings.project,
        identity="",
        digest="",
        encoder=Encoder(settings.numeric, settings.categorical, {name: {} for name in settings.categorical}),
        calibration={"kind": "none"},
        threshold=0.5,
        task="constant",
        classes=tuple(name.removeprefix("p_") for name in settings.constant if name.startswith("p_")),
        schema={"inputs": inputs},
        lineage={},
        boosters=(),
        golden={"columns": rows},
        said=settings.constant,
    )
