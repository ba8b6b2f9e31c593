"""The loop is a function of data, code, lock, config and seed: not of place, process, threads, time zone or hash seed."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clone import make_clone
from tests.proofs.reproduction import compared
from tests.proofs.state import differences
from tests.small import write_small

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def test_two_replays_in_two_clones_give_the_same_versions_models_decisions_and_predictions(tmp_path: Path, slices: Path):
    origin = write_small(make_clone(tmp_path / "origin"), slices)
    for arguments in (["add", "-A"], ["-c", "user.name=A User", "-c", "user.email=user@example.org", "commit", "-q", "-m", "small"]):
        subprocess.run(["git", *arguments], cwd=origin, check=True)
    assert compared(origin, tmp_path, "small", last="2013-02") == []


STATE: dict[str, Any] = {"ledger": [{"decision": "ingest", "facts": {"rows": 1}}, {"decision": "score"}], "files": {"a": "00"}}
CHANGES: list[object] = [
    pytest.param(
        {"ledger": [{"decision": "ingest", "facts": {"rows": 2}}, {"decision": "score"}]},
        "ledger[0].facts.rows differs: 1 and 2",
        id="a value",
    ),
    pytest.param({"ledger": STATE["ledger"][:1]}, 'ledger[1] is only in the first: {"decision": "score"}', id="a row less"),
    pytest.param({"files": {"a": "00", "b": "11"}}, 'files.b is only in the second: "11"', id="a file more"),
    pytest.param({"files": {}}, 'files.a is only in the first: "00"', id="a file less"),
]


@pytest.mark.parametrize(("change", "sentence"), CHANGES)
def test_a_difference_is_named_by_its_path(change: dict[str, Any], sentence: str):
    assert differences(STATE, json.loads(json.dumps(STATE))) == []
    assert differences(STATE, {**STATE, **change}) == [sentence]
