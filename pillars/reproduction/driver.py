"""The process that fits again: `python -P driver.py FOLDER`. Rows and an order in, boosters out; it is told of no registry and no store.

It is run by its path, with the code of the recorded commit first on the import path: of `pillars` it may use what every release has.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import Any

SAMPLE_ROWS = 1_000  # of those that are fitted on, spread evenly: what both models are asked when their bytes differ


def main(folder: Path) -> None:
    """Read `order.json` and `data/`, write `made/`: booster-<n>.ubj, encoder.json, sample.json, and made.json last.

    Where the order names a period to `judge`, read it from `judge/`, and write scores.npy and outcomes.npy, too.
    """
    import numpy as np

    import pillars
    from pillars.bundle import booster
    from pillars.bundle.golden import to_json
    from pillars.config import Project
    from pillars.data.parquet import read_parquet
    from pillars.development import features
    from pillars.training import fitting
    from pillars.training.rows import gather, subset
    from pillars.training.splits import Part, plan

    order = json.loads((folder / "order.json").read_bytes())
    project = Project.model_validate(order["config"])

    def reading(place: str) -> Any:
        def read(kind: str, periods: Any) -> Any:
            (period,) = periods
            return read_parquet(folder / place / project.project / kind / f"{period}.parquet")

        return read

    part = plan(project, order["periods"], order["until"]).refit
    read = features.reader(project, order["data_version"], reading("data"))
    ground = _ground(project, read, part)
    points = getattr(fitting, "fit_scores", fitting.fit)(ground, _recipe(order["recipe"]), order["threads"])
    ends = fitting.fit_ends(ground, _recipe(order["recipe"]), order["threads"]) if order["ends"] else ()  # too few rows gave no interval
    boosters = (*points, *ends)
    whole = ground.rows if hasattr(ground.rows, "columns") else gather(read, Part((order["until"],)))
    rows = subset(whole, np.unique(np.linspace(0, len(whole.y) - 1, SAMPLE_ROWS).astype(np.int64)))
    made = folder / "made"
    made.mkdir()
    if judge := order.get("judge"):
        judged = gather(features.reader(project, "judge", reading("judge")), Part((judge,)))
        np.save(made / "scores.npy", booster.scores(booster.load(points), ground.encoder.encode(judged.columns), len(project.classes)))
        np.save(made / "outcomes.npy", judged.y)
    for place, content in enumerate(boosters):
        (made / f"booster-{place}.ubj").write_bytes(content)
    (made / "encoder.json").write_text(json.dumps(ground.encoder.to_json()))
    (made / "sample.json").write_text(json.dumps(to_json(rows.columns)))
    told = {"package": str(pillars.__path__[0]), "rows": len(ground.rows.y), "fit_digest": ground.rows.digest, "boosters": len(boosters)}
    told["device"] = getattr(ground, "device", "cpu")
    (made / "made.json").write_text(json.dumps(told))


def _ground(project: Any, read: Any, part: Any) -> Any:
    """As the recorded engine has the rows; releases without engines have them in memory."""
    from pillars.training import fitting

    if hasattr(fitting, "grounded"):
        from pillars.stores import Stores

        return fitting.grounded(Stores(), project, read, part)
    from pillars.training.rows import gather

    return fitting.Ground(project, gather(read, part))


def _recipe(content: Any) -> Any:
    """A release that has no `from_json` knows no more than its fields, and is told no more."""
    from pillars.vocabulary import Recipe

    return Recipe.from_json(content) if hasattr(Recipe, "from_json") else Recipe(**content)


def _end_with_the_one_who_asked() -> None:
    """Its end of the pipe closes when it dies, however it dies."""

    def wait() -> None:
        os.read(0, 1)  # not sys.stdin, whose lock would be held when the interpreter ends
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    _end_with_the_one_who_asked()
    try:
        main(Path(sys.argv[1]))
    except Exception as err:  # of any release's code: its words are what the one who asked tells
        sys.exit(f"{type(err).__name__}: {' '.join(str(err).split())}")
