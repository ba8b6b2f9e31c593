import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.config import Project
from pillars.errors import TooFewRows, UnknownName
from pillars.training.splits import Part, Plan, plan, taken
from tests.factories import binary_project

MONTHS = [f"2013-{month:02d}" for month in range(1, 13)]
SHARES = st.floats(0, 1)


def project(gap: int = 0, share: float = 0.7) -> Project:
    return binary_project(split={"gap_periods": gap, "first_share": share})


def places(part: Part, days: int) -> set[tuple[str, int]]:
    """The (period, day) pairs of a part when every period has `days` days."""
    chosen = taken(part, np.arange(days))
    return {(period, day) for period in part.periods for day in range(days) if chosen[day]}


def test_with_three_months_or_more_whole_months_fit_validate_and_judge() -> None:
    assert plan(project(), MONTHS, "2013-04") == Plan(
        "2013-04",
        search_fit=Part(("2013-01", "2013-02")),
        validate=Part(("2013-03",)),
        twin_fit=Part(("2013-01", "2013-02", "2013-03")),
        judge_on=Part(("2013-04",)),
        refit=Part(("2013-01", "2013-02", "2013-03", "2013-04")),
    )


def test_with_two_months_the_last_days_of_the_first_validate() -> None:
    found = plan(project(), MONTHS, "2013-02")
    assert places(found.search_fit, 10) == {("2013-01", day) for day in range(7)}
    assert places(found.validate, 10) == {("2013-01", day) for day in range(7, 10)}
    assert found.twin_fit == Part(("2013-01",))
    assert found.judge_on == Part(("2013-02",))


def test_with_one_month_its_days_fit_validate_and_judge_in_this_order() -> None:
    found = plan(project(), MONTHS, "2013-01")
    assert places(found.search_fit, 100) == {("2013-01", day) for day in range(49)}
    assert places(found.validate, 100) == {("2013-01", day) for day in range(49, 70)}
    assert places(found.judge_on, 100) == {("2013-01", day) for day in range(70, 100)}
    assert found.refit == Part(("2013-01",))


def test_a_gap_lies_before_both_judges() -> None:
    found = plan(project(gap=1), MONTHS, "2013-06")
    assert found.twin_fit.periods == tuple(MONTHS[:4])
    assert found.validate.periods == ("2013-04",)
    assert found.search_fit.periods == ("2013-01", "2013-02")
    assert found.refit.periods == tuple(MONTHS[:6])


def test_periods_after_the_newest_outcomes_are_not_used() -> None:
    assert plan(project(), MONTHS, "2013-05") == plan(project(), MONTHS[:5], "2013-05")


def test_a_period_without_outcomes_is_named() -> None:
    with pytest.raises(UnknownName, match="2014-01"):
        plan(project(), MONTHS, "2014-01")


@given(known=st.integers(1, 12), gap=st.integers(0, 4), share=SHARES, days=st.integers(3, 40))
@settings(deadline=None)
def test_time_never_runs_backwards_and_nothing_is_judged_twice(known: int, gap: int, share: float, days: int) -> None:
    found = plan(project(gap, share), MONTHS[:known], MONTHS[known - 1])
    fit, validate, twin, judged, refit = (
        places(part, days) for part in (found.search_fit, found.validate, found.twin_fit, found.judge_on, found.refit)
    )
    assert fit
    assert validate
    assert max(fit) < min(validate)
    assert max(twin) < min(judged)
    assert fit | validate <= twin
    assert twin | judged <= refit
    assert max(refit) == max(judged) == (MONTHS[known - 1], days - 1)
    if gap == 0:
        assert fit | validate == twin


@given(known=st.integers(3, 12), gap=st.integers(1, 4))
@settings(deadline=None)
def test_whole_periods_keep_the_gap(known: int, gap: int) -> None:
    found = plan(project(gap), MONTHS[:known], MONTHS[known - 1])
    if not found.judge_on.cuts:
        assert MONTHS.index(found.judge_on.periods[0]) - MONTHS.index(found.twin_fit.periods[-1]) == gap + 1
    if not found.validate.cuts:
        assert MONTHS.index(found.validate.periods[0]) - MONTHS.index(found.search_fit.periods[-1]) == gap + 1


@given(share=SHARES, days=st.integers(3, 60))
@settings(deadline=None)
def test_every_piece_has_at_least_one_block(share: float, days: int) -> None:
    cuts = (share * share, share)
    sizes = [taken(Part(("p",), cuts, (piece, piece + 1)), np.arange(days)).sum() for piece in range(3)]
    assert min(sizes) >= 1
    assert sum(sizes) == days


@given(share=SHARES, rows_per_day=st.lists(st.integers(1, 5), min_size=3, max_size=20))
@settings(deadline=None)
def test_rows_of_one_block_are_never_parted(share: float, rows_per_day: list[int]) -> None:
    blocks = np.repeat(np.arange(len(rows_per_day)) + 15_000, rows_per_day)
    for piece in range(3):
        chosen = taken(Part(("p",), (share * share, share), (piece, piece + 1)), blocks)
        assert not set(blocks[chosen]) & set(blocks[~chosen])


def test_fewer_blocks_than_pieces_are_too_few() -> None:
    with pytest.raises(TooFewRows, match="2 blocks of rows, 3 needed"):
        taken(Part(("2013-01",), (0.49, 0.7), (0, 1)), np.array([1, 1, 2]))
