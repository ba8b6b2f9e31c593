"""The door to Optuna: a search whose history is a function of its seed, whatever its threads, and that a kill does not change."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pillars.config import Range, Sampler
from pillars.errors import StoreUnavailable
from pillars.training import gaussian
from pillars.training.spaces import Dimension, Params, Space, point, styles, whole

if TYPE_CHECKING:
    from optuna import Study
    from optuna.distributions import BaseDistribution
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

STARTUP = 5  # trials drawn at random before there is something to learn from; Optuna's 10 are more than the usual budget here
Enough = Callable[[list[Params]], bool]  # whether the trials so far are enough, asked between two batches


def search(
    journal: Path,
    space: Space,
    trials: int,
    batch: int,
    workers: int,
    seed: int,
    loss_of: Callable[[Params], float],
    progress: Callable[[int, int, float], None],
    sampler: Sampler = "auto",
    enough: Enough = lambda told: False,
) -> list[Params]:
    """The parameters of `trials` trials in their order, each held against the losses of all batches before its own.

    Fewer where `enough` says so between two batches, given the parameters so far; asked again it must say the same.

    Batches are asked for as a whole, run by threads, and told as a whole in order; each ask has a sampler of its own, seeded by seed and
    place. So nothing depends on which thread is faster, and a batch that a kill cut short is taken up as it was: what was asked keeps its
    parameters, the rest is asked again and answered alike. A journal that cannot be read, or whose trials do not follow from its losses,
    is begun anew. `loss_of` remembers what it computed; the caller holds a lock on the journal.

    Raises:
        StoreUnavailable: the journal's disk refuses; the trials in it stay.
    """
    dimensions = {name: _dimension(one) for name, one in space.items()}
    with _disk_errors(journal), ThreadPoolExecutor(workers) as threads:
        study = _opened(journal, space, batch, seed, sampler)
        if study is None:
            journal.unlink(missing_ok=True)
            study = _created(journal)
        for start in range(0, trials, batch):
            places = range(start, min(start + batch, trials))
            told = [dict(trial.params) for trial in _slots(study)[:start]]
            if told and enough(told):
                return told
            asked = [_asked(study, dimensions, space, sampler, seed, place) for place in places]
            left = [trial for trial in asked if not trial.state.is_finished()]
            for trial, loss in zip(left, list(threads.map(loss_of, [dict(trial.params) for trial in left])), strict=True):
                study.tell(trial.number, loss)
            progress(places.stop, trials, study.best_value)
    return [dict(trial.params) for trial in _slots(study)[:trials]]


def asked_again(space: Space, batch: int, seed: int, losses: Sequence[float], sampler: Sampler = "auto") -> list[Params]:
    """The parameters that `search` asks for when its trials lose as they did: nothing is fitted, nothing written."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    dimensions = {name: _dimension(one) for name, one in space.items()}
    study = optuna.create_study(direction="minimize")
    for start in range(0, len(losses), batch):
        places = range(start, min(start + batch, len(losses)))
        for trial in [_asked(study, dimensions, space, sampler, seed, place) for place in places]:
            study.tell(trial.number, losses[trial.number])
    return [dict(trial.params) for trial in _slots(study)]


@contextmanager
def _disk_errors(journal: Path) -> Iterator[None]:
    """What the system refuses, as ours. Raises: StoreUnavailable."""
    try:
        yield
    except OSError as err:
        raise StoreUnavailable.refused(str(journal), err, "The trials in it stay; mend the disk and run again.", "written") from err


def _created(journal: Path) -> Study:
    import optuna

    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal)))
    return optuna.create_study(storage=storage, study_name=journal.stem, direction="minimize", load_if_exists=True)


def _follows(study: Study, space: Space, batch: int, seed: int, sampler: Sampler) -> bool:
    """Whether the batches that were told in full are what the search would have asked for, and every loss a number."""
    from itertools import takewhile

    told = list(takewhile(lambda trial: trial.state.is_finished() and trial.value is not None, _slots(study)))
    losses = [trial.value for trial in told]
    in_full = len(told) // batch * batch
    asked = [dict(trial.params) for trial in told[:in_full]]
    return all(map(math.isfinite, losses)) and asked_again(space, batch, seed, losses[:in_full], sampler) == asked


def _opened(journal: Path, space: Space, batch: int, seed: int, sampler: Sampler) -> Study | None:
    """The journal's study; None where Optuna cannot make sense of it, or the search would not have written it."""
    import optuna
    from optuna.trial import TrialState

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    _mend(journal)
    try:
        study = _created(journal)
        for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            if set(trial.params) != set(space):  # killed between two of its parameters: Optuna leaves it running for ever
                study.tell(trial.number, state=TrialState.FAIL)
        return study if _follows(study, space, batch, seed, sampler) else None
    except Exception as err:  # a changed byte in a line is any error: of JSON, of a key, of an assertion
        if isinstance(err, OSError) or isinstance(err.__context__, OSError):  # of the disk: Optuna's lock says RuntimeError then
            raise
        return None


def _mend(journal: Path) -> None:
    """Cut the half line that a kill left at the end, on which Optuna would stumble, and drop its stale lock."""
    journal.with_name(journal.name + ".lock").unlink(missing_ok=True)
    if journal.exists() and not (content := journal.read_bytes()).endswith(b"\n"):
        os.truncate(journal, content.rfind(b"\n") + 1)


def _asked(study: Study, dimensions: dict[str, BaseDistribution], space: Space, sampler: Sampler, seed: int, place: int) -> FrozenTrial:
    """The trial at `place`: the journal's, or a new one."""
    if place >= len(_slots(study)):
        study.sampler = _sampler(study, space, sampler, seed, place)
        study.ask(dimensions)
    return _slots(study)[place]


def _slots(study: Study) -> list[FrozenTrial]:
    """Trials in the order they were asked for, without those that never got all their parameters."""
    from optuna.trial import TrialState

    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.FAIL]


def _sampler(study: Study, space: Space, sampler: Sampler, seed: int, place: int) -> BaseSampler:
    """Who chooses the parameters of the trial at `place`; what it knows is the study."""
    from optuna.samplers import RandomSampler, TPESampler

    drawn = int(np.random.default_rng([seed, place]).integers(2**31))
    if sampler == "auto" and len(in_turns := styles(space)) > 1 and place < len(in_turns):
        return _fixed(in_turns[place])
    if sampler == "grid":
        return _fixed(point(space, seed, place))
    if sampler == "random" or (sampler == "gp" and place < STARTUP):
        return RandomSampler(seed=drawn)
    if sampler == "gp":
        known = _slots(study)
        told = [trial for trial in known if trial.value is not None]
        pending = [dict(trial.params) for trial in known if trial.value is None]
        if told:
            return _fixed(gaussian.proposed(space, [dict(t.params) for t in told], [t.value for t in told], pending, [seed, place]))
        return RandomSampler(seed=drawn)  # a first batch larger than `STARTUP`
    return TPESampler(seed=drawn, n_startup_trials=STARTUP, multivariate=True, constant_liar=True)


def _fixed(params: Params) -> BaseSampler:
    """A sampler that has made up its mind. Optuna's own way, `enqueue_trial`, leaves waiting trials in the journal."""
    from optuna.samplers import BaseSampler

    class Fixed(BaseSampler):  # type: ignore[misc]  # Optuna is not typed here
        def infer_relative_search_space(self, study: Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
            return {}

        def sample_relative(self, study: Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> Params:
            return {}

        def sample_independent(self, study: Study, trial: FrozenTrial, name: str, distribution: BaseDistribution) -> float | int | str:
            return params[name]

    return Fixed()


def _dimension(one: Dimension) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if not isinstance(one, Range):
        return CategoricalDistribution(one)
    if whole(one):
        return IntDistribution(int(one.low), int(one.high), log=one.log)
    return FloatDistribution(float(one.low), float(one.high), log=one.log)
