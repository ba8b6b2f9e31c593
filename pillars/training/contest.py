"""The rows on which recipes compete: what each is fitted on and what it then predicts, once by default, or fold by fold."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property

import numpy as np

from pillars.config import Project
from pillars.errors import TooFewRows
from pillars.stores import Stores
from pillars.training.fitting import Ground, grounded
from pillars.training.folds import grouped, repeated, rolling
from pillars.training.heldout import HeldOut, held_out, keep
from pillars.training.metrics import average, losses
from pillars.training.rows import Read, Rows, gather, newest, subset
from pillars.training.splits import Part, Plan
from pillars.training.streamed import newest_of
from pillars.vocabulary import Json, Recipe


@dataclass(frozen=True)
class Bout:
    """Rows to fit on, and rows that are held out of them."""

    ground: Ground
    held: Rows


@dataclass(frozen=True)
class Contest:
    """One bout or more. Whoever competes predicts the held rows of all of them, one after the other: n rows together.

    `cut`: the same with at most so many of the newest rows to fit on. `told`: what the bouts are, for the record; None where the plan says.
    """

    project: Project
    bouts: tuple[Bout, ...]
    cut: Callable[[int], tuple[Bout, ...]]
    told: Json = None

    @cached_property
    def y(self) -> np.ndarray:
        """Outcomes of the held rows, shape (n,), as in `rows.Labelled`."""
        return _laid([bout.held.y for bout in self.bouts])

    @cached_property
    def blocks(self) -> np.ndarray:
        """int64, shape (n,): rows of one block share their luck, and a row that is held out twice shares its own."""
        return _laid([bout.held.blocks for bout in self.bouts])

    @cached_property
    def weights(self) -> np.ndarray | None:
        """How much each counts, float64, shape (n,); None where all count alike."""
        given = [bout.held.weights for bout in self.bouts if bout.held.weights is not None]
        return _laid(given) if given else None

    @property
    def digests(self) -> list[str]:
        """Content of the rows, of both sides of each bout."""
        return [digest for bout in self.bouts for digest in (bout.ground.rows.digest, bout.held.digest)]

    def newest(self, most: int) -> Contest:
        """The same contest with at most `most` of the newest rows to fit on."""
        return replace(self, bouts=self.cut(most))

    def prepare(self, recipe: Recipe, threads: int) -> None:
        """Make the matrices that fits of this recipe's form share."""
        for bout in self.bouts:
            bout.ground.matrix(recipe, threads)

    def held_out(self, stores: Stores, recipe: Recipe, threads: int, patience: int | None = None) -> HeldOut:
        """Scores of the held rows, shape (n,) or (n, classes); with `patience` each bout stops early, and the rounds are their mean.

        Raises:
            ConfigInvalid: as `heldout.held_out`.
        """
        made = [held_out(stores, bout.ground, bout.held, recipe, threads, patience) for bout in self.bouts]
        if len(made) == 1:
            return made[0]
        rounds = max(1, round(sum(one.recipe.rounds for one in made) / len(made)))
        return HeldOut(replace(recipe, rounds=rounds), _laid([one.p for one in made]), sum(one.seconds for one in made))

    def keep(self, stores: Stores, found: HeldOut) -> None:
        """Keep what early stopping found under its rounds; of several bouts each stopped at other ones."""
        if len(self.bouts) == 1:
            keep(stores, self.project, found, self.bouts[0].ground.rows.digest, self.bouts[0].held.digest)

    def fair(self, p: np.ndarray) -> np.ndarray:
        """As `Ground.fair`, each bout by what it was fitted on; shape as `p`."""
        edges = np.cumsum([len(bout.held.y) for bout in self.bouts])[:-1]
        return _laid([bout.ground.fair(part) for bout, part in zip(self.bouts, np.split(p, edges), strict=True)])

    def loss(self, p: np.ndarray) -> float:
        """Mean loss of scores of the held rows, in units of `gate.loss`: what recipes are compared by."""
        return average(losses(self.project.gate.loss, self.y, self.fair(p)), self.weights)


def contest(stores: Stores, project: Project, read: Read, parts: Plan) -> Contest:
    """As `split.folds` says: of the rows before the judged ones.

    Raises:
        TooFewRows: as `rows.gather`; or groups or outcomes are too few to be held out.
        StoreUnavailable: the disk refuses.
    """
    if project.split.folds.by == "time":
        return _by_time(stores, project, read, parts)
    whole = gather(read, parts.twin_fit)

    def cut(most: int) -> tuple[Bout, ...]:
        return tuple(_folded(project, newest(whole, most), parts.twin_fit.periods[-1]))

    told: Json = {"all": asdict(parts.twin_fit), "folds": project.split.folds.model_dump(mode="json")}
    return Contest(project, cut(len(whole.y)), cut, told)


def _by_time(stores: Stores, project: Project, read: Read, parts: Plan) -> Contest:
    """The newest periods of those before the judged one, each by a fit on what lies before it."""
    pairs = [(parts.search_fit, parts.validate)]
    if project.split.folds.count > 1 and not parts.validate.cuts:
        names = np.array(parts.twin_fit.periods)
        pairs = [
            (Part(tuple(names[fold.fit].tolist())), Part(tuple(names[fold.held].tolist())))
            for fold in rolling(names, project.split.folds.count, project.split.gap_periods)
        ]
    bouts = tuple(Bout(grounded(stores, project, read, fit), gather(read, held)) for fit, held in pairs)
    if len(bouts) > 1:
        bouts = tuple(_apart(bouts))

    def cut(most: int) -> tuple[Bout, ...]:
        return tuple(Bout(Ground(project, newest_of(bout.ground.rows, most)), bout.held) for bout in bouts)

    told: Json = [{"fit": asdict(fit), "validate": asdict(held)} for fit, held in pairs]
    return Contest(project, bouts, cut, told if len(pairs) > 1 else None)


def _apart(bouts: tuple[Bout, ...]) -> Iterator[Bout]:
    """Bouts whose held blocks have other numbers each: rows that are blocks of their own are counted from 0 in every period."""
    first = 0
    for bout in bouts:
        blocks = bout.held.blocks - bout.held.blocks.min() + first
        first = int(blocks.max()) + 1
        yield replace(bout, held=replace(bout.held, blocks=blocks))


def _folded(project: Project, rows: Rows, period: str) -> Iterator[Bout]:
    said, seed = project.split.folds, project.search.seed
    if said.by == "group":
        assert rows.groups is not None  # of a project with a column of groups
        named = np.array([f"={group}" if group is not None else "" for group in rows.groups.tolist()])  # rows of no group are one
        found = grouped(named, said.count, seed)
    else:
        found = repeated(rows.y, said.count, range(seed, seed + said.repeats), project.task)
    if not found:
        what = f"one value of {said.group} alone" if said.by == "group" else f"{len(rows.y)} rows"
        raise TooFewRows(period, f"{what}: split.folds can hold nothing out")
    for fold in found:
        fit = subset(rows, fold.fit)
        if project.task != "regression" and len(np.unique(fit.y)) < 2:
            raise TooFewRows(period, f"without one fold all {len(fit.y)} rows have the same outcome (split.folds)")
        yield Bout(Ground(project, fit), subset(rows, fold.held))


def _laid(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
