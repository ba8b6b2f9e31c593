"""What docs/cleaning.md shows is taken as it stands, and names every rule."""

from __future__ import annotations

import yaml

from pillars.config_data import Column, Expectations, Repair
from tests.docs.pages import page

PAGE = page("cleaning.md")


def test_the_example_is_valid() -> None:
    (block,) = PAGE.blocks("yaml")
    said = yaml.safe_load(block)
    columns = {name: Column.model_validate(column) for name, column in said["columns"].items()}
    repair = columns["weight_kg"].repair
    assert repair is not None
    assert repair.rules == ("null_as", "convert", "clip")
    assert Expectations.model_validate(said["expectations"]).duplicates


def test_every_rule_is_in_the_table_in_the_order_it_applies() -> None:
    named = [line.split("`")[1] for line in PAGE.text.splitlines() if line.startswith("| `")]
    assert named == list(Repair.model_fields)
