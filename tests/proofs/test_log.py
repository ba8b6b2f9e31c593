"""What a killed run of the proofs leaves of its own log, and what of a disk tried for room."""

from __future__ import annotations

import json
from argparse import Namespace
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.proofs.__main__ import _logged, _tell
from tests.proofs.left import DRAFT
from tests.proofs.player import Tried

ONE, OTHER = (Tried("race", name, 1, (), 0.5) for name in ("two deploys 0", "two deploys 1"))


def test_a_log_whose_last_line_is_half_written_is_gone_on_with(tmp_path: Path):
    log = tmp_path / "log"
    line = json.dumps(asdict(ONE)) + "\n"
    log.write_text(line + line[:20])
    assert _logged(log) == [ONE]
    _tell(Namespace(log=log), OTHER, 1, 2, 0.0)
    assert _logged(log) == [ONE, OTHER]


@pytest.mark.parametrize("name", [".room", "..room.4711.0123abcd", ".policy.json.4711.0123abcd", ".draft-mlflow.db"])
def test_what_a_kill_leaves_over_a_file_is_seen(name: str):
    assert DRAFT.fullmatch(name)


@pytest.mark.parametrize("name", ["room", ".lock", "policy.json"])
def test_what_stays_is_not_taken_for_it(name: str):
    assert not DRAFT.fullmatch(name)
