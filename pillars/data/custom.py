"""Expectations that a project brings itself: classes that `expectations()` of `projects/<name>.py` returns."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any

from pillars.config import Project, nearest
from pillars.errors import ConfigInvalid

FAULTS = (Exception, SystemExit)  # of a project's own code
SAID = 300  # characters of an exception's text


def module_of(project: Project) -> str:
    """Full name of the module in which a project's own expectations are looked for."""
    return f"projects.{project.project.replace('-', '_')}"


def find(project: Project, name: str, taken: Collection[str] = ()) -> Any:
    """The project's own expectation of a type such as `expect_clock_to_match`; None where the project has no module or no function for it.

    The module is imported only here, so it costs nobody else anything; Great Expectations belongs inside `expectations()`.

    Raises:
        ConfigInvalid: the module or its function fails, returns something else than expectations, one of a type that is `taken`, or
            not this one.
    """
    module = module_of(project)
    file = f"{project.project}.yaml"
    try:
        given = getattr(importlib.import_module(module), "expectations", None)
    except ModuleNotFoundError as err:
        if err.name == module:
            return None
        raise _fault(file, module, name, err) from err
    except FAULTS as err:
        raise _fault(file, module, name, err) from err
    if given is None:
        return None
    if not callable(given):
        raise ConfigInvalid(file, [f"expectations.suite: {name}: {module}.expectations must be a function that returns classes"])
    try:
        known = _classes(given)
    except FAULTS as err:
        raise _fault(file, f"{module}.expectations()", name, err) from err
    if strange := [each for each in known if not isinstance(each, type) or not hasattr(each, "expectation_type")]:
        problem = f"expectations.suite: {name}: {module}.expectations() returned {strange[0]!r:.60}, which is no expectation's class"
        raise ConfigInvalid(file, [problem])
    if clash := [each for each in known if each.expectation_type in taken]:
        problem = f"expectations.suite: {name}: {module} has a class {clash[0].__name__}, and so has Great Expectations; rename yours"
        raise ConfigInvalid(file, [problem])
    by_type = {str(each.expectation_type): each for each in known}
    if name not in by_type:
        problem = f"expectations.suite: neither Great Expectations nor {module} has {name}{nearest(name, by_type)}"
        raise ConfigInvalid(file, [problem])
    return by_type[name]


@lru_cache(maxsize=8)
def _classes(given: Callable[[], object]) -> tuple[Any, ...]:
    """What a project's function returns, asked once: a class that is defined anew is registered anew."""
    returned = given()
    if not isinstance(returned, list | tuple):
        raise TypeError(f"it returned {type(returned).__name__}, a list of classes is needed")
    return tuple(returned)


def _fault(file: str, where: str, name: str, err: BaseException) -> ConfigInvalid:
    said = " ".join(f"{type(err).__name__}: {err}".split())[:SAID]
    return ConfigInvalid(file, [f"expectations.suite: {name} was looked for in {where}, which failed ({said})"])
