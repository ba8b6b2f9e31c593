"""The page `loop.md` tells a cycle as it is: its steps are the tasks, its files are made, its rows look like that."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pillars.monitoring.ledger import Entry, Ledger
from pillars.stores import Stores
from tests.clone import CHECKOUT
from tests.docs.pages import page

PAGE = page("loop.md")
FLOWS = ("ingest", "score", "monitor", "train", "promote", "deploy")
NOT_ALWAYS = ("var/quarantine/", "var/rejected/", "var/rollouts/")  # for bad rows and trials, and the small slice has neither
BESIDE = (
    "audit.py",
    "compare.py",
    "drill.py",
    "faults.py",
    "stage.py",
    "experiment.py",
    "gate.py",
    "reproduction.py",
    "retention.py",
    "serving.py",
)  # steps of no cycle
BY_HAND = {"look at trial", "pin version", "unpin"}  # or by the minute
HASH = re.compile(r"(?<=[/.-])[0-9a-f]{2}(?=/)|[0-9a-f-]{36}|[0-9a-f]{8,}")


def steps() -> dict[str, list[str]]:
    """Tasks by flow, as the diagram has them."""
    found: dict[str, list[str]] = {}
    flow = ""
    for line in PAGE.blocks("")[0].splitlines():
        if cell := re.match(r"│ (\w*) +│ ([\w -]+?)  ", line):
            flow = cell[1] or flow
            found.setdefault(flow, []).append(cell[2])
    return found


def test_the_diagram_has_the_flows_of_a_cycle_in_their_order():
    code = (CHECKOUT / "flows" / "cycle.py").read_text()
    called = re.findall(rf"\b({'|'.join(FLOWS)})\(project", code)
    assert list(steps()) == called == list(FLOWS)


def test_the_diagram_has_every_task_in_the_flow_that_runs_it():
    files = set((CHECKOUT / "tasks").glob("*.py")) - {CHECKOUT / "tasks" / name for name in BESIDE}
    tasks = {name for file in files for name in re.findall(r'step\("([^"]+)"', file.read_text())}
    assert {task for of_flow in steps().values() for task in of_flow} == tasks - {"record decision"} - BY_HAND


@pytest.mark.parametrize("flow", FLOWS)
def test_each_step_has_a_chapter_that_names_its_tasks_its_record_and_what_a_kill_leaves(flow: str):
    (chapter,) = re.findall(rf"^## \d\. {flow}\n(.*?)^## ", PAGE.text, flags=re.MULTILINE | re.DOTALL)
    assert f"flows.{flow}.{flow}" in chapter
    assert "On record" in chapter
    assert "**Killed here.**" in chapter
    if len(steps()[flow]) > 2:
        assert re.findall(r"^\*\*([\w -]+)\*\*,", chapter, flags=re.MULTILINE) == steps()[flow]


@pytest.mark.flow
def test_every_path_of_the_page_is_made_by_a_cycle(replayed: Path):
    paths = [span for span in PAGE.spans if span.startswith("var/") and not span.startswith((*NOT_ALWAYS, "var/report/"))]
    assert len(paths) > 15
    missing = [path for path in paths if not list(replayed.glob(HASH.sub("*", path).replace("flights", "small")))]
    assert missing == []


@pytest.mark.flow
def test_the_rows_of_the_page_have_the_keys_of_real_ones(replayed: Path):
    entry, policy = (json.loads(block) for block in PAGE.blocks("json"))
    ledger = Ledger(Stores(root=replayed))
    real = ledger.latest("small", "ingest")
    assert real is not None
    assert set(entry) <= set(Entry.__dataclass_fields__)
    assert set(entry["inputs"]) == set(real.inputs)
    assert set(entry["facts"]) <= set(real.facts)
    assert set(json.loads((replayed / "var" / "releases" / "small" / "policy.json").read_text())) == set(policy)
