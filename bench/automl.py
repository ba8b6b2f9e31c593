"""Loss on rows apart of what a search finds in the same seconds: ours, FLAML, AutoGluon, plain Optuna; on ten real data sets.

    python -m bench.automl [--seconds 60] [--of flights adult ...] [--tools ours flaml autogluon plain]     # after `make bench-automl`

All get the same rows on 2 cores and fit what they found again on all of them; where rows have an order in time, all validate on the newest
period. Seconds are until the last fit ended, whatever the budget said. Size: what has to be kept to predict. Relative: ours over theirs,
less 1, of log loss (RMSE), with a 95 % interval from a paired bootstrap over blocks (days, else rows). Verdicts are Holm's, at 5 % over all
comparisons of the run: `behind` means surely more than 1 % worse.

ours        `pillars.training.tuning.tune` with the styles, averages and seconds of `SETTINGS`, then `fitting.fit`
flaml       FLAML's AutoML
autogluon   TabularPredictor, preset medium_quality, `refit_full`; `best` the preset best_quality
plain       Optuna's defaults, each trial a 5-fold cross-validation of XGBClassifier or XGBRegressor
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from bench.sets import SETS, TARGET, Set
from pillars.training.metrics import drawn, losses, pooled

ROOT = Path(__file__).resolve().parents[1]
TOOLS = {
    "ours": (".venv", "automl_ours.py"),
    "flaml": (".venv-flaml", "automl_flaml.py"),
    "autogluon": (".venv-autogluon", "automl_autogluon.py"),
    "best": (".venv-autogluon", "automl_autogluon.py"),
    "plain": (".venv", "automl_plain.py"),
}
RESAMPLES, NEAR = 4_000, 0.01
LATEST = 10  # budgets after which a tool is stopped


@dataclass(frozen=True)
class Made:
    """What a tool ended with; `p` as `losses` wants it, for the test rows."""

    tool: str
    loss: float  # log loss, or RMSE
    seconds: float
    predict_ms: float  # per 1,000 rows
    size_mb: float
    peak_mb: float
    load: float  # of the machine before it began
    what: str
    rows: np.ndarray  # loss of each row, float64, (n,): log loss or squared error


@dataclass(frozen=True)
class Compared:
    """Ours against one tool: the relative difference with its interval, and one-sided p-values of worse, better and behind."""

    name: str
    tool: str
    ratio: float
    low: float
    high: float
    worse: float
    better: float
    behind: float


def main(arguments: Sequence[str] = ()) -> None:
    """Print a line per tool and data set as it comes, and the verdicts at the end."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--seconds", type=float, default=60)
    asked.add_argument("--of", nargs="*", default=list(SETS), choices=list(SETS), help="data sets")
    asked.add_argument("--tools", nargs="*", default=["ours", "flaml", "autogluon", "plain"], choices=list(TOOLS))
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--json", type=Path, help="a file that gets all figures")
    asked.add_argument("--keep", type=Path, help="a folder: what was made is kept there, and not made again")
    said = asked.parse_args(arguments)
    print(f"{'data':9}{'tool':11}{'loss':>10}{'seconds':>9}{'ms/1,000':>10}{'MB':>8}{'peak MB':>9}  {'load':>5}  what", flush=True)
    compared, told = [], []
    for name in said.of:
        data, made = SETS[name](), {}
        with tempfile.TemporaryDirectory() as folder:
            lay_out(data, Path(folder), said.seconds, said.seed)
            for tool in said.tools:
                load = os.getloadavg()[0]
                kept = said.keep and said.keep / f"{name}-{tool}-{said.seconds:g}-{said.seed}.npz"
                made[tool] = one = _kept(kept) or run(tool, data, Path(folder), load)
                if kept:
                    kept.parent.mkdir(parents=True, exist_ok=True)
                    np.savez(kept, rows=one.rows, told=json.dumps(_told(one)))
                told.append({"data": name, **_told(one)})
                print(
                    f"{name:9}{tool:11}{one.loss:>10.5g}{one.seconds:>9.1f}{one.predict_ms:>10.1f}{one.size_mb:>8.2f}{one.peak_mb:>9.0f}"
                    f"  {one.load:>5.1f}  {one.what}",
                    flush=True,
                )
        if "ours" in made:
            compared += [against(data, made["ours"], one) for tool, one in made.items() if tool != "ours"]
    print("\n" + "\n".join(table(compared)))
    if said.json:
        said.json.write_text(json.dumps({"made": told, "compared": [asdict(one) for one in compared]}, indent=1))


def lay_out(data: Set, folder: Path, seconds: float, seed: int) -> None:
    """Files that every tool reads; it sees no outcome of the test rows."""
    pq.write_table(data.train, folder / "train.parquet")
    pq.write_table(data.test.drop_columns([TARGET]), folder / "test.parquet")
    np.save(folder / "parts.npy", data.parts)
    np.save(folder / "blocks.npy", data.fit_blocks)
    told = {"task": data.task, "seconds": seconds, "seed": seed, "ordered": data.ordered, "classes": classes(data)}
    (folder / "told.json").write_text(json.dumps(told))


def classes(data: Set) -> list[str]:
    """Names of the classes in the order of the columns that are asked for; none but of several classes."""
    return sorted(set(data.train.column(TARGET).to_pylist())) if data.task == "multiclass" else []


def run(tool: str, data: Set, folder: Path, load: float) -> Made:
    """One tool in a process of its own."""
    environment, script = TOOLS[tool]
    python = ROOT / environment / "bin" / "python"
    if not python.exists():
        raise SystemExit(f"bench.automl: {environment} is missing; run: make bench-automl")
    budget = json.loads((folder / "told.json").read_bytes())["seconds"]
    for left in folder.glob("made*"):
        left.unlink()
    with (folder / "said.txt").open("wb") as words:
        ended = subprocess.run(
            [python, ROOT / "bench" / script, folder, tool],
            stdout=words,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2", "PYTHONWARNINGS": "ignore"},
            timeout=LATEST * budget + 300,
        ).returncode
    if ended:
        raise SystemExit(f"bench.automl: {tool} ended with {ended} on {data.name}:\n{(folder / 'said.txt').read_text()[-2000:]}")
    told, p = json.loads((folder / "made.json").read_bytes()), np.load(folder / "made.npy")
    if data.task == "multiclass":
        places = {name: place for place, name in enumerate(classes(data))}
        y = np.array([places[one] for one in data.test.column(TARGET).to_pylist()])
    else:
        y = data.test.column(TARGET).to_numpy().astype(np.float64)
    rows = losses("squared_error" if data.task == "regression" else "log_loss", y, p)
    return Made(tool=tool, loss=_loss(data.task, rows.mean()), rows=rows, load=load, **told)


def against(data: Set, ours: Made, other: Made) -> Compared:
    """Ours over the other one by a paired bootstrap over blocks: blocks are drawn with their sums of both losses."""
    group, groups = pooled(data.blocks, 0)
    draws = drawn(groups, 0, RESAMPLES)
    mine, its = (draws @ np.bincount(group, weights=one.rows, minlength=groups) for one in (ours, other))
    ratios = (mine / its) ** (0.5 if data.task == "regression" else 1.0) - 1
    low, high = np.quantile(ratios, [0.025, 0.975])
    sides = [(1 + float((beyond).sum())) / (1 + RESAMPLES) for beyond in (ratios <= 0, ratios >= 0, ratios <= NEAR)]
    return Compared(data.name, other.tool, ours.loss / other.loss - 1, float(low), float(high), *sides)


def table(compared: Sequence[Compared]) -> list[str]:
    """A line per comparison with its verdict, and their number."""
    behind = holm([one.behind for one in compared])
    told = [holm([2 * min(one.worse, one.better) for one in compared])[place] for place in range(len(compared))]
    lines, counted = [f"{'data':9}{'ours over':11}{'relative':>10}   95 %"], dict.fromkeys(("better", "tied", "worse", "behind"), 0)
    for one, is_behind, differs in zip(compared, behind, told, strict=True):
        verdict = "behind" if is_behind else "tied" if not differs else "better" if one.ratio < 0 else "worse"
        counted[verdict] += 1
        lines.append(f"{one.name:9}{one.tool:11}{one.ratio:>+10.2%}   [{one.low:+.2%}, {one.high:+.2%}]  {verdict}")
    return [*lines, ", ".join(f"{verdict} {count}" for verdict, count in counted.items())]


def holm(p: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses are rejected, at `level` for all together (Holm 1979)."""
    rejected = [False] * len(p)
    for rank, place in enumerate(np.argsort(p)):
        if p[place] > level / (len(p) - rank):
            break
        rejected[place] = True
    return rejected


def _told(made: Made) -> dict[str, Any]:
    return {key: value for key, value in asdict(made).items() if key != "rows"}


def _kept(path: Path | None) -> Made | None:
    if path is None or not path.exists():
        return None
    with np.load(path) as stored:
        return Made(rows=stored["rows"], **json.loads(str(stored["told"])))


def _loss(task: str, mean: float) -> float:
    return float(np.sqrt(mean)) if task == "regression" else float(mean)


if __name__ == "__main__":
    main(sys.argv[1:])
