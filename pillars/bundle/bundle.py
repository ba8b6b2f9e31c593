"""A model as it is released: boosters, encoder, calibration, threshold, schema, golden rows and lineage in one folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import BundleRefused
from . import booster, folder
from .answers import bounds, cheapest
from .calibration import apply as calibrated
from .encoder import Encoder, Words
from .golden import from_json as columns_from_json
from .golden import to_json as columns_to_json

if TYPE_CHECKING:
    from xgboost import Booster


@dataclass(frozen=True)
class Predictions:
    """What a model says of n rows.

    binary: `score` is the probability of the target, in [0, 1], `decision` whether to act (bool). multiclass: `decision` is the most
    probable class (str), or the one that is expected to cost least where the bundle has costs, `score` its probability, `probabilities`
    those of all classes, (n, classes). regression: `score` is the number, `bounds` low and high of its interval, (n, 2), if it has any.
    """

    score: np.ndarray  # float64, (n,)
    decision: np.ndarray | None
    probabilities: np.ndarray | None = None
    bounds: np.ndarray | None = None

    def columns(self, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """As columns of a table: score, then decision and `p_<class>`, or low and high, where there are any."""
        said = {"score": self.score} | ({} if self.decision is None else {"decision": self.decision})
        if self.bounds is not None:
            said |= {"low": self.bounds[:, 0], "high": self.bounds[:, 1]}
        if self.probabilities is None:
            return said
        return said | {f"p_{name}": self.probabilities[:, place] for place, name in enumerate(classes)}


def outputs(task: str, classes: Sequence[str], *, bounded: bool = False) -> dict[str, str]:
    """The columns of `Predictions` with their types, as MLflow names them."""
    decided = {"binary": {"decision": "boolean"}, "multiclass": {"decision": "string"}}.get(task, {})
    ends = {"low": "double", "high": "double"} if bounded else {}
    return {"score": "double", **decided, **ends, **{f"p_{name}": "double" for name in classes}}


@dataclass(frozen=True)
class Bundle:
    """A verified bundle in memory. `identity` is the sha256 over its UBJ files, `digest` the one over all that it holds."""

    path: Path
    project: str
    identity: str
    digest: str
    encoder: Encoder
    calibration: Mapping[str, Any]
    threshold: float
    task: str
    classes: tuple[str, ...]
    schema: Mapping[str, Any]
    lineage: Mapping[str, Any]
    boosters: tuple[Booster, ...]
    golden: Mapping[str, Any]
    costs: tuple[tuple[float, ...], ...] = ()  # of several classes: what came true, what is said; none: the most probable one is said
    interval: Mapping[str, Any] = field(default_factory=dict)  # of numbers, see `answers.bounds`
    ends: tuple[Booster, ...] = ()  # of both quantiles, where the interval is laid around them

    @classmethod
    def load(cls, path: Path, threads: int = 1) -> Bundle:
        """Read a bundle whose every byte is the one that was written.

        Raises:
            BundleRefused: incomplete, changed, or of a format this code does not know.
        """
        manifest, files = folder.read(path)
        raw = [files[name] for name in folder.booster_names(files)]
        try:
            if manifest["identity"] != identity(raw):
                raise ValueError("its identity is not that of its boosters")
            parts = {name: json.loads(files[name]) for name in folder.PARTS}
            said = parts["decision.json"]
            calibrated(parts["calibration.json"], np.full((1, len(said["classes"])) if "classes" in said else 1, 0.5))
            points, ends = _parted(booster.load(raw, threads), said)
            return cls(
                path=path,
                project=manifest["project"],
                identity=manifest["identity"],
                digest=manifest["digest"],
                encoder=Encoder.from_json(parts["encoder.json"]),
                calibration=parts["calibration.json"],
                threshold=float(said.get("threshold", 0.5)),
                task=str(said.get("task", "binary")),
                classes=tuple(said.get("classes", ())),
                schema=parts["schema.json"],
                lineage=manifest["lineage"],
                boosters=points,
                golden=parts["golden.json"],
                costs=tuple(tuple(map(float, row)) for row in said.get("costs", ())),
                interval=said.get("interval", {}),
                ends=ends,
            )
        except (KeyError, TypeError, ValueError) as err:
            raise BundleRefused(str(path), str(err) if isinstance(err, ValueError) else f"its content is malformed ({err!r})") from err

    def held_to(self, identity: str, digest: str = "") -> Bundle:
        """This bundle, if it is the one on record; an empty `digest` is not compared.

        Raises:
            BundleRefused: it holds other boosters, or something else in it is not what was recorded.
        """
        if self.identity != identity:
            raise BundleRefused(str(self.path), f"it holds model {self.identity[:8]}, not {identity[:8]}")
        if digest and self.digest != digest:
            raise BundleRefused(str(self.path), f"it is whole, and not the bundle on record ({self.digest[:8]}, not {digest[:8]})")
        return self

    def predict(self, columns: Mapping[str, np.ndarray | Words]) -> Predictions:
        """Score rows; each row's score does not depend on the others.

        Raises:
            InputInvalid: a column is missing, or holds what is no number.
        """
        return self.say(self.encoder.encode(columns), columns.get(self.interval.get("by", "")))

    def say(self, encoded: np.ndarray, groups: np.ndarray | Words | None = None) -> Predictions:
        """The same of rows that its encoder has encoded. `groups`: each row's value of the column that intervals go by."""
        score = calibrated(self.calibration, self._raw(encoded))
        match self.task:
            case "multiclass":
                best = cheapest(np.array(self.costs), score) if self.costs else score.argmax(axis=1)
                return Predictions(score[np.arange(len(best)), best], np.array(self.classes, dtype=object)[best], score)
            case "regression":
                return Predictions(score, None, bounds=self._bounds(encoded, score, groups))
            case _:
                return Predictions(score, score >= self.threshold)

    def scores(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """What rows are judged by, float64: shape (n,), a probability or a number; of several classes shape (n, classes)."""
        return calibrated(self.calibration, self.raw(columns))

    def raw(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Mean of the boosters before calibration, as `scores`."""
        return self._raw(self.encoder.encode(columns))

    def _raw(self, encoded: np.ndarray) -> np.ndarray:
        return booster.scores(self.boosters, encoded, len(self.classes))

    def _judged_by(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """As `scores`, a row a row of a table: (n, 1) or (n, classes)."""
        return _table(self.scores(columns))

    def _laid(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Low and high, (n, 2); (n, 0) where it has no intervals."""
        found = self.predict(columns).bounds
        return np.empty((len(next(iter(columns.values()))), 0)) if found is None else found

    def _bounds(self, encoded: np.ndarray, score: np.ndarray, groups: np.ndarray | Words | None) -> np.ndarray | None:
        """Low and high of numbers scored `score`, float64, shape (n, 2); None where the bundle has no intervals."""
        if not self.interval:
            return None
        ends = booster.scores(self.ends, encoded, 2) if self.ends else None
        return bounds(self.interval, score, ends, groups)

    @property
    def objective(self) -> str:
        """What its boosters were fitted to minimize, by XGBoost's name."""
        return booster.objective(self.boosters[0])

    @property
    def outputs(self) -> dict[str, str]:
        """The columns of its `Predictions` with their types, as MLflow names them."""
        return outputs(self.task, self.classes, bounded=bool(self.interval))

    def check_golden(self) -> None:
        """Score the golden rows again, all at once and one by one, with the ends of their intervals where those are stored as well.

        Raises:
            BundleRefused: a score or an end differs in any bit from the one that was stored.
        """
        columns, stored = columns_from_json(self.golden["columns"]), _table(self.golden["scores"])
        wanted = [("score differently", self._judged_by, stored)]
        if "bounds" in self.golden:  # of a release that kept none the scores alone can be compared
            wanted.append(("have other intervals", self._laid, _table(self.golden["bounds"])))
        for differing, say, known in wanted:
            one_by_one = [say({name: values[i : i + 1] for name, values in columns.items()})[0] for i in range(len(stored))]
            for said in (say(columns), np.asarray(one_by_one)):
                if not np.array_equal(said, known):
                    differ = int((said != known).any(axis=1).sum()) if said.shape == known.shape else len(stored)
                    raise BundleRefused(str(self.path), f"{differ} of {len(stored)} golden rows {differing} here")

    def contributions(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Each column's part of the rows' margins, in the order of `encoder.feature_names`, then the margin without any; see `booster`."""
        return booster.contributions(self.boosters, self.encoder.encode(columns), len(self.classes))

    def gains(self) -> dict[str, float]:
        """Share of each column in the boosters' total gain, largest first."""
        shares = booster.gains(self.boosters, len(self.encoder.feature_names))
        return dict(sorted(zip(self.encoder.feature_names, shares.tolist(), strict=True), key=lambda pair: -pair[1]))


def _parted(boosters: Sequence[Any], decision: Mapping[str, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Boosters of the score, and of the ends of its interval."""
    of_ends = int(decision.get("interval", {}).get("boosters", 0))
    return tuple(boosters[: len(boosters) - of_ends]), tuple(boosters[len(boosters) - of_ends :])


def identity(boosters: Sequence[bytes]) -> str:
    """sha256 (hex) over the boosters' own sha256, in order: a model's name, whatever is around it."""
    return folder.sha256("".join(folder.sha256(content) for content in boosters).encode())


def write_bundle(
    path: Path,
    project: str,
    boosters: Sequence[bytes],
    encoder: Encoder,
    calibration: Mapping[str, Any],
    decision: Mapping[str, Any],
    schema: Mapping[str, Any],
    golden: Mapping[str, np.ndarray],
    lineage: Mapping[str, Any],
) -> str:
    """Write a bundle to `path` as a whole and return its identity; the same bundle written twice changes nothing.

    `decision`: {"threshold": p} of a binary target, {"task": "multiclass", "classes": [...]} (with "costs" where the least of them
    decides), {"task": "regression"} (with "interval" where there is one; its "boosters" are the last ones).
    `golden`: raw columns of a few rows; their scores, and the ends of their intervals, are stored with them.

    Raises:
        BundleRefused: another bundle is there.
    """
    classes, encoded, interval = len(decision.get("classes", ())), encoder.encode(golden), decision.get("interval", {})
    points, of_ends = _parted(booster.load(boosters), decision)
    scores = calibrated(calibration, booster.scores(points, encoded, classes))
    kept: dict[str, Any] = {"columns": columns_to_json({n: golden[n] for n in encoder.feature_names}), "scores": scores.tolist()}
    if interval:
        ends = booster.scores(of_ends, encoded, 2) if of_ends else None
        kept["bounds"] = bounds(interval, scores, ends, golden.get(interval.get("by", ""))).tolist()
    parts: dict[str, Any] = {
        "encoder.json": encoder.to_json(),
        "calibration.json": dict(calibration),
        "decision.json": dict(decision),
        "schema.json": dict(schema),
        "golden.json": kept,
    }
    files = {name: folder.canonical(part) for name, part in parts.items()}
    files |= {f"booster-{i}.ubj": content for i, content in enumerate(boosters)}
    named = identity(boosters)
    folder.write(path, folder.manifest_of({"project": project, "identity": named, "lineage": dict(lineage)}, files), files)
    return named


def _table(values: Any) -> np.ndarray:
    """float64, shape (n, m); of one value a row (n, 1)."""
    found = np.asarray(values, dtype=np.float64)
    return found.reshape(len(found), -1)
