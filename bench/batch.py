"""Batch scoring beside the booster alone: from Parquet to predictions in Parquet, and `inplace_predict` on a matrix that is there.

    python -m bench.batch                        # 1M rows of flights; --rows N, --threads N, --rounds N, --json

The rows are those of the flights year, over and over; the model is the champion of this checkout, or one fitted on January. Three rates,
in turn, of one process and with equal threads: *booster*, the encoded matrix in one call; *encoded*, rows in memory, designed and encoded
piece by piece, scored and calibrated; *whole*, what `pillars score` does, from the file's bytes to the predictions' bytes. The share is
that of each pair, the middle one of all rounds. Peak memory is that of another process, which does nothing but *whole*.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from pillars.bundle.bundle import Bundle
    from pillars.config import Project

ROWS, LIMIT = 1_000_000, 0.75


def main(arguments: Sequence[str] = ()) -> None:
    """Measure and print."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rows", type=int, default=ROWS)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    asked.add_argument("--trees", type=int, help="rounds of the prior recipe where this checkout has no champion")
    asked.add_argument("--piece", type=int, help="rows at a time; default as `pillars score`")
    asked.add_argument("--peak", help=argparse.SUPPRESS)
    asked.add_argument("--json", action="store_true")
    options = asked.parse_args(arguments)
    if options.peak:
        print(json.dumps(peak(Path(options.peak), options.threads, options.piece)))
        return
    with TemporaryDirectory(prefix="pillars-bench-batch-") as folder:
        found = measured(Path(folder), options)
    print(json.dumps(found, indent=1) if options.json else _written(found))


def measured(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Write the rows, then all rates in turn."""
    from bench.serving_world import world
    from pillars import project_file
    from pillars.bundle.bundle import Bundle
    from pillars.deployment import scoring
    from pillars.development import features
    from pillars.stores import Stores
    from projects import flights
    from tests.clone import CHECKOUT

    made = world(folder, options.trees)
    project = project_file.load(Stores(root=CHECKOUT).config_file("flights"))
    source = flights.source()
    year = pa.concat_tables([source.rows(period) for period in source.periods()])
    whole_years, rest = divmod(options.rows, year.num_rows)
    rows = pa.concat_tables([year] * whole_years + [year.slice(0, rest)])
    (folder / "rows.parquet").write_bytes(_parquet(rows))
    (folder / "few.parquet").write_bytes(_parquet(rows.slice(0, 1_000)))
    del year
    bundle = Bundle.load(made.bundle.path, options.threads)
    takes = features.taken_by(project, bundle.encoder)
    piece = options.piece or scoring.PIECE
    single = Bundle.load(made.bundle.path)
    matrix = np.concatenate([bundle.encoder.encode(features.seen(takes, part)) for part in _slices(rows, 1 << 17)])

    def encoded() -> None:
        for _ in scoring.in_turn(lambda part: single.predict(features.seen(takes, part)), _slices(rows, piece), options.threads):
            pass

    found: dict[str, list[tuple[float, float]]] = {"booster": [], "encoded": [], "whole": []}
    for _ in range(options.rounds):
        found["booster"].append(_timed(lambda: [one.inplace_predict(matrix, validate_features=False) for one in bundle.boosters]))
        found["encoded"].append(_timed(encoded))
        found["whole"].append(_timed(lambda: scored(folder, project, single, options.threads, piece)))
    told: dict[str, Any] = {"rows": rows.num_rows, "columns": matrix.shape[1], "threads": options.threads, "piece": piece}
    for name, runs in found.items():
        shares = [base[0] / one[0] for base, one in zip(found["booster"], runs, strict=True)]
        cpu = [base[1] / one[1] for base, one in zip(found["booster"], runs, strict=True)]
        told[name] = {
            "rows_per_s": round(rows.num_rows / median(wall for wall, _ in runs)),
            "of_booster": round(median(shares), 3),
            "of_booster_cpu": round(median(cpu), 3),
        }
    child = [sys.executable, "-m", "bench.batch", "--peak", str(folder), "--threads", str(options.threads), "--piece", str(piece)]
    told |= json.loads(subprocess.run(child, capture_output=True, text=True, check=True).stdout)
    return told | {"holds": {name: told[name]["of_booster"] >= LIMIT for name in ("encoded", "whole")}}


def scored(folder: Path, project: Project, bundle: Bundle, threads: int, piece: int, file: str = "rows.parquet") -> None:
    """What `pillars score` does: bytes in, a file of predictions out."""
    from pillars.data.parquet import parquet_pieces
    from pillars.deployment import scoring
    from pillars.development import features
    from pillars.stores import Stores
    from pillars.vocabulary import Release, Rollout

    takes = features.taken_by(project, bundle.encoder)
    release = Release("flights", 1, bundle.identity, "", bundle.digest)
    rollout = Rollout("flights", 1, release, (), "direct", "")
    pieces = parquet_pieces((folder / file).read_bytes(), file, piece)
    stores = Stores(root=folder, threads=threads)
    made = scoring.predicted(pieces, lambda part: features.seen(takes, part), bundle, rollout, "bench", project.key, threads)
    scoring.keep(stores, "flights", "2013", 1, "bench", made)


def peak(folder: Path, threads: int, piece: int) -> dict[str, Any]:
    """Peak memory, MB, after 1,000 rows (imports and the model), then after all."""
    from pillars import project_file
    from pillars.bundle.bundle import Bundle
    from pillars.stores import Stores
    from tests.clone import CHECKOUT

    project = project_file.load(Stores(root=CHECKOUT).config_file("flights"))
    bundle = Bundle.load(next((folder / "releases/flights").glob("v1-*")))
    scored(folder, project, bundle, threads, piece, "few.parquet")
    before = _peak_mb()
    scored(folder, project, bundle, threads, piece)
    size = (folder / "rows.parquet").stat().st_size
    return {"peak_mb": _peak_mb(), "before_mb": before, "file_mb": round(size / 1e6)}


def _slices(rows: pa.Table, size: int) -> list[pa.Table]:
    return [rows.slice(start, size) for start in range(0, rows.num_rows, size)]


def _timed(work: Any) -> tuple[float, float]:
    """Seconds of wall and of CPU."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def _parquet(rows: pa.Table) -> bytes:
    from pillars.data.parquet import parquet_bytes

    return parquet_bytes(rows)


def _peak_mb() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return round(int(line.split()[1]) * 1024 / 1e6)


def _written(found: dict[str, Any]) -> str:
    lines = [f"{found['rows']:,} rows x {found['columns']} columns, {found['threads']} threads, {found['piece']:,} rows at a time"]
    lines.append(f"{'':<10}{'rows a second':>15}{'of the booster':>17}{'by CPU':>9}")
    for name in ("booster", "encoded", "whole"):
        one = found[name]
        lines.append(f"{name:<10}{one['rows_per_s']:>15,}{one['of_booster']:>16.1%}{one['of_booster_cpu']:>9.1%}")
    lines.append(f"peak memory {found['peak_mb']} MB, {found['before_mb']} of them after 1,000 rows; the file has {found['file_mb']} MB")
    lines += [f"{name}: {LIMIT:.0%} of the booster or more: {'holds' if held else 'MISSED'}" for name, held in found["holds"].items()]
    return "\n".join(lines)


if __name__ == "__main__":
    main(sys.argv[1:])
