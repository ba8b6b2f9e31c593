from __future__ import annotations

from dataclasses import replace

import pytest

from pillars.data.record import File, Record, differences, message, parse, render, whole, with_files, without_parent, without_periods
from pillars.errors import DataCorrupt

ONE = {"parcels/rows/2013-01.parquet": File("a" * 32, 40, 900), "parcels/outcomes/2013-01.parquet": File("b" * 32, 38, 100)}
FIRST = with_files(None, ONE, "projects.parcels")
SECOND = with_files(FIRST, {"parcels/rows/2013-02.parquet": File("c" * 32, 30, 800)}, "projects.parcels")


def test_a_record_survives_its_text() -> None:
    assert parse(render(SECOND), "here") == SECOND


def test_its_figures_follow_from_its_files() -> None:
    assert (SECOND.rows, SECOND.bytes, SECOND.periods, SECOND.parent) == (70, 1800, ("2013-01", "2013-02"), FIRST.id)


def test_the_id_names_paths_and_bytes_alone() -> None:
    assert replace(FIRST, parent="x", source="y").id == FIRST.id
    assert Record(dict(reversed(ONE.items())), None, "").id == FIRST.id
    assert with_files(FIRST, {"parcels/rows/2013-01.parquet": File("d" * 32, 40, 900)}, "").id != FIRST.id
    assert len(FIRST.id) == 36


def test_equal_data_has_one_pin() -> None:
    other_way = with_files(
        with_files(None, {"parcels/rows/2013-02.parquet": File("c" * 32, 30, 800)}, "projects.parcels"), ONE, "projects.parcels"
    )
    assert other_way.parent != SECOND.parent
    assert render(without_parent(other_way)) == render(without_parent(SECOND))


def test_differences_say_what_happened_to_each_file() -> None:
    corrected = with_files(SECOND, {"parcels/rows/2013-01.parquet": File("d" * 32, 41, 900)}, "")
    assert differences(SECOND, corrected) == {"parcels/rows/2013-01.parquet": "changed"}
    assert differences(SECOND, FIRST) == {"parcels/rows/2013-02.parquet": "removed"}
    assert set(differences(None, FIRST).values()) == {"added"}
    assert message("parcels", SECOND, corrected) == "parcels: rows of 2013-01\n\nchanged parcels/rows/2013-01.parquet (41 rows)\n"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(render(FIRST).replace("a" * 32, "d" * 32), id="a hash was edited"),
        pytest.param("outs:\n- md5: abc.dir\n  path: data\n", id="written by dvc add"),
        pytest.param("outs: [", id="no YAML"),
        pytest.param("", id="empty"),
        pytest.param(render(FIRST).replace("rows: 40", "rows: forty"), id="no number"),
    ],
)
def test_a_text_by_other_hands_is_refused(text: str) -> None:
    with pytest.raises(DataCorrupt, match="here"):
        parse(text, "here")


def test_a_version_says_in_one_line_what_it_changed() -> None:
    assert SECOND.desc == "parcels: rows of 2013-02 (30); now 2 periods 2013-01 to 2013-02, 70 rows, from projects.parcels"
    assert SECOND.labels == ("parcels", "2013-02")
    corrected = with_files(SECOND, {"parcels/rows/2013-01.parquet": File("d" * 32, 41, 900)}, "elsewhere")
    assert corrected.desc == "parcels: rows of 2013-01 (41 again, 40 before); now 2 periods 2013-01 to 2013-02, 71 rows, from elsewhere"
    assert corrected.labels == ("parcels", "2013-02", "revision")
    late = with_files(None, {"parcels/outcomes/2013-01.parquet": File("b" * 32, 38, 100)}, "projects.parcels")
    assert late.desc == "parcels: outcomes of 2013-01 (38); now 0 periods, 0 rows, from projects.parcels"
    assert late.labels == ("parcels",)


def test_what_a_version_says_is_one_line_of_its_text_and_not_in_its_id() -> None:
    text = render(with_files(None, ONE, "a source with a\nlong name " * 20))
    assert next(line for line in text.splitlines() if line.startswith("  desc: ")).endswith("long name'")
    assert replace(SECOND, desc="", labels=()).id == SECOND.id


def test_a_version_of_an_older_release_is_read_and_keeps_its_text() -> None:
    old = render(replace(SECOND, desc="", labels=()))
    assert not {"desc", "labels", "type"} & {line.split(":")[0].strip() for line in old.splitlines()}
    assert parse(old, "here") == replace(SECOND, desc="", labels=())
    assert render(parse(old, "here")) == old
    assert with_files(parse(old, "here"), ONE, "") is not None
    assert whole(parse(old, "here")) == "parcels: 2 periods 2013-01 to 2013-02, 70 rows, from projects.parcels"


@pytest.mark.parametrize("period", ["2013", "2013-01-02", "1e3", "0o17", "null", "no"])
def test_a_period_that_looks_like_a_number_is_a_text_for_dvc_too(period: str) -> None:
    from dvc.schema import COMPILED_SINGLE_STAGE_SCHEMA
    from dvc.utils.serialize import parse_yaml

    text = render(with_files(None, {f"parcels/rows/{period}.parquet": File("a" * 32, 40, 900)}, "projects.parcels"))
    assert COMPILED_SINGLE_STAGE_SCHEMA(parse_yaml(text, "data.dvc"))["outs"][0]["labels"] == ["parcels", period]


def test_a_version_that_retention_made_says_what_it_lacks() -> None:
    later = without_periods(SECOND, ["2013-01"])
    assert later.desc == "parcels: without 2013-01, by retention; now 1 period 2013-02, 30 rows, from projects.parcels"
    assert (later.periods, later.parent, later.labels) == (("2013-02",), SECOND.id, ("parcels", "2013-02"))
    assert parse(render(later), "here") == later
    assert without_periods(SECOND, ["2012-12"]) is SECOND
