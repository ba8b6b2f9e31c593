import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.bundle.calibration import NONE, apply

SIGMOID = {"kind": "sigmoid", "a": 0.8, "b": -0.3}
ISOTONIC = {"kind": "isotonic", "x": [0.1, 0.4, 0.9], "y": [0.0, 0.5, 0.8]}
PROBABILITIES = st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200).map(np.array)


@pytest.mark.parametrize("calibration", [NONE, SIGMOID, ISOTONIC], ids=lambda one: one["kind"])
@given(p=PROBABILITIES)
@settings(deadline=None)
def test_a_row_alone_is_calibrated_as_in_its_batch_and_stays_a_probability(calibration: dict, p: np.ndarray) -> None:
    batch = apply(calibration, p)
    assert np.array_equal(batch, np.concatenate([apply(calibration, p[i : i + 1]) for i in range(len(p))]))
    assert ((batch >= 0) & (batch <= 1)).all()


def test_none_changes_nothing() -> None:
    assert apply(NONE, np.array([0.0, 0.25, 1.0])).tolist() == [0.0, 0.25, 1.0]


def test_a_sigmoid_of_slope_1_and_no_offset_changes_nothing() -> None:
    assert apply({"kind": "sigmoid", "a": 1.0, "b": 0.0}, np.array([0.1, 0.7])) == pytest.approx([0.1, 0.7])


def test_isotonic_is_linear_between_its_knots_and_flat_outside() -> None:
    assert apply(ISOTONIC, np.array([0.0, 0.25, 0.4, 1.0])) == pytest.approx([0.0, 0.25, 0.5, 0.8])


def test_a_calibration_survives_json() -> None:
    p = np.linspace(0, 1, 50)
    assert np.array_equal(apply(json.loads(json.dumps(ISOTONIC)), p), apply(ISOTONIC, p))


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="beta"):
        apply({"kind": "beta"}, np.array([0.5]))
