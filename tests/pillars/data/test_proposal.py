"""A proposed YAML is a project as it stands, whatever the file's names and values are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pillars import project_file
from pillars.config import Project
from pillars.config_data import Csv
from pillars.data.dialect import sniff
from pillars.data.parsing import parse
from pillars.data.profiling import profile
from pillars.data.proposal import Proposal, Wishes, propose
from pillars.data.sources.tables import read_table
from pillars.errors import ColumnUnfit
from tests.pillars.data.sources.ways import csv_text

N = 900


def customers(n: int = N) -> dict[str, list[Any]]:
    """A file as somebody has it."""
    draw = np.random.default_rng(0)
    days = np.datetime64("2023-01-02") + draw.integers(0, 360, n)
    return {
        "customer_id": [f"C{i:05d}" for i in range(n)],
        "asked on": [str(d) for d in days],
        "plan": draw.choice(["basic", "plus", "pro"], n).tolist(),
        "usage": [None if i % 11 == 0 else f"{v:.2f}" for i, v in enumerate(draw.gamma(2, 30, n))],
        "sex": draw.choice(["f", "m"], n).tolist(),
        "note": [f"free text {i}" for i in range(n)],
        "left": draw.choice(["stayed", "left"], n, p=[0.8, 0.2]).tolist(),
    }


def proposed(columns: dict[str, list[Any]], **wishes: Any) -> Proposal:
    table = pa.table({name: pa.array(values, pa.string()) for name, values in columns.items()})
    return propose("mine", "mine.csv", Csv(), profile(table), Wishes(**wishes))


def loaded(folder: Path, found: Proposal) -> Project:
    (folder / "mine.yaml").write_text(found.yaml)
    return project_file.load(folder / "mine.yaml")


def test_a_file_with_times_and_a_key(tmp_path: Path) -> None:
    found = proposed(customers(), target="left", time="asked on", protect=("sex",))
    project = loaded(tmp_path, found)
    assert (project.key, project.time, project.target) == (("customer_id",), "asked on", "left")
    assert (project.source.batches.by, project.source.batches.every, found.periods) == ("time", "quarter", 4)
    assert (project.features.numeric, project.features.categorical) == (("usage",), ("plan",))
    assert project.of("protected") == ("sex",)
    assert (project.columns["left"].true_as, project.columns["left"].false_as) == (("left",), ("stayed",)), "the rarer one is true"
    assert project.columns["usage"].nullable
    assert not project.columns["plan"].nullable
    assert project.split.block == "day"
    assert found.warnings == ()


def test_without_a_time_periods_are_blocks(tmp_path: Path) -> None:
    found = proposed(customers(), target="left")
    project = loaded(tmp_path, found)
    assert (project.source.batches.by, project.source.batches.size, project.split.block) == ("rows", 225, "row")
    assert project.source.batches.shuffled is None
    assert "asked on is a time: with --time asked on periods are times, and nothing is learned from the future" in found.warnings
    assert any(w.startswith("sex sounds like a person's data") for w in found.warnings)


def test_a_file_sorted_by_its_target_is_shuffled(tmp_path: Path) -> None:
    columns = customers()
    order = np.argsort(columns["left"], kind="stable")
    found = proposed({name: [values[i] for i in order] for name, values in columns.items()}, target="left")
    assert loaded(tmp_path, found).source.batches.shuffled == N
    assert "the file is sorted by left, or nearly: its blocks of rows are drawn by chance" in found.warnings


def test_a_column_that_tells_the_outcome_is_suspected(tmp_path: Path) -> None:
    columns = customers()
    columns["closed_reason"] = ["moved" if left == "left" else "none" for left in columns["left"]]
    found = proposed(columns, target="left")
    assert any(w.startswith("closed_reason alone tells left (AUC 1.000): is it known") for w in found.warnings)
    loaded(tmp_path, found)


def test_rows_without_a_target_hide_no_leak(tmp_path: Path) -> None:
    columns = customers()
    columns["score"] = [f"{i % 97 + (1000 if left == 'left' else 0)}.5" for i, left in enumerate(columns["left"])]
    columns["left"] = ["" if i % 3 == 0 else left for i, left in enumerate(columns["left"])]
    found = proposed({name: [None if v == "" else v for v in values] for name, values in columns.items()}, target="left")
    assert any(w.startswith("score alone tells left (AUC 1.000)") for w in found.warnings)
    assert "left is missing in 300 rows: they are scored, and nothing is learned from them" in found.warnings


@pytest.mark.parametrize(
    "words",
    [pytest.param((" >50K", " <=50K"), id="blanks"), pytest.param(("2.0", "1.0"), id="floats"), pytest.param(("yes", "No"), id="plain")],
)
def test_the_words_of_a_target_are_those_that_are_read(tmp_path: Path, words: tuple[str, str]) -> None:
    columns = customers()
    columns["left"] = [words[0] if left == "left" else words[1] for left in columns["left"]]
    project = loaded(tmp_path, proposed(columns, target="left"))
    table, unread = parse(project, pa.table({"left": columns["left"]}))
    assert not unread
    assert table["left"].to_pylist() == [left == words[0] for left in columns["left"]]


def test_no_row_of_a_file_fails_the_limits_that_it_gave(tmp_path: Path) -> None:
    columns = customers()
    columns["longitude"] = [f"{13.4 + i / N / 50:.5f}" for i in range(N)]
    columns["tiny"] = [f"{-1e-7 * i:.9f}" for i in range(N)]
    project = loaded(tmp_path, proposed(columns, target="left"))
    limits = {e.kwargs["column"]: e.kwargs for e in project.expectations.suite if e.type == "expect_column_values_to_be_between"}
    assert set(limits) == {"usage", "longitude", "tiny"}
    for name, kwargs in limits.items():
        values = [float(v) for v in columns[str(name)] if v]
        assert kwargs["min_value"] <= min(values) <= max(values) <= kwargs["max_value"]  # type: ignore[operator]


@pytest.mark.parametrize(
    "odd", ["b\u2028  hidden: 1", "b\rtarget: x", "b\u007f", "b\u0085c", "# b", "'b", '"b', "b: c", "- b", "\ud83d\ude00 b"]
)
def test_no_value_becomes_a_line_of_the_yaml(tmp_path: Path, odd: str) -> None:
    odd = odd.encode("utf-16", "surrogatepass").decode("utf-16")
    columns = customers()
    columns["plan"] = [odd if p == "pro" else p for p in columns["plan"]]
    project = loaded(tmp_path, proposed(columns, target="left"))
    assert set(project.columns) == {*columns}
    suite = {e.kwargs["column"]: e.kwargs for e in project.expectations.suite if "value_set" in e.kwargs}
    assert odd in suite["plan"]["value_set"]  # type: ignore[operator]


def test_without_a_key_rows_are_numbered(tmp_path: Path) -> None:
    columns = customers()
    del columns["customer_id"], columns["note"]
    project = loaded(tmp_path, proposed(columns, target="left"))
    assert (project.key, project.source.row_number) == (("row",), "row")


def test_numbers_as_classes(tmp_path: Path) -> None:
    columns = customers()
    columns["left"] = ["2" if v == "left" else "1" for v in columns["left"]]
    project = loaded(tmp_path, proposed(columns, target="left"))
    assert (project.columns["left"].true_as, project.columns["left"].false_as) == (("2",), ("1",))


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        pytest.param({"target": "churn"}, "churn.*no such column; it has customer_id, asked on, plan", id="no such target"),
        pytest.param({"target": "plan", "task": "binary"}, "plan.*it has 3 values .*; a binary target has two", id="three classes"),
        pytest.param({"target": "usage", "task": "binary"}, r"usage.*it has \d+ values .*; a binary target has two", id="a number"),
        pytest.param({"target": "left", "time": "plan"}, "plan.*it is no time", id="no time"),
        pytest.param({"target": "left", "key": ("plan",)}, "plan.*does not name rows: 897 of 900 rows have the values", id="no key"),
        pytest.param({"target": "left", "key": ("usage",)}, "usage.*does not name rows", id="a key with gaps"),
        pytest.param({"target": "left", "protect": ("left",)}, "the target can be neither time nor key, nor be protected", id="target"),
        pytest.param({"target": "left", "protect": ("sexx",)}, "sexx.*no such column", id="no such column"),
    ],
)
def test_wishes_that_the_file_cannot_meet_are_named(wishes: dict[str, Any], message: str) -> None:
    with pytest.raises(ColumnUnfit, match=message):
        proposed(customers(), **wishes)


def test_a_file_with_a_target_alone_has_nothing_to_learn_from() -> None:
    with pytest.raises(ColumnUnfit, match="no other column of the file can be a feature"):
        proposed({"left": ["a", "b"] * 20}, target="left")


names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=20).map(str.strip).filter(bool)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(names, min_size=3, max_size=6, unique=True), st.lists(names, min_size=2, max_size=2, unique=True), st.data())
def test_any_names_and_words_make_a_yaml_that_says_them(tmp_path: Path, columns: list[str], words: list[str], data: st.DataObject) -> None:
    target, *others = columns
    table: dict[str, list[Any]] = {target: [words[i % 3 == 0] for i in range(40)]}
    for name in others:
        pool = data.draw(st.lists(st.one_of(st.none(), names, st.integers().map(str)), min_size=2, max_size=4))
        table[name] = [pool[i % len(pool)] for i in range(40)]
    try:
        found = proposed(table, target=target)
    except ColumnUnfit:
        return
    project = loaded(tmp_path, found)
    assert project.target == target
    assert set(columns) <= set(project.columns)


@pytest.mark.parametrize(
    ("encoding", "separator", "ending"),
    [
        ("utf-8", ",", "csv"),
        ("utf-8-sig", ";", "csv"),
        ("utf-16", "\t", "csv"),
        ("cp1252", ";", "csv"),
        ("utf-8", "|", "txt"),
        ("utf-8", "\t", "tsv"),
    ],
)
def test_a_dialect_is_read_off_the_file(tmp_path: Path, encoding: str, separator: str, ending: str) -> None:
    columns = {name: [str(v) for v in values] for name, values in customers(60).items()}
    columns["plan"] = [f"{p}, größer; als | je" for p in columns["plan"]]
    file = tmp_path / f"a.{ending}"
    file.write_bytes(csv_text(pa.table(columns), separator).encode(encoding))
    assert read_table(file, file.name, sniff(file, file.name)).to_pydict() == columns


def test_a_file_of_one_column_has_the_usual_dialect(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("left\nyes\nno\n")
    assert sniff(tmp_path / "a.csv", "a.csv") == Csv()


def test_several_classes_are_named_and_checked(tmp_path: Path) -> None:
    project = loaded(tmp_path, proposed(customers(), target="plan", key=("customer_id",)))
    assert project.task == "multiclass"
    assert set(project.classes) == {"basic", "plus", "pro"}
    assert project.columns["plan"].type == "category"
    assert project.gate.loss == "log_loss"
    checks = [e for e in project.expectations.suite if e.kwargs.get("column") == "plan"]
    assert [(e.type, e.severity) for e in checks] == [("expect_column_values_to_be_in_set", "warning")]


def test_a_number_has_margins_in_its_own_units(tmp_path: Path) -> None:
    project = loaded(tmp_path, proposed(customers(), target="usage", key=("customer_id",)))
    assert (project.task, project.gate.loss) == ("regression", "squared_error")
    assert 1 < project.gate.margin < 5, "a thousandth and a half of a variance near 1800"
    assert project.gate.refresh_margin == pytest.approx(5 * project.gate.margin, rel=0.1)


def test_a_file_that_is_sorted_by_a_number_or_its_classes_is_drawn_by_chance(tmp_path: Path) -> None:
    made = customers()
    for target in ("usage", "plan"):
        order = sorted(
            range(N), key=lambda i: (made[target][i] is None, float(made[target][i] or 0) if target == "usage" else made[target][i])
        )
        found = proposed({name: [values[i] for i in order] for name, values in made.items()}, target=target, key=("customer_id",))
        assert loaded(tmp_path, found).source.batches.shuffled == N
        assert any(f"sorted by {target}" in warning for warning in found.warnings)


def test_of_many_columns_those_that_tell_most_are_watched(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    y = draw.random(N) < 0.4
    wide = {f"x{i:02}": [f"{v:.4f}" for v in draw.normal(size=N) + (y if i >= 15 else 0)] for i in range(30)}
    project = loaded(tmp_path, proposed({**wide, "y": ["yes" if one else "no" for one in y]}, target="y"))
    watched = project.monitoring.drift.structural
    assert len(watched) == 20
    assert set(watched) >= {f"x{i:02}" for i in range(15, 30)}
    assert len(project.features.numeric) == 30
