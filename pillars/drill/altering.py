"""Challengers made of a champion's bundle: the same model under another identity, one that is mostly wrong, one fitted in another unit."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pillars.bundle import booster, folder
from pillars.bundle.bundle import Bundle, write_bundle
from pillars.bundle.golden import from_json

FACTORS = (1000.0, 0.001)  # kilometres for metres, and back
EVIDENCE = 14.0  # nats: harm is called from ln(4 metrics / 1 %) = 6 on, and luck takes some
MOST = 1_500  # entities of each arm that are waited for
Trees = Callable[[dict[str, Any]], None]  # changes a booster's JSON in place


def again(bundle: Bundle, path: Path, number: int) -> str:
    """The same model with another identity; its identity. `number` makes it differ from others."""
    return _written(bundle, path, number, lambda _: None)


def wrong(bundle: Bundle, path: Path, number: int) -> str:
    """A model whose leaves say the opposite; its identity."""

    def negate(tree: dict[str, Any]) -> None:
        for node, left in enumerate(tree["left_children"]):
            if left == -1:
                tree["split_conditions"][node] *= -1
                tree["base_weights"][node] *= -1

    return _written(bundle, path, number, negate)


def in_another_unit(bundle: Bundle, path: Path, number: int, column: str, factor: float) -> str:
    """A model that was fitted when `column` was `factor` times as large; its identity."""
    feature = bundle.encoder.feature_names.index(column)

    def scale(tree: dict[str, Any]) -> None:
        for node, left in enumerate(tree["left_children"]):
            if left != -1 and tree["split_indices"][node] == feature:
                tree["split_conditions"][node] *= factor

    return _written(bundle, path, number, scale)


@dataclass(frozen=True)
class Unit:
    """A change of unit that makes the model wrong more often; `entities`: of each arm, until that is found."""

    column: str
    factor: float
    entities: int


def unit(bundle: Bundle) -> Unit | None:
    """The change of one column's unit that harms most; None where `MOST` entities would not find it."""
    columns = from_json(bundle.golden["columns"])
    before = wrong_share(bundle, columns, columns)
    tried = ((name, factor) for name in bundle.encoder.numeric for factor in FACTORS)
    found = [(wrong_share(bundle, columns, {**columns, name: columns[name] / factor}), name, factor) for name, factor in tried]
    if not found:
        return None
    after, name, factor = max(found)
    entities = needed(before, after)
    return Unit(name, factor, entities) if entities <= MOST else None


def to_tell(bundle: Bundle, other: Bundle) -> int:
    """Entities of each arm until it is found that `other` is wrong more often."""
    columns = from_json(bundle.golden["columns"])
    said, mine = other.predict(columns).decision, wrong_share(bundle, columns, columns)
    return MOST + 1 if said is None else needed(mine, _wrong_in(bundle, columns, said))


def needed(before: float, after: float) -> int:
    """Entities of each of two equal arms, wrong in so many cases, until the judge has `EVIDENCE` against the worse one."""
    if after <= before:
        return MOST + 1
    mine = after / (before + after)  # of the bad events
    each = mine * math.log(2 * mine) + ((1 - mine) * math.log(2 * (1 - mine)) if mine < 1 else 0.0)
    return math.ceil(EVIDENCE / each / (before + after))


def wrong_share(bundle: Bundle, columns: dict[str, np.ndarray], seen: dict[str, np.ndarray]) -> float:
    """How often decisions on rows `seen` are wrong, where outcomes come as the bundle says of the rows `columns`; in [0, 1]."""
    said = bundle.predict(seen).decision
    return 0.0 if said is None else _wrong_in(bundle, columns, said)


def _wrong_in(bundle: Bundle, columns: dict[str, np.ndarray], said: np.ndarray) -> float:
    chances = bundle.scores(columns)
    if bundle.task == "multiclass":
        places = [bundle.classes.index(name) for name in said]
        return float(1 - chances[np.arange(len(places)), places].mean())
    return float(np.where(said, 1 - chances, chances).mean())


def _written(bundle: Bundle, path: Path, number: int, change: Trees) -> str:
    _, files = folder.read(bundle.path)
    parts = {name: json.loads(files[name]) for name in folder.PARTS}
    made = []
    for place, model in enumerate(booster.load([files[name] for name in folder.booster_names(files)])):
        if place < len(bundle.boosters):  # those of an interval's ends stay
            content = json.loads(bytes(model.save_raw("json")))
            for tree in content["learner"]["gradient_booster"]["model"]["trees"]:
                change(tree)
            model.load_model(bytearray(json.dumps(content).encode()))
        model.set_attr(drill=str(number))
        made.append(bytes(model.save_raw("ubj")))
    golden = from_json(bundle.golden["columns"])
    named = (bundle.encoder, parts["calibration.json"], parts["decision.json"], parts["schema.json"])
    return write_bundle(path, bundle.project, made, *named, golden, {**bundle.lineage, "drill": str(number)})
