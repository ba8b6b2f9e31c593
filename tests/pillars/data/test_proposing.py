"""Bounds from past batches: what is claimed from how many, what the next batch would have said, and a YAML that keeps its comments."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
import yaml

from pillars.config_data import Expectation
from pillars.data.backtest import Backtest, walk
from pillars.data.expecting import Bound, Limits, propose
from pillars.data.figures import look
from pillars.data.suite_text import difference, merge
from pillars.errors import ConfigInvalid
from tests.pillars.data.batches import CANARY, outcomes, project, rows

MONTHS = [f"2013-{month:02d}" for month in range(1, 13)]


def walked(months: list[str], **other: pa.Table) -> Backtest:
    batches = {month: rows(month) for month in months} | {name.replace("_", "-").removeprefix("m"): table for name, table in other.items()}
    return walk(project(), "rows", months, lambda kind, period: batches[period], Limits())


def bounds(months: list[str]) -> dict[tuple[str, str], Bound]:
    parcels = project()
    found = propose(parcels, "rows", [look(parcels, "rows", m, rows(m)) for m in months], Limits())
    return {(b.expectation.type, str(b.expectation.kwargs.get("column"))): b for b in found}


def test_fewer_than_three_batches_claim_nothing_and_fewer_than_six_nothing_about_statistics() -> None:
    assert not bounds(MONTHS[:2])
    assert {b.basis for b in bounds(MONTHS[:5]).values()} == {"fact", "category"}
    assert {b.basis for b in bounds(MONTHS[:6]).values()} == {"fact", "category", "statistic"}


def test_facts_block_rows_and_the_rest_warns() -> None:
    found = bounds(MONTHS)
    fact = found["expect_column_value_lengths_to_equal", "carrier"].expectation
    assert (fact.kwargs, fact.severity, fact.quarantine) == ({"column": "carrier", "value": 1}, "critical", True)
    values = found["expect_column_values_to_be_in_set", "carrier"].expectation
    assert (values.kwargs["value_set"], values.kwargs["mostly"], values.severity) == (["A", "B", "C"], 0.99, "warning")


def test_a_protected_column_is_never_looked_at() -> None:
    assert not [column for _, column in bounds(MONTHS) if column == "person"]
    assert CANARY not in repr(look(project(), "rows", "2013-01", rows("2013-01")))


def test_clean_months_hardly_alarm_and_a_month_in_grams_does() -> None:
    clean = walked(MONTHS)
    assert clean.checks > 50
    assert clean.alarm_share <= 0.02
    kilograms = rows("2013-09")
    grams = kilograms.set_column(2, "weight_kg", pc.multiply(kilograms["weight_kg"], 1000.0))
    bad = walked(MONTHS, m2013_09=grams)
    assert "2013-09 expect_column_mean_to_be_between(weight_kg)" in bad.false_alarms


def test_a_bound_names_the_accepted_batches_it_would_have_failed() -> None:
    months = MONTHS[:8]
    odd = rows("2013-02").set_column(3, "carrier", pa.array(["Q"] * 4 + ["A"] * 36))
    tested = {(t.bound.expectation.type, t.bound.expectation.kwargs.get("column")): t for t in walked(months, m2013_02=odd).tested}
    lengths = tested["expect_column_value_lengths_to_equal", "carrier"]
    assert (lengths.failed, lengths.could_not_run) == ((), ())
    values = tested["expect_column_values_to_be_in_set", "carrier"]
    assert values.bound.expectation.kwargs["mostly"] == 0.79  # twice the tenth that was new in February, and a margin
    assert not values.failed


def test_outcomes_have_bounds_of_their_own() -> None:
    found = walk(project(), "outcomes", MONTHS, lambda kind, period: outcomes(rows(period, n=30 + int(period[-2:]))), Limits())
    assert {t.bound.expectation.table for t in found.tested} == {"outcomes"}
    assert not [t for t in found.tested if t.failed or t.could_not_run]


def said(column: str, value: float, note: str = "proposed from a to b") -> Expectation:
    kwargs: dict[str, Any] = {"column": column, "min_value": value}
    return Expectation(type="expect_column_mean_to_be_between", kwargs=kwargs, severity="warning", note=note)


YAML = """a: 1 # kept
expectations: # why
  min_rows: 5 # floor
  suite:
    # physics
    - type: expect_column_mean_to_be_between
      kwargs: { column: mine, min_value: 0 } # by hand
      note: mine
    - { type: expect_column_mean_to_be_between, kwargs: { column: old, min_value: 1 }, note: "proposed from x to y" }
    - { type: expect_column_mean_to_be_between, kwargs: { column: gone, min_value: 1 }, note: "proposed from x to y" }

# ---- the rest
search: {}
"""


def test_own_checks_and_comments_stay_and_former_proposals_are_replaced() -> None:
    after = merge("x.yaml", YAML, [said("mine", 9), said("old", 2), said("new", 3)])
    assert [(e["kwargs"]["column"], e["kwargs"]["min_value"]) for e in yaml.safe_load(after)["expectations"]["suite"]] == [
        ("mine", 0),
        ("old", 2),
        ("new", 3),
    ]
    changed_lines = [line for line in difference("x.yaml", YAML, after).splitlines()[2:] if line[0] in "+-"]
    assert len(changed_lines) == 4
    assert merge("x.yaml", after, [said("mine", 9), said("old", 2), said("new", 3)]) == after


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a: 1\n", id="no section"),
        pytest.param("expectations:\n  min_rows: 5 # floor\nb: 2\n", id="no suite"),
        pytest.param("expectations:\n  min_rows: 5\n  suite: []\n\n# rest\nb: 2\n", id="empty"),
        pytest.param("b: 2\nexpectations:\n  suite:\n  - {type: expect_x}", id="no last line end"),
    ],
)
def test_a_suite_is_made_where_there_is_none(text: str) -> None:
    after = merge("x.yaml", text, [said("new", 3)])
    read = yaml.safe_load(after)
    assert Expectation.model_validate(read["expectations"].pop("suite")[-1]) == said("new", 3)
    before = yaml.safe_load(text)
    assert {k: v for k, v in read.items() if k != "expectations"} == {k: v for k, v in before.items() if k != "expectations"}
    assert all(f"# {word}" in after for word in ("floor", "rest") if f"# {word}" in text)


def test_a_suite_in_brackets_is_refused_with_what_to_do() -> None:
    with pytest.raises(ConfigInvalid, match="a line of its own"):
        merge("x.yaml", "expectations: {suite: [{type: expect_x}]}\n", [said("new", 3)])


def test_figures_of_a_column_without_values_make_no_bound() -> None:
    table = rows("2013-01")
    hollow = table.set_column(2, "weight_kg", pa.array(np.zeros(40), mask=np.ones(40, bool)))
    seen = look(project(), "rows", "2013-01", hollow).columns["weight_kg"]
    assert (seen.null_share, seen.mean) == (1.0, None)
