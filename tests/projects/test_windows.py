"""Windowed sums against counting by hand."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from projects.flights.windows import codes, events, pair, ratio

EVENT = st.tuples(st.integers(0, 3), st.integers(0, 50), st.integers(-5, 5))
WINDOW = st.tuples(st.integers(0, 4), st.integers(-5, 60), st.integers(-5, 60))


@given(st.lists(EVENT, min_size=1, max_size=40), WINDOW)
def test_a_window_holds_its_start_and_not_its_end(happened: list[tuple[int, int, int]], window: tuple[int, int, int]):
    seen = _events(happened)
    group, since, until = window[0], min(window[1:]), max(window[1:])
    start, stop = (seen.before(np.array([group]), np.array([minute])) for minute in (since, until))
    inside = [value for g, minute, value in happened if g == group and since <= minute < until]
    assert seen.total("n", start, stop).tolist() == [len(inside)]
    assert seen.total("value", start, stop).tolist() == [sum(inside)]


@given(st.lists(EVENT, min_size=1, max_size=40), st.lists(st.tuples(st.integers(0, 4), st.integers(-5, 60)), max_size=20), st.booleans())
def test_windows_asked_for_together_are_those_asked_for_alone(
    happened: list[tuple[int, int, int]], asked: list[tuple[int, int]], many: bool
):
    far = 1 << 20 if many else 1  # as when thousands of flights are groups
    seen = _events([(group * far, minute, value) for group, minute, value in happened])
    groups, minutes = (np.array([one[place] for one in asked], dtype=np.int64) for place in (0, 1))
    alone = [int(seen.before(np.array([group * far]), np.array([minute]))[0]) for group, minute in asked]
    assert seen.before(groups * far, minutes).tolist() == alone


@given(st.lists(EVENT, min_size=1, max_size=40), st.integers(0, 4), st.integers(-5, 60))
def test_the_last_event_is_of_the_group_and_not_later(happened: list[tuple[int, int, int]], group: int, minute: int):
    known = [(m, i) for i, (g, m, _) in enumerate(happened) if g == group and m <= minute]
    assert _events(happened).last(np.array([group]), np.array([minute])).tolist() == [max(known)[1] if known else -1]


def test_a_ratio_over_nothing_is_null():
    assert ratio(np.array([0, 3]), np.array([0, 4])).to_pylist() == [None, 0.75]


def test_null_has_a_code_of_its_own():
    found = codes(pa.chunked_array([["a", None], ["a", "b"]]))
    assert found[0] == found[2]
    assert len(set(found.tolist())) == 3


def test_pairs_of_codes_do_not_collide():
    left, right = np.divmod(np.arange(12), 4)
    assert len(set(pair(left, right).tolist())) == 12


def _events(happened: list[tuple[int, int, int]]):
    group, minute, value = np.array(happened, np.int64).T
    return events(group, minute, value=value)
