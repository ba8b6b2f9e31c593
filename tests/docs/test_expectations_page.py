"""What docs/expectations.md shows is taken as it stands."""

from __future__ import annotations

import ast

import yaml

from pillars.config_data import Expectations
from tests.docs.pages import page
from tests.pillars.data.test_custom import OWN

PAGE = page("expectations.md")


def test_the_yaml_is_valid() -> None:
    (block,) = PAGE.blocks("yaml")
    said = Expectations.model_validate(yaml.safe_load(block)["expectations"])
    assert said.coverage.segments == ("origin", "carrier")
    assert [e.type for e in said.suite] == ["expect_clock_to_fit"]


def test_the_classes_are_those_that_are_tried() -> None:
    (block,) = PAGE.blocks("python")
    assert _without_docstrings(block) == _without_docstrings(OWN)


def _without_docstrings(code: str) -> str:
    tree = ast.parse(code)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef):
            node.body = [n for n in node.body if not (isinstance(n, ast.Expr) and isinstance(n.value, ast.Constant))]
    return ast.dump(tree)
