"""A missing tail number means a cancelled flight; no column may say so. And the previous leg is used only as far as it has happened."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.projects.years import HORIZON_MIN, auc_of_null, whole_raw, whole_year

PLANE = ["previous_gap_min", "previous_departure_delay", "previous_arrival_delay", "previous_ground_min", "fleet_seats", "fleet_age"]


def cancelled() -> np.ndarray:
    return ~whole_raw().known("dep_delay")


def unnamed() -> np.ndarray:
    return ~whole_raw().known("tailnum")


def test_every_flight_without_a_tail_number_was_cancelled():
    assert unnamed().sum() == 2_512
    assert cancelled()[unnamed()].all()


@pytest.mark.parametrize("column", PLANE)
def test_a_null_of_a_plane_column_does_not_tell_a_cancellation(column: str):
    assert abs(auc_of_null(whole_year().rows[column], cancelled(), ~cancelled()) - 0.5) < 0.03
    assert abs(auc_of_null(whole_year().rows[column], unnamed(), ~cancelled()) - 0.5) < 0.10


@pytest.mark.parametrize("column", PLANE)
def test_nor_does_it_among_the_flights_of_one_carrier(column: str):
    """What is left is the world's: a plane that has not landed yet flies late or not at all. The record as it is gives .69 for US."""
    carrier = whole_raw().flights["carrier"].to_numpy()
    for code in np.unique(carrier[unnamed()]):
        ours = carrier == code
        if (ours & cancelled()).sum() >= 100:
            assert abs(auc_of_null(whole_year().rows[column], ours & cancelled(), ours & ~cancelled()) - 0.5) < 0.08, code


def test_the_bounds_would_catch_the_plane_taken_as_it_is_recorded():
    recorded = pa.chunked_array([pa.array(np.ones(len(unnamed())), mask=unnamed())])
    assert auc_of_null(recorded, cancelled(), ~cancelled()) > 0.6


@pytest.mark.parametrize("column", PLANE)
def test_flights_with_that_null_are_cancelled_about_as_often_as_all(column: str):
    null = whole_year().rows[column].is_null().to_numpy()
    assert cancelled()[null].mean() < 1.5 * cancelled().mean()


def test_no_gap_to_the_previous_leg_tells_what_became_of_the_flight():
    """A plane due out an hour before cannot be back: as recorded, 40 % of such flights were cancelled, 63 % of the others late."""
    gap = whole_year().rows["previous_gap_min"].fill_null(0).to_numpy()
    late = whole_year().outcomes["late"]
    landed, late = late.is_valid().to_numpy(), late.fill_null(False).to_numpy()
    assert gap[gap > 0].min() == 200
    for low in range(200, 960, 20):
        inside = (gap >= low) & (gap < low + 20)
        assert cancelled()[inside].mean() < 0.1, low
        assert late[inside & landed].mean() < 0.45, low


def test_a_previous_leg_counts_only_as_far_as_it_has_left_and_landed():
    raw, rows = whole_raw(), whole_year().rows
    plane = raw.flights["tailnum"].to_numpy(zero_copy_only=False)
    rng = np.random.default_rng(5)
    for i in rng.choice(np.flatnonzero(~unnamed()), 60, replace=False):
        asked = raw.scheduled[i] - HORIZON_MIN
        legs = np.flatnonzero((plane == plane[i]) & (raw.scheduled <= raw.scheduled[i] - 200))
        leg = legs[-1] if len(legs) and raw.scheduled[i] - raw.scheduled[legs[-1]] <= 960 else None
        left, landed = leg is not None and raw.departed[leg] < asked, leg is not None and raw.landed[leg] < asked
        assert rows["previous_gap_min"][i].as_py() == (None if leg is None else raw.scheduled[i] - raw.scheduled[leg])
        assert rows["previous_departure_delay"][i].as_py() == (raw.ints("dep_delay")[leg] if left else None)
        assert rows["previous_arrival_delay"][i].as_py() == (raw.ints("arr_delay")[leg] if landed else None)
        assert rows["previous_ground_min"][i].as_py() == (raw.scheduled[i] - raw.landed[leg] if landed else None)
