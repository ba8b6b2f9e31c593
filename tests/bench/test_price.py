"""The tables of the price: their arithmetic, and that both sides of it do the same work."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench.found import Month, differences
from bench.machine import Ran, measured, prefect_server
from bench.price import START_UPS, STEPS, Price, middle, steps, tables, whole
from tests.clone import make_clone
from tests.small import write_tiny

MONTHS = [Month("2013-01", "data-1", "model-1", None), Month("2013-02", "data-2", "model-2", 0.5)]
PLAIN = Ran(100.0, 120.0, 0.0, {"start": 10.0, "search": 90.0}, {"start": 10.0, "search": 110.0}, MONTHS)
LOOP = Ran(112.0, 126.0, 6.0, {"start": 10.0, "search": 90.0, "Prefect": 12.0}, {"start": 10.0, "search": 110.0, "Prefect": 6.0}, MONTHS)
PRICE = Price(2, PLAIN, LOOP, 9.0, 8.0, {what: 0.1 for what, _, _ in START_UPS})


def test_the_loop_adds_its_own_time_and_that_of_prefects_server():
    assert PRICE.adds == pytest.approx({"wall": 0.12, "cpu": 0.10})
    assert "| CPU | 120.0 s | 132.0 s | +10.0% |" in whole(PRICE)
    assert "**+12.0%** (budget 15%)" in whole(PRICE)


def test_steps_that_nobody_took_have_no_line_and_shares_are_of_the_loop():
    lines = steps(PRICE).splitlines()
    assert lines[2:] == [
        "| start | 10.0 | 10.0 | 8.9% | 10.0 | 10.0 |",
        "| search | 90.0 | 90.0 | 80.4% | 110.0 | 110.0 |",
        "| Prefect | 0.0 | 12.0 | 10.7% | 0.0 | 6.0 |",
        "| **all** | 100.0 | 112.0 | 100.0% | 120.0 | 126.0 |",
    ]


def test_of_three_runs_the_middle_one_is_shown_for_each_step():
    runs = [replace(PLAIN, wall_s=wall, steps_wall_s={"search": wall - 10}) for wall in (130.0, 100.0, 110.0)]
    assert (middle(runs).wall_s, middle(runs).steps_wall_s) == (110.0, {"search": 100.0})


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param(MONTHS, [], id="equal"),
        pytest.param([MONTHS[0], replace(MONTHS[1], log_loss=0.5 + 1e-12)], [], id="the-last-digits"),
        pytest.param(MONTHS[:1], ["plain went through ['2013-01', '2013-02'], the loop through ['2013-01']"], id="a-month-less"),
        pytest.param([MONTHS[0], replace(MONTHS[1], log_loss=0.51)], ["2013-02 log loss: plain 0.5, loop 0.51"], id="other-loss"),
        pytest.param([MONTHS[0], replace(MONTHS[1], log_loss=None)], ["2013-02 log loss: plain 0.5, loop None"], id="not-scored"),
        pytest.param(
            [replace(MONTHS[0], model_sha256="x"), MONTHS[1]], ["2013-01 model_sha256: plain model-1, loop x"], id="another-model"
        ),
    ],
)
def test_sides_that_did_different_work_are_named(found: list[Month], said: list[str]):
    assert differences(MONTHS, found) == said


@pytest.mark.slow
def test_the_plain_script_finds_the_loops_data_versions_models_and_losses(tmp_path: Path, slices: Path):
    with prefect_server(tmp_path / "prefect") as server:
        ran = {}
        for side in ("plain", "loop"):
            root = write_tiny(make_clone(tmp_path / side), slices)
            ran[side] = measured(side, root, "small", "2013-02", server)
    assert [month.log_loss is None for month in ran["loop"].months] == [True, False]
    assert differences(ran["plain"].months, ran["loop"].months) == []
    took = {step for step, seconds in ran["loop"].steps_wall_s.items() if seconds > 0}
    assert took == set(STEPS)  # each step of the table is still found under its name
    assert "| Prefect |" in tables(replace(PRICE, plain=ran["plain"], loop=ran["loop"]))
