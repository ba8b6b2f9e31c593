"""A project's YAML is refused with the line and the nearest known key, or understood whole."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments import render
from pillars import config, project_file
from pillars.errors import ConfigInvalid, UnknownName

HERE = Path(__file__).parent
CONFIGS = HERE.parents[0] / "configs"
INVALID = sorted((HERE / "configs").glob("*.yaml"))
VALID = """\
project: mine
target: late
source: {python: projects.mine}
columns:
  id: {type: int, role: [key]}
  at: {type: timestamp, role: [time]}
  speed: {type: float, role: [feature]}
  late: {type: bool, role: [outcome]}
  delay: {type: float, role: [known_later]}
features: {numeric: [speed]}
"""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(VALID)
    return path


@pytest.mark.parametrize("file", [pytest.param(path, id=path.stem) for path in INVALID])
def test_an_invalid_file_says_what_is_wrong_and_where(file: Path) -> None:
    expected = [line.removeprefix("# error: ") for line in file.read_text().splitlines() if line.startswith("# error: ")]
    with pytest.raises(ConfigInvalid) as caught:
        project_file.load(file)
    assert expected
    assert caught.value.problems == expected
    assert str(caught.value).startswith(f"{file.name} is not a valid project; nothing was changed.")


def test_a_small_file_is_enough(mine: Path) -> None:
    project = project_file.load(mine)
    assert (project.key, project.time, project.target) == (("id",), "at", "late")
    assert project.row_columns == ("id", "at", "speed")
    assert project.outcome_columns == ("id", "late", "delay")


@pytest.mark.parametrize("name", project_file.names(CONFIGS))
def test_every_project_of_this_repository_is_valid(name: str) -> None:
    assert project_file.load(CONFIGS / f"{name}.yaml").project == name


def test_the_template_is_a_valid_project_once_it_has_its_name(tmp_path: Path) -> None:
    text = (CONFIGS / "_template.yaml").read_text()
    name = next(line for line in text.splitlines() if line.startswith("project:")).split()[1]
    (tmp_path / f"{name}.yaml").write_text(text)
    assert project_file.load(tmp_path / f"{name}.yaml").project == name


def test_a_template_is_no_project(tmp_path: Path, mine: Path) -> None:
    (tmp_path / "_template.yaml").write_text(VALID)
    assert project_file.names(tmp_path) == ["mine"]


def test_a_missing_project_names_the_nearest(mine: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean mine"):
        project_file.load(mine.with_name("mime.yaml"))


def test_values_cannot_be_changed(mine: Path) -> None:
    project = project_file.load(mine)
    with pytest.raises(ValidationError, match="frozen"):
        project.search.trials = 99  # type: ignore[misc]


def test_a_project_crosses_processes(mine: Path) -> None:
    project = project_file.load(mine)
    assert pickle.loads(pickle.dumps(project)) == project  # noqa: S301  (our own bytes)


def test_the_digest_knows_every_value_and_nothing_else(mine: Path) -> None:
    before = project_file.load(mine).digest()
    mine.write_text(VALID + "# a comment\nsearch: {trials: 8}\n")  # 8 is the default
    assert project_file.load(mine).digest() == before
    mine.write_text(VALID + "search: {trials: 9}\n")
    assert project_file.load(mine).digest() != before


def test_a_section_digest_knows_its_sections_only(mine: Path) -> None:
    before = project_file.load(mine).section_digest("search", "features")
    mine.write_text(VALID + "gate: {margin: 0.5}\n")
    assert project_file.load(mine).section_digest("search", "features") == before
    mine.write_text(VALID + "search: {seed: 7}\n")
    assert project_file.load(mine).section_digest("search", "features") != before


def test_differences_name_dotted_keys_and_both_values(mine: Path) -> None:
    old = project_file.load(mine).model_dump(mode="json")
    mine.write_text(VALID + "search: {trials: 9}\nsplit: {block: hour}\n")
    new = project_file.load(mine).model_dump(mode="json")
    assert config.differences(old, new) == ["search.trials: 8 -> 9", 'split.block: "day" -> "hour"']


def test_the_schema_in_the_repository_is_the_model() -> None:
    assert (CONFIGS / "schema.json").read_text(encoding="utf-8") == render.schema(), "run make render"


def test_the_schema_describes_every_key_and_refuses_others() -> None:
    schema = json.loads(render.schema())
    for section in (schema, *(d for d in schema["$defs"].values() if "properties" in d)):
        assert section["additionalProperties"] is False
        assert not [key for key, value in section["properties"].items() if not value.get("description")]
