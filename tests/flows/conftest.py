"""A small real slice: the flights of two carriers, as a project of its own in a user's clone."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

SLICE = '''"""The flights of two carriers."""
import pyarrow.compute as pc
import pyarrow as pa
from projects import flights

class Slice:
    def __init__(self, carriers):
        self.whole, self.carriers = flights.source(), pa.array(carriers)

    def periods(self):
        return self.whole.periods()

    def _few(self, table):
        return table.filter(pc.is_in(table["carrier"], self.carriers))

    def rows(self, period):
        return self._few(self.whole.rows(period))

    def outcomes(self, period):
        return self._few(self.whole.outcomes(period))

def source(carriers):
    return Slice(carriers)
'''


@pytest.fixture
def small(project_root: Path, prefect_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of the project: about 3,000 rows a month, a search of two trials."""
    config = yaml.safe_load((project_root / "configs" / "flights.yaml").read_text())
    config["project"] = "small"
    config["source"] = {"python": "flights_slice", "options": {"carriers": ["9E", "VX", "FL"]}}
    config["expectations"]["min_rows"] = 500
    config["expectations"]["suite"] = [e for e in config["expectations"].get("suite", []) if "row_count" not in e["type"]]
    config["search"] |= {"trials": 2, "rows": 2000, "max_rounds": 40, "prior_rounds": 30}
    config["gate"]["min_rows"] = 500
    (project_root / "configs" / "small.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (project_root / "flights_slice.py").write_text(SLICE)
    monkeypatch.chdir(project_root)
    return "small"
