import math

import numpy as np
import pytest

from pillars.config import Range
from pillars.training.gaussian import proposed
from pillars.training.spaces import Space, drawn, folded, point, size, styles

SPACE: Space = {
    "eta": Range(low=0.01, high=1.0, log=True),
    "max_depth": Range(low=2, high=9),
    "subsample": Range(low=0.5, high=1.0, points=1),
    "encoding": ("codes", "native"),
    "growth": ("depth", "leaves"),
}


def test_styles_are_all_combinations_at_the_middle_of_the_ranges() -> None:
    found = styles(SPACE)
    assert [(one["encoding"], one["growth"]) for one in found] == [
        ("codes", "depth"),
        ("codes", "leaves"),
        ("native", "depth"),
        ("native", "leaves"),
    ]
    for one in found:
        assert math.isclose(float(one["eta"]), 0.1)
        assert (one["max_depth"], one["subsample"]) == (6, 0.75)


def test_without_styles_there_is_one_the_middle() -> None:
    assert styles({"max_depth": Range(low=2, high=4)}) == [{"max_depth": 3}]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_grid_holds_every_point_once_before_one_comes_again(seed: int) -> None:
    count = size(SPACE)
    assert count == 3 * 3 * 1 * 2 * 2
    points = [tuple(point(SPACE, seed, place).values()) for place in range(count)]
    assert len(set(points)) == count
    assert tuple(point(SPACE, seed, count).values()) == points[0]


@pytest.mark.parametrize("points", range(1, 14))
def test_a_grid_of_any_size_holds_every_point_once(points: int) -> None:
    space = {"eta": Range(low=0.1, high=0.9, points=points)}
    assert len({point(space, 5, place)["eta"] for place in range(points)}) == size(space) == points


def test_a_grid_holds_both_ends_and_no_value_outside() -> None:
    values = {point(SPACE, 0, place)["eta"] for place in range(size(SPACE))}
    assert min(values) == 0.01  # type: ignore[type-var]
    assert max(values) == 1.0  # type: ignore[type-var]


def test_a_range_of_few_integers_has_no_more_points_than_integers() -> None:
    assert size({"max_depth": Range(low=3, high=4, points=9)}) == 2


def test_points_are_folded_into_the_unit_cube() -> None:
    random = np.random.default_rng(0)
    cube = folded(SPACE, [drawn(SPACE, random) for _ in range(200)])
    assert cube.shape == (200, 7)
    assert ((cube >= 0) & (cube <= 1)).all()
    assert np.ptp(cube[:, 0]) > 0.9
    ends = folded(SPACE, [{**styles(SPACE)[0], "eta": eta} for eta in (0.01, 0.1, 1.0)])
    assert np.allclose(ends[:, 0], [0, 0.5, 1])


def test_a_process_proposes_near_the_lowest_loss_and_not_where_one_is_pending() -> None:
    space = {"x": Range(low=0.0, high=1.0)}
    told = [{"x": x} for x in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)]
    losses = [(float(one["x"]) - 0.3) ** 2 for one in told]
    first = proposed(space, told, losses, [], [0, 6])
    assert abs(float(first["x"]) - 0.3) < 0.1
    assert proposed(space, told, losses, [], [0, 6]) == first
    assert proposed(space, told, losses, [first], [0, 6]) != first


def test_a_process_bears_equal_losses_and_a_space_of_one_point() -> None:
    space = {"x": Range(low=0.5, high=0.5), "y": Range(low=1, high=1)}
    assert proposed(space, [{"x": 0.5, "y": 1}] * 6, [0.25] * 6, [{"x": 0.5, "y": 1}], [0, 6]) == {"x": 0.5, "y": 1}
