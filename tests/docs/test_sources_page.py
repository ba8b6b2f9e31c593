"""What docs/sources.md shows is taken as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pillars.config_data import Column, Source

PAGE = Path(__file__).parents[2] / "docs" / "sources.md"
BLOCKS = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)]


@pytest.mark.parametrize("block", BLOCKS)
def test_every_example_is_valid(block: dict[str, dict[str, object]]) -> None:
    if "source" in block:
        assert Source.model_validate(block["source"]).name
    else:
        assert [Column.model_validate(column) for column in block["columns"].values()]


def test_every_kind_without_code_is_shown() -> None:
    shown = {kind for block in BLOCKS for kind in block.get("source", {})}
    assert shown >= {"file", "sql", "http"}
