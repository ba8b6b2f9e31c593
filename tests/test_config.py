"""A project's YAML is refused with the line and the nearest known key, or understood whole."""

from __future__ import annotations

import json
import pickle
import re
from pathlib import Path
from typing import Any

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


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        pytest.param("!!int abc", "'abc' is no int", id="no number"),
        pytest.param("1" * 5000, f"'{'1' * 59} is no int", id="a number of 5000 digits"),
        pytest.param("!!float abc", "'abc' is no float", id="no fraction"),
        pytest.param("!!bool abc", "'abc' is no bool", id="no bool"),
        pytest.param("!!int ''", "'' is no int", id="empty"),
        pytest.param("!!timestamp abc", "'abc' is no timestamp", id="no time"),
        pytest.param("2013-02-31 10:00:00", "'2013-02-31 10:00:00' is no timestamp", id="no such day"),
    ],
)
def test_a_value_that_yaml_itself_cannot_read_is_said_with_its_line(mine: Path, value: str, problem: str) -> None:
    mine.write_text(VALID + f"cost:\n  unit: parcels\n  false_positive: {value}\n")
    with pytest.raises(ConfigInvalid) as caught:
        project_file.load(mine)
    assert caught.value.problems == [f"line {VALID.count(chr(10)) + 3}: {problem}; in quotes it would be text"]


@pytest.mark.parametrize(
    ("cron", "problem"),
    [
        pytest.param("*/15 6-22 1,15,L * mon-fri", None, id="lists, ranges, steps, names"),
        pytest.param("0 6 ? JAN-mar/2 7", None, id="no day, months, Sunday"),
        pytest.param("0 6 * * mon#2,FRI#1", None, id="the second Monday"),
        pytest.param("0 6 * * L5", None, id="the last Friday"),
        pytest.param("0 22-2 * nov-feb fri-mon", None, id="over the end"),
        pytest.param("@daily", None, id="a name"),
        pytest.param("@reboot", "@reboot is none of @hourly, @midnight", id="no such name"),
        pytest.param("at six on every monday", "at is no minute, in at six on every monday", id="words"),
        pytest.param("0 99 * * *", "99 is no hour, in 0 99 * * *", id="no such hour"),
        pytest.param("60 0 * * *", "60 is no minute", id="no such minute"),
        pytest.param("0 0 0 * *", "0 is no day of the month", id="no such day"),
        pytest.param("0 0 1 13 *", "13 is no month", id="no such month"),
        pytest.param("0 0 * * 8", "8 is no day of the week", id="no such weekday"),
        pytest.param("0 0 * * mon#6", "mon#6 is no day of the week", id="a sixth Monday"),
        pytest.param("0 0 * * mon,tue#2", "mon,tue#2 is no day of the week", id="some and every"),
        pytest.param("*/0 * * * *", "*/0 is no minute", id="no step"),
        pytest.param("1,,2 * * * *", "1,,2 is no minute", id="a hole in a list"),
        pytest.param("H 6 * * *", "H is no minute", id="a drawn minute"),
    ],
)
@pytest.mark.parametrize("key", ["cron", "audit"])
def test_a_cron_line_is_refused_here_if_prefect_would(mine: Path, key: str, cron: str, problem: str | None) -> None:
    from prefect.client.schemas.schedules import CronSchedule

    mine.write_text(VALID + f"schedule:\n  {key}: '{cron}'\n")
    if problem is None:
        assert getattr(project_file.load(mine).schedule, key) == CronSchedule(cron=cron).cron
        return
    with pytest.raises(ConfigInvalid) as caught:
        project_file.load(mine)
    assert caught.value.problems[0].startswith(f"line {VALID.count(chr(10)) + 2}: schedule.{key}: {problem}")
    with pytest.raises(ValidationError):
        CronSchedule(cron=cron)


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        pytest.param("'@weekly'", None, id="a name"),
        pytest.param("null", None, id="never"),
        pytest.param("'0 99 * * *'", "99 is no hour, in 0 99 * * *", id="no such hour"),
        pytest.param("often", "it must be five fields, such as 0 6 1 * *", id="words"),
    ],
)
def test_when_to_reproduce_is_a_cron_line_too_or_nothing(mine: Path, said: str, problem: str | None) -> None:
    plain = project_file.load(mine).digest()
    mine.write_text(VALID + f"schedule:\n  reproduce: {said}\n")
    if problem is None:
        assert (project_file.load(mine).digest() == plain) == (said == "null")
        return
    with pytest.raises(ConfigInvalid, match=re.escape("schedule.reproduce")) as caught:
        project_file.load(mine)
    assert problem.removeprefix("it must be ") in caught.value.problems[0]


@pytest.mark.parametrize(
    ("until", "meant"),
    [
        pytest.param("2013-06", "2013-06", id="a month"),
        pytest.param("2013-06-01", "2013-06-01", id="a day, a date to YAML"),
        pytest.param("2013", "2013", id="a year, a number to YAML"),
        pytest.param("00000005", "5", id="a block without quotes, octal to YAML: the judge says that it is no period"),
        pytest.param("'00000005'", "00000005", id="a block"),
    ],
)
def test_a_waiver_ends_with_a_period_as_it_is_named(mine: Path, until: str, meant: str) -> None:
    waiver = f"{{group: line, metric: fpr_difference, until: {until}, reason: too few to be sure, by: A. M.}}"
    said = f"fairness: {{groups: [line], limits: {{fpr_difference: 0.1}}, waivers: [{waiver}]}}\n"
    mine.write_text(VALID.replace("columns:\n", "columns:\n  line: {type: category, role: [info]}\n") + said)
    assert project_file.load(mine).fairness.waivers[0].until == meant


def test_how_candidates_are_judged_changes_a_digest_only_where_it_is_said(mine: Path) -> None:
    """A project that declares none of it keeps what is on record: digests, and the inputs of its trainings."""
    plain = project_file.load(mine)
    mine.write_text(
        VALID + "metrics: {}\nslices: {discover: true, min_rows: 200}\nfairness: {groups: []}\nbehaviour: []\ngate: {worst_slice: null}\n"
    )
    said = project_file.load(mine)
    assert (said.digest(), said.judging, said.section_digest("gate")) == (plain.digest(), (), plain.section_digest("gate"))
    mine.write_text(VALID + "slices: {min_rows: 201}\nbehaviour: [{name: fast, kind: direction, column: speed, add: 1}]\n")
    assert project_file.load(mine).judging == ("slices", "behaviour")
    assert project_file.load(mine).digest() != plain.digest()


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


def test_a_key_that_a_later_release_knows_changes_nothing_of_what_was_said_before(mine: Path) -> None:
    """Neither a digest nor what is on record: an upgrade is no change of the YAML."""
    project = project_file.load(mine)
    said = project.model_copy(update={"source": project.source.model_copy(update={"licence": ""})})
    assert (said.digest(), said.section_digest("source")) == (project.digest(), project.section_digest("source"))
    now = project.model_dump(mode="json")
    then = {**now, "source": {"python": "projects.mine", "options": {}, "outcome_lag": 0}}
    assert config.binding_differences(then, now) == []
    then["source"]["outcome_lag"] = 1
    assert config.binding_differences(then, now) == ["source.outcome_lag: 1 -> 0"]
    then["source"]["of_a_key_that_is_gone"] = 1
    assert "source.of_a_key_that_is_gone: 1 -> null" in config.binding_differences(then, now)


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


def test_a_rollout_at_its_defaults_changes_no_digest(mine: Path) -> None:
    plain = project_file.load(mine)
    mine.write_text(VALID + f"rollout: {json.dumps(config.Rollout().model_dump(mode='json'))}\n")
    said = project_file.load(mine)
    assert (said.digest(), said.section_digest("rollout")) == (plain.digest(), plain.section_digest("rollout"))


@pytest.mark.parametrize(
    ("strategy", "shares", "ends_in"),
    [
        pytest.param("canary", [0.01, 0.05, 0.25, 0.5], "promote", id="canary"),
        pytest.param("ab", [0.5], "keep", id="ab"),
        pytest.param("blue-green", [1.0], "promote", id="blue-green"),
        pytest.param("shadow", [1.0], "promote", id="shadow"),
    ],
)
def test_every_strategy_is_steps_and_an_end(strategy: str, shares: list[float], ends_in: str) -> None:
    rollout = config.Rollout.model_validate({"strategy": strategy})
    assert [step.share for step in rollout.bakes] == shares
    assert rollout.ends_in == ends_in
    assert config.Rollout.model_validate({"strategy": strategy, "then": "keep"}).ends_in == "keep"


@pytest.mark.parametrize(
    ("said", "alone"),
    [
        pytest.param({"strategy": "blue-green"}, True, id="blue-green"),
        pytest.param({"strategy": "canary"}, False, id="canary"),
        pytest.param({"strategy": "canary", "steps": [{"share": 0.5}, {"share": 1.0}]}, True, id="canary to the end"),
        pytest.param({"strategy": "shadow"}, False, id="shadow"),
        pytest.param({"strategy": "ab"}, False, id="ab"),
    ],
)
def test_who_may_have_the_whole_traffic_has_nobody_to_be_compared_with(said: dict[str, Any], alone: bool) -> None:
    assert config.Rollout.model_validate(said).alone is alone
