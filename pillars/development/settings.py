"""Settings changed for one experiment: `section.key=value` over the project's YAML, which stays as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from pillars import project_file
from pillars.config import Project, changed_keys, nearest
from pillars.errors import ConfigInvalid
from pillars.vocabulary import Change

OTHER_DATA = "other rows would come in: change the YAML, and ingest again"
OTHER_QUESTION = "another question needs a project of its own"
NOT_TRAINED = "no training depends on it: there would be nothing to compare"
FIXED = {  # sections that no experiment may change: why
    "project": "the name says whose data and models these are",
    "source": OTHER_DATA,
    "columns": OTHER_DATA,
    "expectations": OTHER_DATA,
    "privacy": OTHER_DATA,
    "retention": NOT_TRAINED,
    "task": OTHER_QUESTION,
    "target": OTHER_QUESTION,
    "classes": OTHER_QUESTION,
    "description": NOT_TRAINED,
    "rollout": NOT_TRAINED,
    "monitoring": NOT_TRAINED,
    "registry": NOT_TRAINED,
    "schedule": NOT_TRAINED,
}


def changed(project: Project, settings: Sequence[str]) -> Project:
    """The project with each `section.key=value` of `settings` set; a value is YAML, and replaces what stands at its key.

    Raises:
        ConfigInvalid: a word without `=`, a key that stands twice, is not known or may not be set, a bad value; or nothing is changed.
    """
    content = project.model_dump(mode="json")
    given: dict[str, Any] = {}
    problems = []
    for word in settings:
        key, equals, text = word.partition("=")
        key = key.strip()
        if problem := _problem(key, equals, given):
            problems.append(f"{word.strip() or 'an empty word'}: {problem}")
            continue
        try:
            given[key] = project_file.value(text)
            _set(content, key, given[key])
        except ValueError as err:
            problems.append(f"{key}: {err}")
    if problems:
        raise ConfigInvalid(_named(project), problems)
    try:
        found = Project.model_validate(content)
    except ValidationError as err:
        raise ConfigInvalid(_named(project), project_file.sentences(err)) from err
    if found == project:
        raise ConfigInvalid(_named(project), [f"nothing is changed: {' and '.join(given) or 'no key'} already stands so in the YAML"])
    return found


def changes(one: Project, other: Project) -> tuple[Change, ...]:
    """What differs from one to the other, by dotted key."""
    found = changed_keys(one.model_dump(mode="json"), other.model_dump(mode="json"))
    return tuple(Change(key, json.dumps(was), json.dumps(now)) for key, (was, now) in found.items())


def _problem(key: str, equals: str, given: dict[str, Any]) -> str:
    """Why a key may not be set, empty where it may."""
    section = key.partition(".")[0]
    if not equals:
        return "it is no section.key=value"
    if section in FIXED:
        return f"{section} may not be set in an experiment; {FIXED[section]}"
    if section not in Project.model_fields:
        return f"unknown key {key}{nearest(section, [name for name in Project.model_fields if name not in FIXED])}"
    if any(key == other or key.startswith(f"{other}.") or other.startswith(f"{key}.") for other in given):
        return f"{key} is set twice"
    return ""


def _set(content: dict[str, Any], key: str, value: Any) -> None:
    """Put a value at its place. Raises: ValueError, where the way there leads through what is no section."""
    *way, last = key.split(".")
    place = content
    for depth, part in enumerate(way):
        if place.get(part) is None:
            place[part] = {}
        if not isinstance(place[part], dict):
            raise ValueError(f"{'.'.join(way[: depth + 1])} is a value of its own, without keys; set it whole")
        place = place[part]
    place[last] = value


def _named(project: Project) -> str:
    return f"{project.project}.yaml with these settings"
