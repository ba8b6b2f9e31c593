"""The model as each side of the serving bench holds it: a bundle, and rows as a client sends them scored by its fast encoder.

Imports nothing but numpy and the bundle package, so that it runs in every peer's own environment. PILLARS_BENCH_BUNDLE names the folder.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pillars.bundle.bundle import Bundle


class Model:
    """Peers get `encode_rows`, as our server has it: with `Bundle.predict` (made for batches) one row would take them ten times as long."""

    def __init__(self) -> None:
        self.bundle = Bundle.load(Path(os.environ["PILLARS_BENCH_BUNDLE"]))
        self.numbers, self.words = self.bundle.encoder.numeric, self.bundle.encoder.categorical

    def said(self, numbers: Sequence[Sequence[float | None]], words: Sequence[Sequence[str | None]]) -> list[dict[str, Any]]:
        """An object a row. `numbers`: a row each; `words`: a column each."""
        array = np.array(numbers, dtype=np.float64).reshape(len(numbers), len(self.numbers))
        said = self.bundle.say(self.bundle.encoder.encode_rows(array, words))
        decisions = said.decision.tolist() if said.decision is not None else [None] * len(array)
        return [{"score": score, "decision": decision} for score, decision in zip(said.score.tolist(), decisions, strict=True)]

    def of_records(self, rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
        """The same of rows as objects."""
        numbers = [[row.get(name) for name in self.numbers] for row in rows]
        return self.said(numbers, [[row.get(name) for row in rows] for name in self.words])
