"""What is asked of a target: one of two, one of several, or a number; read off its values, or as the person says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pillars.config import Loss, Task
from pillars.config_data import Column
from pillars.data.parsing import values_of, words_of
from pillars.data.profiling import Profile, Seen
from pillars.errors import ColumnUnfit

MOST_CLASSES = 30  # more words are no classes to tell apart, but names
FEW_NUMBERS = 10  # whole numbers with at most so many values are classes, unless the person says that they are amounts
FEW = 30  # rows of a class


@dataclass(frozen=True)
class Aim:
    """The task, how its column is declared, and what is known of it.

    `known`: which rows have a target, bool (rows,). `y`: of those, 0 or 1, the place of the class (int), or the number (float).
    """

    task: Task
    column: Column
    classes: tuple[str, ...]  # multiclass: the most frequent first
    known: np.ndarray
    y: np.ndarray

    @property
    def said(self) -> str:
        """The target in a few words."""
        match self.task:
            case "multiclass":
                return f"{len(self.classes)} classes, the most frequent is {np.bincount(self.y).max() / len(self.y):.1%} of the rows"
            case "regression":
                return f"mean {self.y.mean():.6g}, deviation {self.y.std():.6g}"
            case _:
                return f"true in {self.y.mean():.1%} of the rows"

    @property
    def margins(self) -> tuple[float, float] | None:
        """The gate's margins in squared units: shares of the variance, as the defaults are shares of a fair coin's log loss (.69)."""
        if self.task != "regression":
            return None
        variance = float(self.y.var()) or 1.0
        return float(f"{0.0015 * variance:.2g}"), float(f"{0.0075 * variance:.2g}")


LOSS: dict[Task, Loss] = {"binary": "log_loss", "multiclass": "log_loss", "regression": "squared_error"}


def aim_at(profile: Profile, name: str, wish: Task | None = None) -> Aim:
    """What a column is as a target; `wish` decides where its values leave a choice.

    Raises:
        ColumnUnfit: its values are no target of that kind, or of any.
    """
    target = profile.of(name)
    if target.distinct < 2:
        raise ColumnUnfit(name, f"it has {'one value' if target.distinct else 'no value'} ({target.said}); there is nothing to predict")
    match wish or _kind(target):
        case "multiclass":
            return _classes(profile, target)
        case "regression":
            return _numbers(profile, target)
        case _:
            return _flags(profile, target)


def look_at(profile: Profile, name: str, aim: Aim, chosen: bool) -> Iterator[str]:
    """What somebody should know of the target before believing a model. `chosen`: the person named the task."""
    target = profile.of(name)
    if aim.task != "regression":
        counts = np.bincount(aim.y, minlength=max(len(aim.classes), 2))
        if (rarest := int(counts.min())) < FEW:
            which = f"class {aim.classes[int(counts.argmin())]}" if aim.classes else "the rarer class"
            yield f"{name}: only {rarest} rows of {which}; no verdict about a model will be sure"
    if aim.task == "multiclass" and target.is_number and not chosen:
        yield f"{name} has {len(aim.classes)} whole numbers as values, taken as classes; if they are amounts: --task regression"
    if aim.task == "regression" and (share := float((aim.y == aim.y[0]).mean())) > 0.5:
        yield f"{name} is {aim.y[0]:.6g} in {share:.0%} of the rows: is the question whether, not how much?"
    if target.nulls:
        yield f"{name} is missing in {target.nulls} rows: they are scored, and nothing is learned from them"


def _kind(target: Seen) -> Task:
    if target.declared.type == "bool" or target.distinct == 2:
        return "binary"
    if target.declared.type == "float" or (target.declared.type == "int" and target.distinct > FEW_NUMBERS):
        return "regression"
    return "multiclass"


def _flags(profile: Profile, target: Seen) -> Aim:
    """The words for true and for false: as they are meant, or the rarer one is true. None where they speak for themselves."""
    if target.declared.type != "bool" and (target.distinct != 2 or target.declared.type in ("text", "timestamp")):
        raise ColumnUnfit(target.name, f"it has {target.distinct} values ({target.said}); a binary target has two")
    true, false = ((), ()) if target.declared.type == "bool" else _words(profile, target)
    column = Column(type="bool", true_as=true, false_as=false)
    flags = values_of(column, profile.given[target.name])
    return Aim("binary", column, (), *_known(target, flags.is_valid(), pc.drop_null(flags).to_numpy().astype(int)))


def _words(profile: Profile, target: Seen) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if target.declared.type == "category":
        often, rare = target.words
        return (rare,), (often,)
    pairs = pa.table({"word": words_of(profile.given[target.name]), "value": profile.values[target.name]})
    words = [
        (float(p["value_max"]), str(p["word"]))
        for p in pairs.group_by("word").aggregate([("value", "max")]).to_pylist()
        if p["value_max"] is not None
    ]
    high = max(value for value, _ in words)
    true, false = (tuple(sorted(w for v, w in words if (v == high) is wanted)) for wanted in (True, False))
    return ((), ()) if {*true} <= {"1", "1.0"} and {*false} <= {"0", "0.0"} else (true, false)


def _classes(profile: Profile, target: Seen) -> Aim:
    column = Column(type="category")
    words = values_of(column, profile.given[target.name])
    counts = sorted((-int(c["counts"]), str(c["values"])) for c in pc.value_counts(pc.drop_null(words)).to_pylist())
    classes = tuple(word for _, word in counts)
    if target.declared.type == "timestamp" or not 3 <= len(classes) <= MOST_CLASSES:
        raise ColumnUnfit(target.name, f"it has {len(classes)} values ({target.said}); a multiclass target has 3 to {MOST_CLASSES}")
    places = pc.index_in(pc.drop_null(words), pa.array(classes, pa.string()))
    return Aim("multiclass", column, classes, *_known(target, words.is_valid(), places.to_numpy().astype(int)))


def _numbers(profile: Profile, target: Seen) -> Aim:
    if target.declared.type not in ("int", "float"):
        raise ColumnUnfit(target.name, f"it is no number: {target.said}")
    values = profile.values[target.name].cast(pa.float64())
    finite = pc.fill_null(pc.is_finite(values), False)
    return Aim("regression", target.declared, (), *_known(target, finite, values.filter(finite).to_numpy()))


def _known(target: Seen, known: pa.ChunkedArray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    if not len(y):
        raise ColumnUnfit(target.name, "no row has a value in it")
    return known.to_numpy(), y
