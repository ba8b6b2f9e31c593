"""A YAML that cannot be read as a project is refused with its line before anything is done. (What it may say: tests/test_config.py.)"""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from pillars.stores import Stores
from tests.bad_input.door import entries, say, say_apart, state
from tests.bad_input.parcels import CONFIG, write_config

pytestmark = pytest.mark.flow
GOOD = yaml.safe_dump(CONFIG, sort_keys=False).encode()
LINES = GOOD.count(b"\n")
BEGIN = "pillars: parcels.yaml is not a valid project; nothing was changed.\n  "

BROKEN = [
    pytest.param(
        GOOD + b"serch: {trials: 1}\n", f"line {LINES + 1}: unknown key serch; nearest: search", id="an unknown key names the nearest"
    ),
    pytest.param(GOOD + "unit: né".encode("latin-1"), f"line {LINES + 1}: byte 0xe9 is not UTF-8; save the file as UTF-8", id="latin-1"),
    pytest.param(GOOD.decode().encode("utf-16"), "line 1: byte 0xff is not UTF-8; save the file as UTF-8", id="utf-16"),
    pytest.param(b"", "the file must be a mapping of sections", id="empty"),
    pytest.param(b"\tproject: parcels\n", "line 1: found character '\\t' that cannot start any token", id="a tab"),
    pytest.param(
        GOOD[: GOOD.index(b"features")] + b"features: {numeric: [",
        "line 42: expected the node content, but found '<stream end>'",
        id="truncated",
    ),
    pytest.param(GOOD + b"cost: &a\n  unit: *a\n", "it is nested too deeply, or an anchor holds itself", id="an anchor in itself"),
    pytest.param(GOOD.replace(b"project: parcels", b"project: ../x"), "line 1: project is '../x'; it must be small letters", id="a path"),
    pytest.param(
        GOOD.replace(b"project: parcels", b"project: Parcels"), "line 1: project is 'Parcels'; it must be small l", id="a capital"
    ),
    pytest.param(GOOD.replace(b"project: parcels", b"project: other"), "line 1: project is 'other' but the file is named", id="a copy"),
]


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_yaml_is_refused_with_its_line_and_nothing_is_done(root: Path, content: bytes, message: str) -> None:
    file = root / "configs" / "parcels.yaml"
    before = state()
    file.write_bytes(content)
    for command in (["ingest", "parcels", "2013-01"], ["status", "parcels"], ["rollback", "parcels"]):
        said = say(*command)
        assert (said.exit_code, said.out) == (2, "")
        assert said.err.startswith(BEGIN + message)
    assert state() == before
    assert not entries()
    file.write_bytes(GOOD)


def test_a_folder_is_no_yaml_and_no_project(root: Path) -> None:
    (root / "configs" / "folder.yaml").mkdir()
    said = say("status", "folder")
    assert (said.exit_code, said.err) == (
        2,
        "pillars: folder.yaml is not a valid project; nothing was changed.\n  it is a folder, not a file\n",
    )
    assert "folder" not in say("status", "nothing").err
    (root / "configs" / "folder.yaml").rmdir()


def test_in_a_process_of_its_own_there_is_the_one_message(root: Path) -> None:
    (root / "configs" / "latin.yaml").write_bytes(b"project: latin\xe9\n")
    said = say_apart(root, "ingest", "latin", "2013-01")
    message = "line 1: byte 0xe9 is not UTF-8; save the file as UTF-8"
    assert said.exit_code == 2
    assert (said.out, said.err) == ("", f"pillars: latin.yaml is not a valid project; nothing was changed.\n  {message}\n")


def test_an_expectation_that_does_not_exist_is_a_fault_of_the_yaml(root: Path) -> None:
    suite = [{"type": "expect_the_unexpected"}, {"type": "expect_column_values_to_be_between", "kwargs": {"column": "stops", "least": 1}}]
    for number, said_of in enumerate(("expect_the_unexpected not found", "least")):
        name = f"expects_{number}"
        write_config(root, name, expectations={"suite": suite[number : number + 1]})
        said = say("ingest", name, "2013-01")
        assert (said.exit_code, said.out) == (2, "")
        assert said.err.startswith(f"pillars: {name}.yaml is not a valid project")
        assert said_of in said.err
        assert state(name).data == ""


def test_the_mended_yaml_is_taken(root: Path) -> None:
    (root / "configs" / "parcels.yaml").write_bytes(GOOD)
    assert say("ingest", "parcels", "2013-01").exit_code == 0
    changed = write_config(root, "parcels", gate={"margin": 0.5})
    refused, before = say("ingest", "parcels", "2013-01"), state()
    assert refused.exit_code == 3
    assert refused.err.startswith(
        "pillars: configs/parcels.yaml changed since the last run; nothing was done.\n  gate.margin: 0.001 -> 0.5"
    )
    assert state() == before
    changed.write_bytes(GOOD)
    assert say("ingest", "parcels", "2013-01").exit_code == 0
    assert not (Stores().var / "rejected").exists()
