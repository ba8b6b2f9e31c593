"""Two models are compared row by row, on the rows that both said something of, whatever their order."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pillars.training.gate import paired_gain
from pillars.training.metrics import losses
from pillars.training.pairing import Side, gain, sides
from pillars.training.rows import Rows
from tests.factories import binary_project, classes_project
from tests.pillars.training.worlds import gathered

PROJECT = binary_project()


@pytest.fixture(scope="module")
def rows() -> Rows:
    return gathered(PROJECT, "2013-01")


def side(rows: Rows, seed: int, places: np.ndarray | None = None) -> Side:
    p = np.random.default_rng(seed).uniform(0.01, 0.99, len(rows.y))
    return Side(rows.keys, p) if places is None else Side(rows.keys.take(pa.array(places)), p[places])


def test_it_is_the_gates_own_gain(rows: Rows) -> None:
    one, other = side(rows, 1), side(rows, 2)
    found = gain(PROJECT, rows, "other", one, other)
    assert found.measure == paired_gain(PROJECT.gate, rows.y, other.p, one.p, rows.blocks, PROJECT.search.seed)
    assert (found.against, found.loss, found.rows) == ("other", "log_loss", len(rows.y))
    assert gain(PROJECT, rows, "one", other, one).measure.value == pytest.approx(-found.measure.value)


def test_the_order_of_either_side_does_not_matter(rows: Rows) -> None:
    shuffled = np.random.default_rng(3).permutation(len(rows.y))
    expected = gain(PROJECT, rows, "x", side(rows, 1), side(rows, 2))
    assert gain(PROJECT, rows, "x", side(rows, 1, shuffled), side(rows, 2)) == expected
    assert gain(PROJECT, rows, "x", side(rows, 1), side(rows, 2, shuffled)) == expected


def test_rows_that_one_of_them_lacks_are_left_out(rows: Rows) -> None:
    half, later = np.arange(0, 400), np.arange(200, len(rows.y))
    found = gain(PROJECT, rows, "x", side(rows, 1, half), side(rows, 2, later))
    both = np.arange(200, 400)
    lost = [losses("log_loss", rows.y[both], side(rows, seed).p[both]).mean() for seed in (2, 1)]
    assert found.rows == 200
    assert found.measure.value == pytest.approx(lost[0] - lost[1])


def test_without_rows_in_common_nothing_is_said(rows: Rows) -> None:
    found = gain(PROJECT, rows, "x", side(rows, 1, np.arange(100)), side(rows, 2, np.arange(100, 200)))
    assert (found.measure, found.rows, found.said) == (None, 0, "they were judged on no row in common")


def test_equal_scores_are_said_to_be_equal(rows: Rows) -> None:
    assert gain(PROJECT, rows, "x", side(rows, 1), side(rows, 1)).said.endswith("they say the same")


def test_a_file_of_judged_predictions_gives_its_sides_of_several_classes_too() -> None:
    project = classes_project()
    keys = pa.table({"at": pa.array([1, 2], pa.timestamp("s")), "line": ["A", "B"], "number": [1, 2]})
    scores = [[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]]
    table = keys.append_column("outcome", pa.array([0.0, 2.0])).append_column("score_challenger", pa.array(scores))
    found = sides(table.append_column("score_majority", pa.array(scores)), project.key)
    assert list(found) == ["challenger", "majority"]
    assert found["challenger"].p.tolist() == scores
    assert found["challenger"].keys.column_names == ["at", "line", "number"]
