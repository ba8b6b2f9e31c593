"""The project's own Python in judging: a measure, the gate's policy, a recipe; functions that the YAML names in full."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pillars import masking
from pillars.config import Project, nearest
from pillars.errors import ConfigInvalid
from pillars.vocabulary import Decision, Recipe, Scorecard

FAULTS = (Exception, SystemExit)  # of a project's own code
SAID = 300  # characters of an exception's text


def measured(project: Project, name: str, y: np.ndarray, p: np.ndarray) -> np.ndarray | float:
    """The project's own measure `name` of outcomes and scores: values per row, float64 (n,), or one finite figure.

    The function gets copies, as `metrics.losses` takes them: what it changes, changes nothing here.

    Raises:
        ConfigInvalid: there is no such function, it fails, or it gives neither.
    """
    where = f"metrics.{name}"
    given = _asked(project, where, project.metrics[name], np.array(y), np.array(p))
    try:
        found = np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if found.shape not in ((), (len(y),)) or not np.isfinite(found).all():
        wanted = f"{len(y)} finite values, one for each row, or one finite figure"
        raise _refused(project, where, f"{project.metrics[name]} must give {wanted}, not {_kind(given)}")
    return found if found.shape else float(found)


def policy(project: Project, scorecards: tuple[Scorecard, ...]) -> Decision:
    """What the project's own policy says of the scorecards: challenger first, then champion and baselines.

    Raises:
        ConfigInvalid: there is no such function, it fails, or it gives no Decision.
    """
    where = "gate.policy"
    said = _asked(project, where, str(project.gate.policy), scorecards)
    if not isinstance(said, Decision):
        raise _refused(project, where, f"{project.gate.policy} must give a Decision, not {_kind(said)}")
    return said


def recipe(project: Project) -> Recipe:
    """The project's own recipe, under the name of its function.

    Raises:
        ConfigInvalid: there is no such function, it fails, or it gives no Recipe that could be fitted.
    """
    where, function = "search.recipe", str(project.search.recipe)
    said = _asked(project, where, function, project)
    if not isinstance(said, Recipe) or not isinstance(said.params, Mapping):
        raise _refused(project, where, f"{function} must give a Recipe, not {_kind(said)}")
    if said.rounds < 1 or said.bags < 1:
        raise _refused(project, where, f"{function} gave a recipe of {said.rounds} rounds and {said.bags} bags; 1 is the least")
    return replace(said, name=function.rpartition(".")[2], params={"max_bin": project.search.max_bin, **said.params})


def _asked(project: Project, where: str, named: str, *arguments: object) -> Any:
    function = _found(project, where, named)
    try:
        return function(*arguments)
    except FAULTS as err:
        raise _refused(project, where, f"{named} failed ({_said(project, err)})") from (None if project.confidential else err)


def _found(project: Project, where: str, named: str) -> Callable[..., object]:
    module, _, function = named.rpartition(".")
    try:
        loaded = importlib.import_module(module)
    except ModuleNotFoundError as err:
        if f"{module}.".startswith(f"{err.name}."):
            raise _refused(project, where, f"there is no module {module}, where {named} was looked for") from err
        raise _refused(project, where, f"{module} needs the module {err.name}, which is not installed") from err
    except FAULTS as err:
        raise _refused(project, where, f"{module} cannot be imported ({_said(project, err)})") from err
    found = getattr(loaded, function, None)
    if not callable(found):
        public = [name for name, value in vars(loaded).items() if callable(value)]
        raise _refused(project, where, f"{module} has no function {function}{nearest(function, public)}")
    return found


def _refused(project: Project, where: str, problem: str) -> ConfigInvalid:
    return ConfigInvalid(f"{project.project}.yaml", [f"{where}: {problem}"])


def _said(project: Project, err: BaseException) -> str:
    """An exception in a line; its text can quote a row, so it is left out where columns are personal or sensitive."""
    if project.confidential:
        return type(err).__name__
    return f"{type(err).__name__}: {' '.join(masking.masked(str(err)).split())[:SAID]}"


def _kind(given: object) -> str:
    shape = getattr(given, "shape", None)
    return f"{type(given).__name__} of shape {shape}" if shape is not None else type(given).__name__
