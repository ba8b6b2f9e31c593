"""The notebooks run as they are, on a project that a replay has finished, and are kept without outputs."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.clone import CHECKOUT

NOTEBOOKS = sorted((CHECKOUT / "notebooks").glob("*.ipynb"))
each = pytest.mark.parametrize("file", [pytest.param(file, id=file.stem) for file in NOTEBOOKS])


def stripped(content: dict[str, Any]) -> list[str]:
    """What a notebook in git holds that a run left there."""
    found = []
    for cell in content["cells"]:
        if cell["cell_type"] == "code" and (cell["outputs"] or cell["execution_count"] is not None):
            found.append(f"{cell['id']}: outputs")
        if set(cell["metadata"]) - {"tags"}:
            found.append(f"{cell['id']}: metadata")
    return found + sorted(set(content["metadata"]) - {"kernelspec", "language_info"})


def test_there_is_a_notebook() -> None:
    assert NOTEBOOKS


@each
def test_a_notebook_is_kept_without_outputs_and_is_valid(file: Path) -> None:
    content = json.loads(file.read_text())
    assert stripped(content) == []
    assert set(content["metadata"]["language_info"]) == {"name"}, "the version of somebody's Python is an output, too"
    nbformat.validate(nbformat.read(file, as_version=4))


def test_the_check_sees_an_output() -> None:
    cell = {"cell_type": "code", "id": "a", "metadata": {"execution": {}}, "outputs": [{}], "execution_count": 1}
    assert stripped({"cells": [cell], "metadata": {"widgets": {}}}) == ["a: outputs", "a: metadata", "widgets"]


@pytest.mark.flow
@pytest.mark.slow
@each
def test_a_notebook_runs_and_changes_nothing(file: Path, replayed: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from nbclient import NotebookClient

    monkeypatch.setenv("PYTHONPATH", f"{CHECKOUT}{os.pathsep}{replayed}")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    before = len(Ledger(Stores()).entries("small"))
    notebook = nbformat.read(file, as_version=4)
    (parameters,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    assert parameters.source == 'PROJECT = "flights"'
    parameters.source = 'PROJECT = "small"'
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(replayed)}}).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    said = "\n".join(str(output.get("text", "")) + str(output.get("data", {}).get("text/plain", "")) for output in outputs)
    for words in ("promoted v2", "recipe:", "log_loss", "2013-02:", "v2 against v1"):
        assert words in said, said
    complained = [output["text"] for output in outputs if output.get("name") == "stderr" and "TqdmWarning" not in output["text"]]
    assert complained == []
    assert len(Ledger(Stores()).entries("small")) == before
