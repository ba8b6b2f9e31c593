"""The traffic policy as the server reads it. What it does not know it leaves alone: who changes traffic may say more than that."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pillars.deployment.server.routing import key
from pillars.errors import BundleRefused
from pillars.vocabulary import Release

FORMAT = 1
WHOLE = 10_000  # basis points of the traffic
Role = Literal["champion", "challenger", "shadow"]


@dataclass(frozen=True)
class Seat:
    """A release and what it is there for; `weight` is a challenger's share of the traffic in basis points."""

    role: Role
    release: Release
    weight: int = 0


@dataclass(frozen=True)
class Policy:
    """Who answers at one generation: the champion first. Nobody, where a project was withdrawn. `salt` keys the hash of entities.
    `previous`: earlier champions that are kept, newest first, for the day on which the champion does not load."""

    generation: int
    seats: tuple[Seat, ...]
    salt: bytes
    previous: tuple[Release, ...] = ()


def read(path: Path, project: str) -> Policy:
    """The policy in a file.

    `challenger` (or a list, `challengers`) has a release's fields, and its share as `weight_bp` or `share`, in itself or beside it;
    `shadow` (or `shadows`) a release's fields; `salt` is text, by default the project's name.

    Raises:
        FileNotFoundError: there is none yet.
        BundleRefused: it is there and is no policy.
    """
    try:
        content = json.loads(path.read_bytes())
        if content["format"] != FORMAT:
            raise ValueError("unknown format")
        champion, generation = content["champion"], int(content["generation"])
        salt = key(str(content.get("salt") or project))
        if champion is None:
            return Policy(generation, (), salt)
        challengers = tuple(Seat("challenger", _release(one), _weight(one, content)) for one in _listed(content, "challenger"))
        shadows = tuple(Seat("shadow", _release(one)) for one in _listed(content, "shadow"))
        if len(challengers) > 2:
            raise ValueError("more than two challengers")  # a third could not grow without pushing somebody out, see `routing`
        if sum(seat.weight for seat in challengers) > WHOLE:
            raise ValueError("the challengers' shares exceed the whole")
        previous = tuple(_release(one) for one in content.get("previous") or [])
        return Policy(generation, (Seat("champion", _release(champion)), *challengers, *shadows), salt, previous)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as err:
        why = err if isinstance(err, ValueError) else type(err).__name__
        raise BundleRefused(str(path), f"it is no traffic policy ({why})", "restore the file, or run pillars deploy") from err


def _listed(content: Mapping[str, Any], kind: str) -> list[Any]:
    one = content.get(kind)
    return [*([one] if one else []), *(content.get(f"{kind}s") or [])]


def _release(one: Mapping[str, Any]) -> Release:
    return Release(str(one.get("project", "")), int(one["version"]), str(one["sha256"]), str(one["path"]), str(one.get("digest", "")))


def _weight(one: Mapping[str, Any], around: Mapping[str, Any]) -> int:
    for place in (one, around):
        if place.get("weight_bp") is not None:
            weight = int(place["weight_bp"])
            break
        if place.get("share") is not None:
            weight = round(float(place["share"]) * WHOLE)
            break
    else:
        weight = 0
    if not 0 <= weight <= WHOLE:
        raise ValueError(f"a share of {weight} basis points")
    return weight
