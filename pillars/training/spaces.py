"""A search's space as numbers: its middle, the points of a grid over it, and the unit cube that it is folded into."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import product

import numpy as np

from pillars.config import Range

Params = dict[str, float | int | str]
Dimension = Range | tuple[str, ...]  # a range of numbers, or choices
Space = Mapping[str, Dimension]


def whole(one: Range) -> bool:
    """Whether its values are integers."""
    return isinstance(one.low, int) and isinstance(one.high, int)


def styles(space: Space) -> list[Params]:
    """All combinations of the choices, each with every range at its middle; without choices one, the middle."""
    choices = {name: one for name, one in space.items() if not isinstance(one, Range)}
    middle: Params = {name: _at(one, 0.5) for name, one in space.items() if isinstance(one, Range)}
    return [{**middle, **dict(zip(choices, chosen, strict=True))} for chosen in product(*choices.values())]


def size(space: Space) -> int:
    """Points of the grid."""
    return math.prod(len(_values(one)) for one in space.values())


def point(space: Space, seed: int, place: int) -> Params:
    """The point of the grid that comes at `place`: every point once in `size` places, neighbours far apart, begun where the seed says."""
    count = size(space)
    stride = next(one for one in range(max(1, round(count * 0.618)), count + 2) if math.gcd(one, count) == 1)  # the golden section
    index = (int(np.random.default_rng(seed).integers(count)) + place * stride) % count
    params: Params = {}
    for name, one in space.items():
        values = _values(one)
        index, at = divmod(index, len(values))
        params[name] = values[at]
    return params


def drawn(space: Space, random: np.random.Generator) -> Params:
    """One point, every value of a dimension as likely as the others."""
    return {
        name: _at(one, float(random.random())) if isinstance(one, Range) else one[int(random.integers(len(one)))]
        for name, one in space.items()
    }


def folded(space: Space, params: Sequence[Params]) -> np.ndarray:
    """Points in the unit cube, float64, shape (n, ranges and choices): a column per range, one per choice of the others."""
    return np.array([list(_folded(space, one)) for one in params], dtype=np.float64).reshape(len(params), -1)


def _folded(space: Space, params: Params) -> Iterator[float]:
    for name, one in space.items():
        if isinstance(one, Range):
            low, high, value = (math.log(v) if one.log else float(v) for v in (one.low, one.high, float(params[name])))
            yield (value - low) / (high - low) if high > low else 0.5
        else:
            yield from (float(params[name] == choice) for choice in one)


def _at(one: Range, share: float) -> float | int:
    """The value so far along the range; `share` in [0, 1)."""
    if whole(one) and not one.log:
        return min(int(one.low + share * (one.high - one.low + 1)), int(one.high))
    low, high = (math.log(one.low), math.log(one.high)) if one.log else (float(one.low), float(one.high))
    value = low + share * (high - low)
    value = min(max(math.exp(value) if one.log else value, float(one.low)), float(one.high))  # exp(log(x)) may be the next number
    return round(value) if whole(one) else value


def _values(one: Dimension) -> list[float | int | str]:
    if not isinstance(one, Range):
        return list(one)
    if one.points == 1:
        return [_at(one, 0.5)]
    ends = [one.low, *(_at(one, place / (one.points - 1)) for place in range(1, one.points - 1)), one.high]
    return list(dict.fromkeys(int(v) if whole(one) else float(v) for v in ends))
