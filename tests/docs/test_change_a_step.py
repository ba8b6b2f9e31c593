"""The page `change-a-step.md` does what it says: its change, applied in a clone, acts from the next period on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pillars.deployment import traffic
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.clone import CHECKOUT
from tests.docs.clones import run
from tests.docs.pages import page
from tests.small import write_tiny

PAGE = page("change-a-step.md")
LINES = 10


def applied(original: str, change: str) -> str:
    """A text with the page's change in it. The page's hunks have no line numbers: their kept lines must stand in the text once."""
    for hunk in re.split(r"^@@.*\n", change, flags=re.MULTILINE)[1:]:
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if line[0] in " -")
        assert original.count(before) == 1, f"the page shows code that is no longer so:\n{before}"
        original = original.replace(before, "".join(line[1:] for line in lines if line[0] in " +"))
    return original


def changed(change: str) -> str:
    """The one file that the page's change is about."""
    (path,) = re.findall(r"^\+\+\+ b/(\S+)", change, flags=re.MULTILINE)
    return str(path)


def test_the_change_is_as_short_as_the_title_says():
    (change,) = PAGE.blocks("diff")
    assert 0 < len(re.findall(r"^[+-](?![+-]{2})", change, flags=re.MULTILINE)) <= LINES


def test_the_change_fits_the_code_as_it_is():
    (change,) = PAGE.blocks("diff")
    original = (CHECKOUT / changed(change)).read_text()
    assert applied(original, change) != original


@pytest.mark.flow
@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_the_changed_step_decides_the_next_period_and_leaves_finished_ones(clone: Path, slices: Path):
    (change,) = PAGE.blocks("diff")
    (command,) = PAGE.blocks("sh")
    verb = command.split()[1]
    write_tiny(clone, slices)
    run(clone, "flows", verb, "small", "2013-01")

    file = clone / changed(change)
    file.write_text(applied(file.read_text(), change))
    run(clone, "flows", verb, "small")

    stores = Stores(root=clone, var=clone / "var")
    promoted = Ledger(stores).entries("small", "promote")
    assert [e.outcome for e in promoted] == ["accept", "refuse"]
    assert re.fullmatch(r"refitted model: it acts on \d+% of the rows, 25% can be looked after", promoted[1].reason)
    assert [e.outcome for e in Ledger(stores).entries("small", "cycle")] == ["finished", "finished"]
    answering = traffic.read(stores, "small")
    assert answering is not None
    assert answering.champion.version == 1, "the old champion still answers"
