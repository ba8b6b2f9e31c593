import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillars.targets import decimal, is_known, spread, truth
from tests.factories import CLASSES, binary_project, classes_project, numbers_project


def test_known_is_what_can_be_learned_from() -> None:
    assert is_known(binary_project(), pa.chunked_array([[True, None, False]])).to_pylist() == [True, False, True]
    assert is_known(classes_project(), pa.chunked_array([["late", None, "cancelled"]])).to_pylist() == [True, False, False]
    numbers = pa.chunked_array([[1.5, None, float("nan"), float("inf")]])
    assert is_known(numbers_project(), numbers).to_pylist() == [True, False, False, False]


def test_truth_is_a_flag_a_place_or_the_number_itself() -> None:
    assert truth(binary_project(), pa.chunked_array([[True, False]])).tolist() == [1.0, 0.0]
    assert truth(classes_project(), pa.chunked_array([["very late", "on time"]])).tolist() == [2.0, 0.0]
    assert truth(numbers_project(), pa.chunked_array([[0.1, -3.0]])).tolist() == [0.1, -3.0]
    assert truth(numbers_project(), pa.chunked_array([[16_777_217]])).tolist() == [16_777_217.0], "a number is not rounded to float32"


@given(y=st.lists(st.integers(0, 2), min_size=1, max_size=300), stretch=st.tuples(st.floats(0, 1), st.floats(0, 1)))
def test_each_stretch_of_an_order_without_time_has_the_classes_shares(y: list[int], stretch: tuple[float, float]) -> None:
    places = np.array(y, dtype=np.float32)
    ranks = spread(classes_project(), places)
    assert sorted(ranks) == list(range(len(y)))
    first, last = (round(end * len(y)) for end in sorted(stretch))
    taken = (ranks >= first) & (ranks < last)
    for one in range(len(CLASSES)):
        expected = (places == one).sum() * (last - first) / len(y)
        assert abs((places[taken] == one).sum() - expected) <= len(CLASSES), "of each class its share, but for what cannot be divided"
    assert np.array_equal(spread(classes_project(), places), ranks)


def test_numbers_are_spread_by_their_tenths() -> None:
    y = np.sort(np.random.default_rng(0).normal(size=1000))
    ranks = spread(numbers_project(), y)
    half = y[ranks < 500]
    for low, high in ((0, 100), (400, 500), (900, 1000)):
        assert abs(((half >= y[low]) & (half <= y[high - 1])).sum() - 50) <= 2
    assert len(spread(numbers_project(), np.array([]))) == 0


@pytest.mark.parametrize(("value", "said"), [(0.44341, "0.4434"), (99.0, "99.0000"), (1234567.891, "1,234,568"), (-250.0, "-250.00")])
def test_measures_are_short_whatever_their_size(value: float, said: str) -> None:
    assert decimal(value) == said
