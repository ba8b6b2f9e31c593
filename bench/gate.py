"""What the gate promotes among models that are equal in truth, and what it finds of gains that are there: two data sets.

    python -m bench.gate                    # 40 models a set, all 780 pairs; minutes
    python -m bench.gate --models 8 --rows 8000 --rounds 30 --only flights

flights   the year of the package: fitted on what lies before October (the newest 40,000 rows), judged on October to December
parcels   made here, 12 periods of 6,000 rows: a fifth of the signal is noise that no model can know, periods differ in base rate
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pyarrow as pa

from pillars import project_file
from pillars.config import Project
from pillars.development import features, models
from pillars.stores import Stores
from pillars.training import measuring
from pillars.training.rows import Read
from pillars.vocabulary import GateNoise

PERIODS = tuple(f"2013-{month:02d}" for month in range(1, 13))
JUDGED = PERIODS[-3:]
PARCELS = 6000  # rows a period


def main(arguments: Sequence[str] = ()) -> None:
    """Print the tables, or JSON."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--models", type=int, default=40)
    asked.add_argument("--rows", type=int, default=40_000)
    asked.add_argument("--rounds", type=int, default=60)
    asked.add_argument("--only", choices=list(SETS))
    asked.add_argument("--json", action="store_true")
    how = asked.parse_args(arguments)
    found = {}
    for name in [how.only] if how.only else list(SETS):
        start = time.perf_counter()
        with TemporaryDirectory() as place:  # fits of their own: a bench that finds them ready measures nothing
            project, read = SETS[name]()
            stores = Stores(root=Stores().root, var=Path(place))
            recipe = replace(models.prior_recipe(project), rounds=how.rounds)
            made = measuring.measure(stores, project, read, PERIODS, JUDGED, recipe, name, models=how.models, rows=how.rows)
        found[name] = made
        if not how.json:
            tell(name, made, time.perf_counter() - start)
    if how.json:
        print(json.dumps({name: asdict(one) for name, one in found.items()}, indent=1))


def tell(name: str, found: GateNoise, seconds: float) -> None:
    """Both tables of one set."""
    print(f"{name}: {found.pairs} pairs of {found.models} models, judged on {', '.join(found.periods)}; {seconds:.0f} s")
    for what, rate in found.rates.items():
        print(f"  {what:<36}{rate.value:>7.3f} [{rate.low:.3f}, {rate.high:.3f}]")
    print(f"  by period, margin {found.margin:g}: {', '.join(f'{p} {r:.3f}' for p, r in found.by_period.items())}")
    print(f"  smallest margin for {found.rate:g}: {found.smallest:.6f}, for its upper end: {found.sure}")
    for one in found.power:
        print(f"  true gain {one.gain:.5f}   promoted {one.promoted.value:.3f} [{one.promoted.low:.3f}, {one.promoted.high:.3f}]")
    print(flush=True)


def flights() -> tuple[Project, Read]:
    """The default project, its rows straight from the package."""
    from projects.flights import source

    stores = Stores()
    project, year = project_file.load(stores.config_file("flights")), source()

    def read(kind: str, periods: Sequence[str]) -> pa.Table:
        get = year.rows if kind == "rows" else year.outcomes
        return pa.concat_tables([get(period) for period in periods])

    return project, features.reader(project, "bench-flights", read)


def parcels() -> tuple[Project, Read]:
    """A set of another kind: few columns, most of the outcome decided by them."""
    project = Project.model_validate(
        {
            "project": "parcels",
            "target": "late",
            "source": {"python": "projects.parcels"},
            "columns": {
                "at": {"type": "timestamp", "role": ["key", "time"], "nullable": False},
                "number": {"type": "int", "role": ["key"], "nullable": False},
                "depot": {"type": "category", "role": ["feature"], "nullable": False},
                **{f"x{place}": {"type": "float", "role": ["feature"]} for place in range(8)},
                "late": {"type": "bool", "role": ["outcome"]},
            },
            "features": {"numeric": [f"x{place}" for place in range(8)], "categorical": ["depot"]},
            "search": {"prior": {"eta": 0.1, "max_depth": 5, "subsample": 0.8, "colsample_bytree": 0.6, "lambda": 5.0}},
            "gate": {"margin": 0.001, "min_rows": 1000},
        }
    )

    def read(kind: str, periods: Sequence[str]) -> pa.Table:
        both = [_period(period) for period in periods]
        return pa.concat_tables([one[kind == "outcomes"] for one in both])

    return project, features.reader(project, "bench-parcels", read)


def _period(period: str) -> tuple[pa.Table, pa.Table]:
    random = np.random.default_rng([int(period[-2:]), 29])
    x = random.normal(size=(PARCELS, 8))
    day, depot = np.sort(random.integers(28, size=PARCELS)), random.integers(12, size=PARCELS)
    weather = random.normal(size=28)[day]  # that no column tells
    truth = x[:, 0] * x[:, 1] + np.abs(x[:, 2]) + 0.5 * x[:, 3] + 0.3 * (depot % 3) + 0.4 * weather + random.normal() * 0.3 - 1.5
    late = random.uniform(size=PARCELS) < 1 / (1 + np.exp(-1.5 * truth))
    at = np.datetime64(f"{period}-01", "us") + day.astype("timedelta64[D]").astype("timedelta64[us]")
    keys = {"at": pa.array(at), "number": pa.array(np.arange(PARCELS))}
    rows = pa.table(keys | {"depot": pa.array([f"d{d}" for d in depot])} | {f"x{place}": pa.array(x[:, place]) for place in range(8)})
    return rows, pa.table(keys | {"late": pa.array(late)})


SETS: dict[str, Callable[[], tuple[Project, Read]]] = {"flights": flights, "parcels": parcels}

if __name__ == "__main__":
    main(sys.argv[1:])
