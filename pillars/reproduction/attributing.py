"""Which factor moved the loss from one registered version to another: each put over alone, from both sides, fitted again and judged."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pillars.bundle.calibration import apply as calibrated
from pillars.config import Project, digest
from pillars.data import versions
from pillars.data.parquet import write_parquet
from pillars.development import features
from pillars.errors import PillarsError, RebuildFailed, TooFewRows
from pillars.monitoring import lineage, origin
from pillars.reproduction import remaking
from pillars.reproduction.laying import FACTORS, Made, differing, lay_out, not_tried, reseeded
from pillars.stores import Stores, scratch, write_atomically
from pillars.training.metrics import losses, mean
from pillars.training.sealing import seal, sealed
from pillars.vocabulary import Attribution, DataVersion, Measure, Moved, Recipe

SCRATCH = "attribute"
State = tuple[int, ...]  # for each of FACTORS, from which of the two versions it is taken: 0 or 1


class Judged(NamedTuple):
    """The rows that judge, n: outcomes as `features.truth` gives them, blocks and, where the project has them, weights, each (n,)."""

    y: np.ndarray
    blocks: np.ndarray
    weights: np.ndarray | None


class Bench:
    """Two versions laid out, the rows that judge, and what was fitted so far. Not a dataclass: Prefect walks through those of its tasks."""

    def __init__(self, stores: Stores, project: Project, made: tuple[Made, Made], judge: str, judged: Judged, notes: Iterable[str]) -> None:
        self.stores, self.project, self.made, self.judge, self.judged = stores, project, made, judge, judged
        self.notes = [*notes]
        self.factors = differing(stores, made)
        self._around = {"ours": lineage.source(), **lineage.environment(lineage.code_state(stores.root))}

    @property
    def fits(self) -> list[State]:
        """What is to be fitted: both versions, then each with one factor of the other's."""
        return list(dict.fromkeys(map(_fitted, self._states())))

    def named(self, state: State) -> str:
        """A fit in words."""
        of = [f"v{made.origin.version}" for made in self.made]
        taken = [name for name, side in zip(FACTORS, state, strict=True) if name in self.factors and name != "calibration" and side]
        fitted = [name for name in self.factors if name != "calibration"]
        if len(taken) in (0, len(fitted)):
            return of[1] if taken else of[0]
        if len(taken) == 1:
            return f"{of[0]} with the {taken[0]} of {of[1]}"
        return f"{of[1]} with the {', '.join(name for name in fitted if name not in taken)} of {of[0]}"

    def fit(self, state: State) -> np.ndarray:
        """Uncalibrated scores of the judged rows, float64, (n,) or (n, classes); read where they were made before.

        Raises:
            RebuildFailed: the process that fitted it ended without a model, or labels the judged rows otherwise.
        """
        data, code, config, parameters, seed = (self.made[side] for side in state[:5])
        recipe = reseeded(parameters.origin.recipe, seed.origin.recipe.seed)
        path = self._path(data, code, config, recipe)
        found = _kept(self.stores, path)
        if found is None:
            made_from = replace(data.origin, fitted_through=data.through)
            remade = remaking.remake(
                data.folder, code.code, data.data, config.settings, made_from, recipe, self.stores.threads, judge=self.judge
            )
            if remade.scores is None or remade.outcomes is None or not np.array_equal(remade.outcomes, self.judged.y):
                problem = f"its code or its YAML takes other rows of {self.judge}, or other outcomes of theirs"
                raise RebuildFailed(self.project.project, code.origin.version, problem)
            found = remade.scores
            _keep(self.stores, path, found, remade.sha256)
        return found

    def attribution(self) -> Attribution:
        """What each factor moved; all fits are read, or made now."""
        lost = {state: self._losses(state) for state in self._states()}
        first, last = self._end(0), self._end(1)
        total = lost[first] - lost[last]
        there = {name: lost[first] - lost[self._with(first, name)] for name in self.factors}
        back = {name: lost[self._with(last, name)] - lost[last] for name in self.factors}
        one, other = (made.origin.version for made in self.made)
        return Attribution(
            project=self.project.project,
            one=one,
            other=other,
            judged_on=self.judge,
            rows=len(self.judged.y),
            loss=self.project.gate.loss,
            total=self._mean(total),
            factors=tuple(
                Moved(name, *self.factors[name], forward=self._mean(there[name]), backward=self._mean(back[name])) for name in self.factors
            ),
            interaction_forward=self._mean(total - sum(there.values(), np.zeros(len(self.judged.y)))),
            interaction_backward=self._mean(total - sum(back.values(), np.zeros(len(self.judged.y)))),
            notes=(*self.notes, *self._unfaithful()),
        )

    def _states(self) -> list[State]:
        first, last = self._end(0), self._end(1)
        return [first, last, *(self._with(state, name) for name in self.factors for state in (first, last))]

    def _end(self, side: int) -> State:
        return tuple(side if name in self.factors else 0 for name in FACTORS)

    def _with(self, state: State, factor: str) -> State:
        """The state with one factor of the other version."""
        return tuple(1 - side if name == factor else side for name, side in zip(FACTORS, state, strict=True))

    def _losses(self, state: State) -> np.ndarray:
        p = calibrated(self.made[state[5]].calibration, self.fit(_fitted(state)))
        return losses(self.project.gate.loss, self.judged.y, p)

    def _mean(self, values: np.ndarray) -> Measure:
        judged, gate = self.judged, self.project.gate
        return mean(values, judged.blocks, self.project.search.seed, gate.resamples, judged.weights)

    def _unfaithful(self) -> Iterator[str]:
        """Versions that did not come out as they are registered; nothing where the newest rows were kept from them."""
        for side, made in enumerate(self.made):
            found = _identity(self.stores, self._path_of(_fitted(self._end(side))))
            if made.through == made.origin.fitted_through and found != made.origin.sha256:
                yield f"v{made.origin.version} came out with other bytes than the registered ones (pillars reproduce says why)"

    def _path_of(self, state: State) -> Path:
        data, code, config, parameters, seed = (self.made[side] for side in state[:5])
        return self._path(data, code, config, reseeded(parameters.origin.recipe, seed.origin.recipe.seed))

    def _path(self, data: Made, code: Made, config: Made, recipe: Recipe) -> Path:
        """Where the scores of a fit are kept: by all that they are a function of."""
        ran = [code.origin.commit, code.origin.patch, code.code.missing]
        judged = [self.judge, digest([self.judged.y.tolist()])]
        named = digest([data.contents, data.through, ran, config.settings.digest, recipe.to_json(), judged, self._around])
        return self.stores.folder("attributions", self.project.project) / f"{named[:32]}.npz"


@contextmanager
def bench(
    stores: Stores, project: Project, one: int, other: int, recorded: Sequence[Mapping[str, Any]], judge: str, version: DataVersion
) -> Iterator[Bench]:
    """Both versions laid out in a folder that goes away; scores of fits stay under `var`, so a killed attribution goes on.

    `judge` is a period of the data version `version`, whose rows judge; who has seen them is fitted through the period before.
    `recorded`: the YAMLs that are on record, newest first.

    Raises:
        UnknownName: there is no such version.
        BundleRefused: its tags hold no lineage, or its files are not those that were registered.
        DataCorrupt: a file of its data has other bytes, in both copies.
        RebuildFailed: its data is gone.
        TooFewRows: nothing was known before the rows that judge.
        StoreUnavailable: MLflow, git or the remote does not answer.
    """
    rows, outcomes = (versions.read(stores, version, kind, [judge]) for kind in ("rows", "outcomes"))
    table, y, blocks = features.labelled(project, rows, outcomes)
    judged = Judged(y, blocks, features.weights(project, table))
    if not len(y):
        raise TooFewRows(judge, "no row with a known outcome")
    origins = [origin.read(stores, project.project, number) for number in (one, other)]
    with scratch(SCRATCH) as folder:
        notes: list[str] = []
        made = []
        for place, made_from in enumerate(origins):
            laid = lay_out(stores, project, made_from, recorded, judge, folder / str(place), notes)
            for kind, table in (("rows", rows), ("outcomes", outcomes)):
                write_parquet(laid.folder / "judge" / project.project / kind / f"{judge}.parquet", table)
            made.append(laid)
        notes += not_tried(origins)
        yield Bench(stores, project, (made[0], made[1]), judge, judged, notes)


def _fitted(state: State) -> State:
    """The state as far as a fit depends on it: calibration comes after."""
    return (*state[:5], 0)


def _kept(stores: Stores, path: Path) -> np.ndarray | None:
    stored = _read(stores, path)
    return None if stored is None else stored[0]


def _identity(stores: Stores, path: Path) -> str:
    stored = _read(stores, path)
    return "" if stored is None else stored[1]


def _read(stores: Stores, path: Path) -> tuple[np.ndarray, str] | None:
    """Scores and the boosters' identity; None where they were not made yet, or somebody else has been at the file."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            p, identity = stored["p"], str(stored["identity"])
            return (p, identity) if sealed(stores, path.name, identity.encode() + p.tobytes(), str(stored["seal"])) else None
    except PillarsError:  # no key to check the seal with
        raise
    except Exception:  # a cache: a changed byte is any error, of zip, of a header, of a seek
        return None


def _keep(stores: Stores, path: Path, p: np.ndarray, identity: str) -> None:
    content = io.BytesIO()
    np.savez(content, p=p, identity=identity, seal=seal(stores, path.name, identity.encode() + p.tobytes()))
    write_atomically(path, content.getvalue())
