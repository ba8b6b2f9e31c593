import numpy as np
import pyarrow as pa
import pytest

from pillars.development import features
from pillars.errors import ConfigInvalid
from tests.factories import binary_project, reading, rows_and_outcomes

PROJECT = binary_project()


def shuffled(table: pa.Table, seed: int) -> pa.Table:
    return table.take(pa.array(np.random.default_rng(seed).permutation(table.num_rows)))


def test_design_gives_the_features_in_the_order_of_the_configuration() -> None:
    rows, _ = rows_and_outcomes(["2013-01"], rows=50)
    columns = features.design(PROJECT, rows)
    assert list(columns) == ["load", "wind", "hour", "line", "stop"]
    assert [column.dtype for column in columns.values()] == [np.float64] * 3 + [object] * 2
    assert np.isnan(columns["wind"]).sum() == rows.column("wind").null_count
    assert columns["line"].tolist() == rows.column("line").to_pylist()


def test_booleans_are_numbers_and_any_type_is_a_category() -> None:
    project = binary_project(features={"numeric": ["load"], "categorical": ["hour", "stop"]})
    coded = pa.array(["a", None, "a"]).dictionary_encode()
    columns = features.design(project, pa.table({"load": [True, None, False], "hour": [7, None, 8], "stop": coded}))
    assert columns["load"].tolist()[::2] == [1.0, 0.0]
    assert np.isnan(columns["load"][1])
    assert columns["hour"].tolist() == ["7", None, "8"]
    assert columns["stop"].tolist() == ["a", None, "a"]


def test_a_column_that_is_no_number_is_named() -> None:
    project = binary_project(features={"numeric": ["stop"], "categorical": []})
    with pytest.raises(ConfigInvalid, match=r"features.numeric: stop is string"):
        features.design(project, pa.table({"stop": ["here", "there"]}))


def test_a_column_that_the_rows_lack_is_named() -> None:
    with pytest.raises(ConfigInvalid, match="the rows have no column wind"):
        features.design(PROJECT, pa.table({"load": [1.0], "hour": [1], "line": ["A"], "stop": ["x"]}))


def test_rows_without_an_outcome_are_left_out() -> None:
    rows, outcomes = rows_and_outcomes(["2013-01"], rows=400)
    kept, y, blocks = features.labelled(PROJECT, rows, outcomes.slice(0, 300))
    known = 300 - outcomes.slice(0, 300).column("late").null_count
    assert kept.num_rows == len(y) == len(blocks) == known < 300
    assert y.dtype == np.float32
    assert set(y.tolist()) == {0.0, 1.0}


def test_the_order_of_rows_and_outcomes_has_no_say() -> None:
    rows, outcomes = rows_and_outcomes(["2013-01"], rows=300)
    kept, y, blocks = features.labelled(PROJECT, rows, outcomes)
    again, y_again, blocks_again = features.labelled(PROJECT, shuffled(rows, 1), shuffled(outcomes, 2))
    assert again.equals(kept)
    assert np.array_equal(y_again, y)
    assert np.array_equal(blocks_again, blocks)
    keys = list(zip(*(kept.column(name).to_pylist() for name in PROJECT.key), strict=True))
    assert keys == sorted(keys)


@pytest.mark.parametrize(("block", "distinct"), [("day", 28), ("hour", 600), ("row", 3000)])
def test_blocks_are_days_hours_or_rows(block: str, distinct: int) -> None:
    rows, _ = rows_and_outcomes(["2013-01"], rows=3000)
    found = features.blocks(binary_project(split={"block": block}), rows)
    assert found.dtype == np.int64
    assert (np.diff(found) >= 0).all()
    assert len(np.unique(found)) == pytest.approx(distinct, rel=0.12)


def test_blocks_of_a_day_do_not_depend_on_the_unit_of_time() -> None:
    rows, _ = rows_and_outcomes(["2013-01"], rows=50)
    fine = rows.set_column(0, "at", rows.column("at").cast(pa.timestamp("ns")))
    assert np.array_equal(features.blocks(PROJECT, fine), features.blocks(PROJECT, rows))


def test_a_reader_joins_periods_and_names_their_content() -> None:
    rows, outcomes = rows_and_outcomes(["2013-01", "2013-02"], rows=200)
    read = features.reader(PROJECT, "v1", reading(rows, outcomes))
    both, january = read(["2013-01", "2013-02"]), read(["2013-01"])
    assert len(both.y) == both.keys.num_rows == len(both.blocks) > len(january.y)
    assert both.keys.column_names == ["at", "line", "number"]
    assert np.array_equal(both.columns["load"][: len(january.y)], january.columns["load"])
    again = features.reader(PROJECT, "v2", reading(shuffled(rows, 3), shuffled(outcomes, 4)))
    assert again(["2013-01", "2013-02"]).digest == both.digest != january.digest


@pytest.mark.parametrize("column", ["load", "stop"])
def test_one_changed_value_changes_the_digest(column: str) -> None:
    rows, outcomes = rows_and_outcomes(["2013-01"], rows=100)
    place = rows.column_names.index(column)
    changed = pa.array([rows.column(column)[1].as_py(), *rows.column(column).to_pylist()[1:]], rows.column(column).type)
    other = features.reader(PROJECT, f"changed {column}", reading(rows.set_column(place, column, changed), outcomes))
    assert other(["2013-01"]).digest != features.reader(PROJECT, "as it was", reading(rows, outcomes))(["2013-01"]).digest


def test_the_steps_of_one_cycle_read_each_period_once() -> None:
    rows, outcomes = rows_and_outcomes(["2013-01", "2013-02"], rows=50)
    asked: list[tuple[str, ...]] = []

    def counted(kind: str, periods: list[str]) -> pa.Table:
        asked.append((kind, *periods))
        return reading(rows, outcomes)(kind, periods)

    for _ in range(2):
        features.reader(PROJECT, "counted", counted)(["2013-01", "2013-02"])
        features.reader(PROJECT, "counted", counted)(["2013-01"])
    assert sorted(asked) == sorted((kind, period) for kind in ("rows", "outcomes") for period in ("2013-01", "2013-02"))


def test_a_later_version_reads_only_the_periods_that_changed() -> None:
    rows, outcomes = rows_and_outcomes(["2013-01", "2013-02"], rows=50)
    asked: list[str] = []

    def counted(kind: str, periods: list[str]) -> pa.Table:
        asked.extend(periods if kind == "rows" else ())
        return reading(rows, outcomes)(kind, periods)

    contents = {"2013-01": "january", "2013-02": "february"}
    features.reader(PROJECT, "first version", counted, contents)(["2013-01", "2013-02"])
    features.reader(PROJECT, "second version", counted, contents | {"2013-02": "february, corrected"})(["2013-01", "2013-02"])
    assert asked == ["2013-01", "2013-02", "2013-02"]


def test_what_is_kept_in_memory_is_bounded() -> None:
    rows, outcomes = rows_and_outcomes(["2013-01"], rows=200)
    one = features.reader(PROJECT, "bounded", reading(rows, outcomes))(["2013-01"])
    memory = features._Memory(int(2.5 * features._bytes(one)))
    for place in range(10):
        memory.keep(("v", "s", str(place)), one)
    assert list(memory.held) == [("v", "s", "8"), ("v", "s", "9")]


def test_rows_as_blocks_stay_apart_over_periods() -> None:
    rows, outcomes = rows_and_outcomes(["2013-01", "2013-02"], rows=50)
    found = features.reader(binary_project(split={"block": "row"}), "rows", reading(rows, outcomes))(["2013-01", "2013-02"])
    assert len(np.unique(found.blocks)) == len(found.y)
