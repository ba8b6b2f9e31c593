"""What the command says of data versions, of a project that two months have been through."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.bad_input.door import say
from tests.small import enter


def test_a_version_says_what_came_of_it(replayed: Path) -> None:
    told = json.loads(say("data", "show", "small", "--json").out)
    assert told["periods"] == ["2013-01", "2013-02"]
    assert told["created"].endswith("+00:00")
    assert told["source"] == "small_source"
    assert told["candidates"] == ["2013-02"]
    assert told["scored"] == ["2013-02"]
    first = json.loads(say("data", "show", "small", told["parent"][:10], "--json").out)
    assert (first["periods"], first["parent"], first["candidates"]) == (["2013-01"], None, ["2013-01"])
    assert set(first["models"]).isdisjoint(told["models"])
    assert first["rows"] < told["rows"]


def test_a_version_is_given_a_name_that_every_command_takes(two_periods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    enter(shutil.copytree(two_periods, tmp_path / "project", symlinks=True), monkeypatch)
    newest = json.loads(say("data", "show", "small", "--json").out)
    assert newest["tags"] == []
    assert newest["description"].startswith("small: outcomes of 2013-02 (")
    assert say("data", "tags", "small").out == "no version has a name\n"
    named = say("data", "tag", "small", newest["parent"][:12], "golden", "--text", "what the board saw")
    assert named.out == f"golden is a name of {newest['parent']}\n"
    for command in ("show", "checkout", "diff"):
        assert say("data", command, "small", "golden").exit_code == 0
    first = json.loads(say("data", "show", "small", "golden", "--json").out)
    assert (first["id"], first["tags"], first["periods"]) == (newest["parent"], ["golden"], ["2013-01"])
    assert first["description"].endswith(f"now 1 period 2013-01, {first['rows']:,} rows, from small_source")
    assert say("data", "show", "small", "--all").out.splitlines()[1].endswith("  golden")
    assert say("data", "tags", "small").out.splitlines() == [f"golden  {first['id'][:12]}  {told_at('golden')}  what the board saw"]
    refused = say("data", "tag", "small", "newest", "golden")
    assert (refused.exit_code, refused.out) == (2, "")
    assert "--force moves it. Nothing was changed." in refused.err
    assert say("data", "tag", "small", "newest", "golden", "--force").exit_code == 0
    told = json.loads(say("data", "tag", "small", "golden", "--delete", "--json").out)
    assert (told["version"], told["deleted"]) == (newest["id"], True)
    assert say("data", "tag", "small", "golden", "--delete").exit_code == 2
    assert json.loads(say("data", "tags", "small", "--json").out) == []


def told_at(name: str) -> str:
    """When a name was given, as the command prints it."""
    return str(next(one["created"] for one in json.loads(say("data", "tags", "small", "--json").out) if one["name"] == name))[:19]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        pytest.param(["newest"], "Missing argument 'NAME'", id="no name"),
        pytest.param(["golden", "--delete", "--text", "x"], "--delete takes neither --text nor --force", id="a text for what goes"),
        pytest.param(["newest", "a b"], "tag 'a b': a name has letters", id="no name of ours"),
        pytest.param(["nothing", "golden"], "no data version named 'nothing'", id="no version"),
    ],
)
def test_a_name_that_cannot_be_given_is_one_sentence(replayed: Path, arguments: list[str], words: str) -> None:
    said = say("data", "tag", "small", *arguments)
    assert (said.exit_code, said.out) == (2, "")
    assert words in said.err


def test_all_versions_are_a_line_each(replayed: Path) -> None:
    lines = say("data", "show", "small", "--all").out.splitlines()
    assert [line.split(" to ")[1][:7] for line in lines] == ["2013-02", "2013-01"]
    assert [d["periods"][-1] for d in json.loads(say("data", "show", "small", "--all", "--json").out)] == ["2013-02", "2013-01"]


def test_the_newest_version_against_what_it_was_made_from(replayed: Path) -> None:
    told = json.loads(say("data", "diff", "small", "--json").out)
    assert [(c["kind"], c["period"], c["how"]) for c in told["changes"]] == [("outcomes", "2013-02", "added"), ("rows", "2013-02", "added")]
    said = say("data", "diff", "small")
    assert said.out.splitlines()[0].startswith(f"{told['old'][:12]} (")
    assert said.out.splitlines()[1].startswith("outcomes of 2013-02 added: 0 -> ")
    assert say("data", "diff", "small", told["new"]).out.rstrip().endswith(": equal")


def test_what_is_not_there_is_named(replayed: Path) -> None:
    first = json.loads(say("data", "diff", "small", "--json").out)["old"]
    for arguments in (("show", "small", "deadbeef"), ("diff", "small", "deadbeef"), ("show", "nowhere")):
        said = say("data", *arguments)
        assert (said.exit_code, said.out) == (2, "")
        assert said.err.startswith("pillars: no ")
    assert say("data", "diff", "small", first, first).exit_code == 0


def test_a_corrected_month_names_the_models_and_predictions_that_rest_on_what_it_was(
    two_periods: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = shutil.copytree(two_periods, tmp_path / "project", symlinks=True)
    enter(root, monkeypatch)
    for period in ("2013-01", "2013-02"):  # one row of each less
        for kind in ("rows", "outcomes"):
            file = root / "slice" / f"{kind}-{period}.parquet"
            table = pq.read_table(file)
            pq.write_table(table.filter(pa.array([False] + [True] * (table.num_rows - 1))), file)
        assert say("ingest", "small", period).exit_code == 0
    first, second = json.loads(say("data", "revisions", "small", "--json").out)
    assert (first["period"], first["rows_before"] - first["rows"]) == ("2013-01", 1)
    assert "v1" in first["models"], "fitted on January"
    assert first["predictions"] == [], "nobody predicted January"
    assert second["period"] == "2013-02"
    assert "v1" not in second["models"], "fitted before February was known"
    (predictions,) = second["predictions"]
    assert (root / "var" / predictions).is_file()
    said = say("data", "revisions", "small").out
    assert f"predicted from them: var/{predictions}" in said
    assert "fitted on the former rows: v1" in said
