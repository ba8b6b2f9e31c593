"""When a search ends before its number of trials: of time, and of memory."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pillars.config import Project, Search
from pillars.stores import Stores, write_atomically
from pillars.training.sealing import seal, sealed

LEAST_ROWS = 100
SLOWEST = 2.0  # a searched recipe's fit on all rows takes so many times the slowest fixed one's: up to 400 rounds beside 120
MATRIX_BYTES = 8  # per cell of a matrix that trees are fitted on; 3.8 at its peak over 1M x 40 cells, and what is at work beside it


def resident() -> int:
    """Bytes that this process holds in memory."""
    import psutil

    return int(psutil.Process().memory_info().rss)


@dataclass(frozen=True)
class Budget:
    """What ends a search, asked between two batches. `said`: the key of the YAML that did, once one did.

    Time is that of the fits as it was kept with them, so a search that goes on after a kill ends where it would have ended; trials may take
    `most_s` (None: any). What a process holds cannot be told again: the number of trials after which it was too much is written beside the
    journal, and counts from then on.
    """

    stores: Stores
    settings: Search
    journal: Path
    most_s: float | None = None
    said: list[str] = field(default_factory=list)
    begun: int = field(default_factory=lambda: resident())  # bytes, before the search's own rows

    def ends(self, seconds: Sequence[float]) -> bool:
        """Whether no batch may follow the trials so far, which took so many seconds each."""
        settings = self.settings
        if self.most_s is not None and self._needed_s(seconds) > self.most_s:
            self.said.append("seconds")
        elif settings.memory_mb is not None and self._outgrown(len(seconds), settings.memory_mb):
            self.said.append("memory_mb")
        return bool(self.said)

    def _needed_s(self, seconds: Sequence[float]) -> float:
        """What the batches took, and one more would take by their mean; workers share a batch."""
        taken = took(self.settings, seconds)
        return sum(taken) * (1 + 1 / len(taken))

    def _outgrown(self, told: int, most_mb: int) -> bool:
        path = self.journal.with_suffix(".ended")
        try:
            kept = json.loads(path.read_bytes())
            if sealed(self.stores, path.name, str(kept["trials"]).encode(), kept["seal"]):
                return told >= int(kept["trials"])
        except (FileNotFoundError, ValueError, KeyError, TypeError):
            pass  # not yet, or somebody has been at it
        if resident() - self.begun <= most_mb << 20:
            return False
        content = {"trials": told, "seal": seal(self.stores, path.name, str(told).encode())}
        write_atomically(path, json.dumps(content).encode())
        return True


def for_trials(settings: Search, fixed_s: Sequence[float]) -> float | None:
    """Of `search.seconds`, what trials may take after fits of fixed recipes that took `fixed_s`. None where there is no such budget.

    It is what the fits of the best trials on all rows leave, and half of the rest at least.
    """
    if settings.seconds is None:
        return None
    left = settings.seconds - sum(fixed_s)
    return left - min(left / 2, SLOWEST * settings.average * max(fixed_s, default=0.0))


def took(settings: Search, seconds: Sequence[float]) -> list[float]:
    """Seconds of each batch of trials that took so many each: workers share a batch."""
    batches = [seconds[start : start + settings.batch] for start in range(0, len(seconds), settings.batch)]
    return [max(max(fits), sum(fits) / settings.workers) for fits in batches]


def most_rows(project: Project, valid_rows: int, forms: int) -> int:
    """Rows that trials are fitted on: `search.rows`, or fewer where half of `search.memory_mb` holds no more in `forms` matrices.

    The other half is left to the fits.
    """
    settings, features = project.search, project.features
    if settings.memory_mb is None:
        return settings.rows
    columns = len(features.numeric) + len(features.categorical)
    held = (settings.memory_mb << 20) // 2 - valid_rows * columns * 4
    return max(LEAST_ROWS, min(settings.rows, held // (columns * (4 + MATRIX_BYTES * forms))))
