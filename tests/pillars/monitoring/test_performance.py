"""Realized quality counts every prediction once, with its own outcome, and only when the outcome is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.errors import SourceBroken
from pillars.monitoring.performance import joined, realized
from pillars.vocabulary import Measure, Scorecard
from tests.pillars.monitoring.worlds import project, trips

TRIPS = project()


def predictions(rows: int = 60) -> pa.Table:
    """Twenty trips a day; the score is the trip's own number, in percent."""
    return trips(rows).select(["id", "at"]).append_column("score", pa.array(np.arange(rows) / 100)).append_column(
        "decision", pa.array(np.arange(rows) >= 30)
    )  # fmt: skip


def outcomes(late: dict[int, bool | None]) -> pa.Table:
    """Outcomes of some trips by number, in the order given."""
    numbers = pa.array(list(late), pa.int64())
    return pa.table({"id": numbers, "at": trips(1000)["at"].take(numbers), "late": pa.array(list(late.values()), pa.bool_())})


class Seen:
    """A scorecard that remembers what it was given."""

    def __call__(self, y: Any, p: Any, blocks: Any) -> Scorecard:
        self.y, self.p, self.blocks = y, p, blocks
        return Scorecard("v1", "2013-01", len(y), int(y.sum()), {"log_loss": Measure(0.5, 0.4, 0.6)})


def test_each_prediction_meets_its_own_outcome_whatever_the_order() -> None:
    seen = Seen()
    realized(TRIPS, predictions(), outcomes({n: n % 7 == 0 for n in reversed(range(60))}), seen)
    assert seen.y.tolist() == [float(n % 7 == 0) for n in range(60)]
    assert seen.p.tolist() == pytest.approx([n / 100 for n in range(60)])


def test_rows_of_one_day_are_one_block() -> None:
    seen = Seen()
    realized(TRIPS, predictions(), outcomes({n: n % 2 == 0 for n in range(60)}), seen)
    assert np.unique(seen.blocks, return_counts=True)[1].tolist() == [20, 20, 20]


def test_rows_without_an_outcome_are_left_out_and_counted() -> None:
    known: dict[int, bool | None] = {n: n % 2 == 0 for n in range(30)}
    seen = Seen()
    card = realized(TRIPS, predictions(), outcomes(known | dict.fromkeys(range(30, 45))), seen)
    assert card is not None
    assert (len(seen.y), card.rows) == (30, 30)
    assert card.measures["coverage"].value == 0.5
    assert card.measures["log_loss"].value == 0.5


def test_outcomes_of_rows_that_nobody_scored_do_not_count() -> None:
    seen = Seen()
    card = realized(TRIPS, predictions(20), outcomes({n: n % 2 == 0 for n in range(60)}), seen)
    assert card is not None
    assert (len(seen.y), card.measures["coverage"].value) == (20, 1.0)


@pytest.mark.parametrize(
    "late",
    [
        pytest.param({}, id="none landed"),
        pytest.param(dict.fromkeys(range(60)), id="all cancelled"),
        pytest.param(dict.fromkeys(range(60), True), id="all alike"),
    ],
)
def test_without_two_kinds_of_outcome_there_is_no_quality(late: dict[int, bool | None]) -> None:
    assert realized(TRIPS, predictions(), outcomes(late), Seen()) is None


def test_an_outcome_that_came_twice_is_refused() -> None:
    twice = pa.concat_tables([outcomes({1: True, 2: False}), outcomes({2: True})])
    with pytest.raises(SourceBroken, match="same key"):
        joined(TRIPS, predictions(), twice)


def test_keys_join_though_one_side_wrote_them_narrower() -> None:
    narrow = outcomes({n: n % 2 == 0 for n in range(60)})
    narrow = narrow.set_column(0, "id", narrow["id"].cast(pa.int32())).set_column(1, "at", narrow["at"].cast(pa.timestamp("us")))
    assert joined(TRIPS, predictions(), narrow).num_rows == 60


def test_predictions_without_their_time_are_not_resampled_row_by_row() -> None:
    columns = {"at": {"type": "timestamp", "role": ["time"]}}
    without = project(columns=columns)
    late = outcomes({n: n % 2 == 0 for n in range(60)}).drop_columns(["at"])
    with pytest.raises(SourceBroken, match="names their day"):
        realized(without, predictions().drop_columns(["at"]), late, Seen())
    seen = Seen()
    realized(project(columns=columns, split={"block": "row"}), predictions().drop_columns(["at"]), late, seen)
    assert seen.blocks.tolist() == list(range(60))


@pytest.mark.parametrize("said", [float("nan"), float("inf"), 9.0, -0.1])
def test_an_answer_that_was_none_is_left_out_and_counted(said: float) -> None:
    made, seen = predictions(), Seen()
    broken = made.set_column(made.schema.get_field_index("score"), "score", pa.array([said] * 15 + made["score"].to_pylist()[15:]))
    card = realized(TRIPS, broken, outcomes({n: n % 2 == 0 for n in range(60)}), seen)
    assert card is not None
    assert (len(seen.p), card.measures["coverage"].value) == (45, 0.75)
