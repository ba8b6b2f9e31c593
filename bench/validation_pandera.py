"""Pandera's side of the validation bench, in an environment of its own: `python -m bench.validation_pandera SIDE FILE`."""

from __future__ import annotations

import json
import resource
import sys
import time

import pandas as pd
import pandera.pandas as pa

from bench.validation_checks import FULL, KEY, RANGES, SETS

PLACES = {"not_nullable": {name: 2 + i for i, name in enumerate(FULL)}, "isin": {"carrier": 9, "origin": 10}}
PLACES["in_range"] = {name: 11 + i for i, name in enumerate(RANGES)}


def schema() -> pa.DataFrameSchema:
    """The same checks; the mean and the number of values as checks of a column."""
    checks = {name: [pa.Check.in_range(low, high)] for name, (low, high) in RANGES.items()}
    checks["carrier"], checks["origin"] = [pa.Check.isin(SETS["carrier"])], [pa.Check.isin(SETS["origin"]), pa.Check.str_length(3, 3)]
    checks["distance"].append(pa.Check(lambda s: 500 <= s.mean() <= 5000))
    checks["temp"].append(pa.Check(lambda s: 0 <= s.mean() <= 100))
    checks["dest"] = [pa.Check(lambda s: 50 <= s.nunique() <= 200)]
    columns = {name: pa.Column(checks=found, nullable=name not in FULL) for name, found in checks.items()}
    columns |= {name: pa.Column(nullable=False) for name in FULL if name not in columns}
    whole = [
        pa.Check(lambda f: len(f) >= 1000),
        pa.Check(lambda f: len(f.columns) == 20),
        pa.Check(lambda f: (f.temp >= f.dewp) | f.temp.isna()),
    ]
    return pa.DataFrameSchema(columns, checks=whole, unique=KEY, report_duplicates="exclude_first")


def main() -> None:
    """Read, check, and print what it took and found."""
    cpu, wall = time.process_time(), time.perf_counter()
    frame = pd.read_parquet(sys.argv[2])
    failing = [0] * 26
    try:
        schema().validate(frame, lazy=True)
    except pa.errors.SchemaErrors as err:
        cases = err.failure_cases
        again = cases[cases["check"] == "multiple_fields_uniqueness"]
        failing[8] = int(again["index"].nunique())
        for (check, column), n in cases.groupby([cases["check"].str.partition("(")[0], "column"]).size().items():
            if column in PLACES.get(str(check), {}):
                failing[PLACES[str(check)][column]] = int(n)
    took = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({**took, "peak": peak, "failing": failing}))


if __name__ == "__main__":
    main()
