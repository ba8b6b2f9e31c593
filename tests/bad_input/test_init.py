"""`pillars init` on a stranger's file: one command to a project that runs, or one sentence that says why not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from sklearn.datasets import load_breast_cancer

from tests.bad_input.door import entries, say

pytestmark = pytest.mark.flow


@pytest.fixture
def cancer(root: Path) -> Path:
    """569 tumours in a CSV, as scikit-learn has them."""
    frame = load_breast_cancer(as_frame=True).frame.sample(frac=1, random_state=0)
    frame["target"] = frame["target"].map({0: "malignant", 1: "benign"})
    frame.iloc[:, [0, 1, 2, 3, 20, 30]].to_csv(root / "Tumours 2024.csv", index=False)
    return root / "Tumours 2024.csv"


def test_two_commands_from_a_file_to_a_champion(root: Path, cancer: Path) -> None:
    said = say("init", str(cancer), "--target", "target", "--name", "tumours", "--json")
    assert said.exit_code == 0
    told = json.loads(said.out)
    assert (told["project"], told["rows"], told["columns"], told["periods"]) == ("tumours", 569, 6, 3)
    assert yaml.safe_load((root / "configs" / "tumours.yaml").read_text())["source"]["file"] == "Tumours 2024.csv", (
        "inside the project: relative"
    )
    assert "cycle-tumours" in (root / "deployments" / "prefect.yaml").read_text()
    assert say("data", "source", "tumours").exit_code == 0
    assert say("run", "tumours", "--json").exit_code == 0
    assert [e.outcome for e in entries("tumours", "cycle")] == ["finished"] * 3
    assert any(e.outcome == "accept" for e in entries("tumours", "promote"))


def test_another_project_s_broken_yaml_is_no_fault_of_this_one(root: Path, cancer: Path) -> None:
    (root / "configs" / "broken.yaml").write_text("project: broken\n")
    try:
        said = say("init", str(cancer), "--target", "target", "--name", "beside", "--json")
    finally:
        (root / "configs" / "broken.yaml").unlink()
    assert said.exit_code == 0
    assert json.loads(said.out)["warnings"][0].startswith("the deployments were not rendered, because of another project: broken.yaml")


def test_a_project_that_is_there_is_not_replaced_without_being_asked(root: Path, cancer: Path) -> None:
    before = (root / "configs" / "parcels.yaml").read_bytes()
    said = say("init", str(cancer), "--target", "target", "--name", "parcels")
    assert (said.exit_code, said.out) == (2, "")
    assert "parcels.yaml is there already; nothing was changed. --force replaces it, --name chooses another." in said.err
    assert (root / "configs" / "parcels.yaml").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "arguments", "code", "message"),
    [
        pytest.param("none.csv", None, ["--target", "y"], 6, "none.csv: cannot be read (No such file or directory)", id="no file"),
        pytest.param("empty.csv", "", ["--target", "y"], 4, "it is empty: not even a header is in it", id="empty"),
        pytest.param("header.csv", "x,y\n", ["--target", "y"], 2, "column y: it has no value", id="header alone"),
        pytest.param(
            "three.csv", "x,y\n1,a\n2,b\n3,c\n", ["--target", "y", "--task", "binary"], 2, "a binary target has two", id="three classes"
        ),
        pytest.param("typo.csv", "x,y\n1,a\n2,b\n", ["--target", "Y"], 2, "column Y: the file has no such column; it has x, y", id="typo"),
        pytest.param("odd.csv", "x,y\n1,a\n2\n", ["--target", "y"], 4, "its header names 2 columns, but row 2 has 1", id="cut off"),
        pytest.param("a.json", "{}", ["--target", "y"], 4, "it ends neither in one of .csv", id="another kind"),
        pytest.param("ok.csv", "x,y\n1,a\n2,b\n", [], 2, "Missing option '--target'", id="no target"),
        pytest.param("ok.csv", "x,y\n1,a\n2,b\n", ["--target", "y", "--name", "../up"], 2, "no project named", id="out of the folder"),
        pytest.param("ok.csv", "x,y\n1,a\n2,b\n", ["--target", "y", "--name", "My Shop"], 2, "project", id="a name with a blank"),
    ],
)
def test_a_file_that_makes_no_project_leaves_nothing(
    root: Path, name: str, content: str | None, arguments: list[str], code: int, message: str
) -> None:
    if content is not None:
        (root / name).write_text(content)
    before = {p.name for p in (root / "configs").iterdir()}
    said = say("init", str(root / name), *arguments)
    assert said.exit_code == code, said
    assert message in said.err
    assert {p.name for p in (root / "configs").iterdir()} - {"schema.json"} == before - {"schema.json"}
