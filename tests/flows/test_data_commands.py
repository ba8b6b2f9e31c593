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
