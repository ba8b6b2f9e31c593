from __future__ import annotations

from dataclasses import replace

import pytest

from pillars.data.record import File, Record, differences, message, parse, render, with_files, without_parent
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
