"""A small real slice: the flights of three carriers in four months, as a project of its own in a user's clone."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml

from tests.clone import make_clone

PERIODS = ("2013-01", "2013-02", "2013-03", "2013-04")
CARRIERS = ("9E", "VX", "FL")
TINY = {
    "carrier",
    "origin",
    "dest",
    "left_delay_180_all",
    "fleet_seats",
    "pressure",
    "landed_delay_180_all",
    "previous_departure_delay",
}  # of 61
LATER = {"outcome", "known_later"}
SOURCE = '''"""Flights of three carriers, read from files of the clone that is entered: one process may see several."""
import os
from pathlib import Path
import pyarrow.parquet as pq

class Slice:
    def __init__(self, last):
        self.last = last

    def periods(self):
        return [p for p in sorted({f.name[-15:-8] for f in files().glob("rows-*")}) if p <= self.last]

    def rows(self, period):
        return pq.read_table(files() / f"rows-{period}.parquet")

    def outcomes(self, period):
        return pq.read_table(files() / f"outcomes-{period}.parquet")

def files():
    return Path(os.environ.get("PILLARS_ROOT") or Path(__file__).parent) / "slice"

def source(last="2013-04"):
    return Slice(last)
'''


@pytest.fixture(scope="session")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of the slice: made once, because a year takes seconds to build."""
    return write_slices(tmp_path_factory.mktemp("slice"))


def write_slices(folder: Path) -> Path:
    """Rows and outcomes of the slice as files in `folder`, about 1,700 rows a month."""
    from projects import flights

    folder.mkdir(exist_ok=True)
    year = flights.source()
    for period in PERIODS:
        for kind, table in (("rows", year.rows(period)), ("outcomes", year.outcomes(period))):
            pq.write_table(table.filter(pc.is_in(table["carrier"], pa.array(CARRIERS))), folder / f"{kind}-{period}.parquet")
    return folder


@pytest.fixture
def small(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone of its own with the project `small`; a cycle takes a few seconds."""
    root = write_small(make_clone(tmp_path / "project"), slices)
    enter(root, monkeypatch)
    return root


@pytest.fixture(scope="session")
def two_periods(tmp_path_factory: pytest.TempPathFactory, slices: Path, prefect_server: str) -> Path:
    """A clone in which January and February have been through the loop, shared by all tests of a process."""
    return through_two_months(write_small(make_clone(tmp_path_factory.mktemp("shared") / "project"), slices))


@pytest.fixture
def replayed(two_periods: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shared clone, for a test that only looks."""
    enter(two_periods, monkeypatch)
    return two_periods


def through_two_months(root: Path) -> Path:
    """Take a clone's project `small` through January and February; a Prefect server is there."""
    from flows.replay import replay

    with pytest.MonkeyPatch.context() as context:
        enter(root, context)
        assert replay("small", last="2013-02") == ["2013-01", "2013-02"]
    return root


def enter(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be a user in this clone."""
    monkeypatch.delenv("PILLARS_VAR", raising=False)
    monkeypatch.setenv("PILLARS_ROOT", str(root))
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root)
    monkeypatch.delitem(sys.modules, "small_source", raising=False)  # an earlier clone's, which reads that clone's files


def write_small(root: Path, slices: Path) -> Path:
    """Put the project `small` into a clone."""
    (root / "small_source.py").write_text(SOURCE)
    (root / "slice").mkdir()
    for file in slices.iterdir():
        (root / "slice" / file.name).write_bytes(file.read_bytes())
    config = yaml.safe_load((root / "configs" / "flights.yaml").read_text())
    suite = [e for e in config["expectations"]["suite"] if "column_values" in e["type"] and not e["kwargs"].get("mostly")]
    config |= {"project": "small", "source": {"python": "small_source"}}
    config["expectations"] = {"min_rows": 500, "quarantine_budget": 0.02, "suite": suite}
    config["search"] |= {"trials": 2, "rows": 2000, "max_rounds": 30, "prior_rounds": 20}
    config["gate"] |= {"min_rows": 300, "refresh_margin": 0.2, "resamples": 200}
    config["monitoring"]["drift"]["sample"] = 2000
    config["rollout"] = {"strategy": "direct", "keep": 3}
    (root / "configs" / "small.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    return root


def write_tiny(root: Path, slices: Path) -> Path:
    """The project `small` with few checks, few columns and few rounds: the same writes in less time."""
    write_small(root, slices)
    file = root / "configs" / "small.yaml"
    config = yaml.safe_load(file.read_text())
    config["columns"] = {name: c for name, c in config["columns"].items() if name in TINY or "feature" not in c["role"]}
    config["features"]["numeric"] = [name for name in config["features"]["numeric"] if name in TINY]
    config["features"]["categorical"] = ["carrier"]  # places have few rows each, and a fit of so few rows learns them by heart
    for table in (root / "slice").glob("rows-*.parquet"):
        pq.write_table(pq.read_table(table).select([name for name, c in config["columns"].items() if not LATER & {*c["role"]}]), table)
    config["expectations"]["suite"] = config["expectations"]["suite"][:3]
    config["monitoring"]["drift"] |= {"sample": 500, "structural": ["carrier", "fleet_seats"], "seasonal": ["pressure"]}
    config["search"] |= {"rows": 600, "max_rounds": 5, "prior_rounds": 5}
    config["gate"] |= {"resamples": 100}
    config["split"]["block"] = "row"  # nine days of so few columns are no proof that a model is better than none
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    return root


def edit_config(root: Path, **sections: object) -> None:
    """Change sections of the project `small`."""
    file = root / "configs" / "small.yaml"
    config = yaml.safe_load(file.read_text())
    for name, change in sections.items():
        config[name] = {**config.get(name, {}), **change} if isinstance(change, dict) else change
    file.write_text(yaml.safe_dump(config, sort_keys=False))
