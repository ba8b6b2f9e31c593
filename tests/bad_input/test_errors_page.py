"""docs/errors.md names every error with its exit code, and says of each what its class says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pillars import errors

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "errors.md").read_text(encoding="utf-8")
ROWS = [[cell.strip() for cell in line.strip("|").split("|")] for line in PAGE.splitlines() if line.startswith("|")]
KINDS = sorted((k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, errors.PillarsError)), key=lambda k: k.__name__)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.__name__) for kind in KINDS])
def test_every_error_is_on_the_page_with_its_exit_code_and_meaning(kind: type[errors.PillarsError]) -> None:
    sentence = re.split(r"[.;:]", str(kind.__doc__))[0]
    told = [row for row in ROWS if len(row) == 3 and row[1] == f"`{kind.__name__}`"]
    assert [row[0] for row in told] == [str(kind.exit_code)]
    assert told[0][2].startswith(sentence)


def test_the_page_names_no_error_that_does_not_exist() -> None:
    named = {row[1].strip("`") for row in ROWS if len(row) == 3 and row[1].startswith("`")}
    assert named == {kind.__name__ for kind in KINDS}


def test_the_tree_in_the_code_names_every_error_too() -> None:
    for kind in KINDS:
        line = next(line for line in str(errors.__doc__).splitlines() if kind.__name__ in line.split())
        assert kind is errors.PillarsError or line.endswith(f"exit {kind.exit_code}")
