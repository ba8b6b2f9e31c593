"""Both engines of Great Expectations say the same of a table: kind by kind, on clean and on spoiled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.config_data import Expectation
from pillars.data import engines, spilled
from pillars.data.engines import Held, hold
from pillars.data.schema import conform
from pillars.data.spilled import Spilled, spill
from pillars.data.validation import validate
from pillars.errors import ConfigInvalid, StoreUnavailable
from tests.pillars.data.batches import changed, project, rows

PARCELS = rows("2013-01", 200)
SPOILED = changed(
    changed(changed(changed(PARCELS, "weight_kg", [3, 99], float("nan")), "weight_kg", [5, 6, 150], 99.0), "carrier", [7, 8], "Z"),
    "stops",
    [10, 11],
    -3,
)
DOUBLED = pa.concat_tables([PARCELS, PARCELS.slice(2, 3), PARCELS.slice(2, 1)])
NAMELESS = changed(changed(DOUBLED, "parcel", [4, 203], None), "at", [4, 203], None)  # keys without a part, and without any
TABLES = {
    "clean": PARCELS,
    "spoiled": SPOILED,
    "doubled": DOUBLED,
    "nameless": NAMELESS,
    "one": PARCELS.slice(0, 1),
    "none": PARCELS.slice(0, 0),
    "hollow": PARCELS.set_column(2, "weight_kg", pa.nulls(200, pa.float64())),
    "headless": PARCELS.drop_columns(["carrier", "stops"]),
    "mistyped": PARCELS.set_column(2, "weight_kg", pa.array([str(i) for i in range(200)])),
}


def asked(kind: str, quarantine: bool = False, **kwargs: Any) -> Expectation:
    return Expectation(type=f"expect_{kind}", kwargs=kwargs, quarantine=quarantine)


ASKED = [
    *(
        asked("column_values_to_not_be_null", q, column=c)
        for c in ("weight_kg", "at", "carrier", "stops", "express")
        for q in (True, False)
    ),
    asked("column_values_to_be_null", column="weight_kg", mostly=0.1),
    *(asked("column_values_to_be_between", q, column="weight_kg", min_value=1, max_value=50) for q in (True, False)),
    asked("column_values_to_be_between", column="weight_kg", min_value=2.5, strict_min=True, mostly=0.9),
    asked("column_values_to_be_between", True, column="at", min_value="2013-01-02T00:00:00", max_value="2013-01-20", strict_max=True),
    *(asked("column_values_to_be_between", q, column="stops", min_value=0, max_value=4) for q in (True, False)),
    *(asked("column_values_to_be_in_set", q, column="carrier", value_set=["A", "B"]) for q in (True, False)),
    asked("column_values_to_be_in_set", column="stops", value_set=[0, 1, 2, 3]),
    asked("column_values_to_be_in_set", column="stops", value_set=["0", "1", "2", "3", "4"]),
    asked("column_values_to_be_in_set", column="carrier", value_set=[1, 2]),
    asked("column_values_to_be_in_set", column="express", value_set=[True]),
    asked("column_values_to_not_be_in_set", True, column="carrier", value_set=["Z"]),
    asked("column_value_lengths_to_equal", column="carrier", value=1),
    asked("column_value_lengths_to_be_between", True, column="person", min_value=9, max_value=11),
    asked("column_values_to_match_regex", True, column="person", regex=r"^Person \d+$"),
    asked("column_values_to_not_match_regex", column="carrier", regex="Z"),
    asked("column_values_to_match_regex_list", column="person", regex_list=["^Person", "^Za"], match_on="any"),
    *(
        asked("column_values_to_be_in_type_list", column=c, type_list=t)
        for c, t in (("carrier", ["str"]), ("weight_kg", ["float64"]), ("at", ["int64"]))
    ),
    asked("column_values_to_be_unique", True, column="parcel"),
    asked("column_values_to_be_unique", column="carrier", mostly=0.01),
    asked("compound_columns_to_be_unique", True, column_list=["at", "parcel"]),
    asked("compound_columns_to_be_unique", column_list=["at", "parcel"], mostly=0.98),
    asked("compound_columns_to_be_unique", True, column_list=["at", "parcel"], ignore_row_if="any_value_is_missing"),
    asked("compound_columns_to_be_unique", True, column_list=["parcel", "weight_kg"], ignore_row_if="never"),
    asked(
        "column_pair_values_a_to_be_greater_than_b", True, column_A="weight_kg", column_B="stops", ignore_row_if="either_value_is_missing"
    ),
    asked("column_pair_values_a_to_be_greater_than_b", True, column_A="weight_kg", column_B="stops", or_equal=True),
    asked("column_pair_values_to_be_equal", column_A="stops", column_B="parcel", mostly=0.01),
    asked("multicolumn_sum_to_equal", column_list=["stops", "parcel"], sum_total=10),
    *(
        asked(f"column_{k}_to_be_between", column="weight_kg", min_value=1, max_value=30)
        for k in ("mean", "median", "stdev", "min", "max", "sum")
    ),
    asked("column_max_to_be_between", column="at", max_value="2013-01-20"),
    asked(
        "column_quantile_values_to_be_between",
        column="weight_kg",
        quantile_ranges={"quantiles": [0.1, 0.9], "value_ranges": [[0, 10], [20, 50]]},
    ),
    asked("column_unique_value_count_to_be_between", column="carrier", min_value=1, max_value=3),
    asked("column_proportion_of_unique_values_to_be_between", column="parcel", min_value=0.999),
    asked("column_distinct_values_to_be_in_set", column="carrier", value_set=["A", "B", "C"]),
    asked("column_values_to_be_increasing", column="parcel"),
    asked("table_row_count_to_be_between", min_value=10, max_value=203),
    asked("table_row_count_to_equal", value=200),
    asked("table_columns_to_match_set", column_set=PARCELS.column_names),
    asked("table_columns_to_match_ordered_list", column_list=PARCELS.column_names),
    asked("table_column_count_to_equal", value=7),
    asked(
        "column_values_to_be_between",
        True,
        column="weight_kg",
        max_value=30,
        row_condition='col("carrier")=="A"',
        condition_parser="great_expectations",
    ),
    asked(
        "column_mean_to_be_between",
        column="weight_kg",
        max_value=22,
        row_condition='col("carrier")=="A"',
        condition_parser="great_expectations",
    ),
]


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, size in ((engines, "PIECE", 64), (engines, "FEW", 16), (spilled, "PIECE", 48)):
        monkeypatch.setattr(module, name, size)


def on_disk(table: pa.Table, folder: Path, name: str = "table") -> Spilled:
    return spill(folder / f"{name}.parquet", (table.slice(at, 30) for at in range(0, max(table.num_rows, 1), 30)))


def said(expectation: Expectation, held: Held) -> tuple[Any, ...]:
    """What the rest of the project looks at."""
    facts = held.facts
    seen = facts.get("observed_value", [v for v in map(str, facts.get("partial_unexpected_list") or []) if v not in ("None", "nan", "NaT")])
    seen = f"{seen:.6g}" if isinstance(seen, float) else str(seen)
    listed = facts["details"].get("mismatched") if isinstance(facts.get("details"), dict) else None
    fails = None if held.fails is None or not expectation.quarantine else np.flatnonzero(held.fails).tolist()
    return held.success, bool(held.broke), facts.get("unexpected_count"), seen, listed, fails


@pytest.mark.parametrize("name", TABLES)
def test_a_spilled_table_is_held_as_one_in_memory(name: str, tmp_path: Path) -> None:
    table = conform(project(), TABLES[name], project().row_columns)
    whole, pieced = hold(project(), ASKED, table), hold(project(), ASKED, on_disk(table, tmp_path), tmp_path)
    differ = [(e.type, e.kwargs, said(e, a), said(e, b)) for e, a, b in zip(ASKED, whole, pieced, strict=True) if said(e, a) != said(e, b)]
    for each in differ:
        print(*each, sep="\n  ")
    assert differ == []


def test_of_a_clean_table_duckdb_answers_all_but_what_it_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = on_disk(PARCELS.drop_columns(["person"]), tmp_path)
    seen: list[str] = []
    pandas = engines._by_pandas
    monkeypatch.setattr(
        engines, "_by_pandas", lambda project, asked, *rest: seen.extend(e.type for e in asked) or pandas(project, asked, *rest)
    )
    checks, _ = validate(project(columns={"person": {"type": "text", "role": ["known_later"]}}), "2013-01", table, None, folder=tmp_path)
    assert {c.status for c in checks} == {"passed"}
    assert set(seen) == {"expect_column_values_to_be_in_type_list"}  # on a few rows


def test_columns_with_duckdbs_own_words_as_names_are_held(tmp_path: Path) -> None:
    table = pa.table({"select": [1, 2, 3] * 10, 'a "quoted" one': [1.0, None, 3.0] * 10, "it's": ["a", "b", "c"] * 10})
    suite = [
        asked("column_values_to_be_between", True, column="select", max_value=2),
        asked("column_values_to_not_be_null", True, column='a "quoted" one'),
        asked("column_values_to_be_in_set", True, column="it's", value_set=["a", "b"]),
        asked("compound_columns_to_be_unique", True, column_list=["select", "it's"]),
    ]
    whole, pieced = hold(project(), suite, table), hold(project(), suite, on_disk(table, tmp_path), tmp_path)
    assert [said(e, h) for e, h in zip(suite, pieced, strict=True)] == [said(e, h) for e, h in zip(suite, whole, strict=True)]
    assert not any(h.broke for h in pieced)


def test_an_expectation_that_does_not_exist_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match="expect_columns_to_shine"):
        hold(
            project(),
            [Expectation(type="expect_columns_to_shine", kwargs={"column": "at"})],
            Spilled(tmp_path / "there-is-no-file"),
            tmp_path,
        )


def test_what_duckdb_cannot_keep_in_memory_goes_beside_the_table_and_comes_back_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spilled, "MEMORY", "60MB")
    draw = np.random.default_rng(0)
    names = ["key", *(f"c{i}" for i in range(8))]
    table = pa.table([draw.permutation(600_000), *(draw.random(600_000) for _ in range(8))], names)
    big, limits = spill(tmp_path / "big.parquet", iter([table])), spilled.limits
    with monkeypatch.context() as without:
        without.setattr(spilled, "limits", lambda folder: (*limits(folder), "SET max_temp_directory_size = '0KB'"))
        with pytest.raises(StoreUnavailable, match="has no room for what does not fit into 60MB of memory"):
            list(spilled.sorted_by(tmp_path, big, ["key"], np.arange(5)))
    parts = [piece for piece, _ in spilled.sorted_by(tmp_path, big, ["key"], np.arange(5))]
    assert pa.concat_tables(parts).equals(table.slice(5).sort_by("key").combine_chunks())


@pytest.mark.parametrize("without", [[], [0, 1], [199], [48, 49, 150]], ids=str)
@pytest.mark.parametrize("swapped", [None, (3, 150), (47, 48), (0, 199)], ids=str)
def test_rows_come_by_key_whatever_order_they_came_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swapped: tuple[int, int] | None, without: list[int]
) -> None:
    order = np.arange(200)
    if swapped:
        order[list(swapped)] = order[list(swapped)[::-1]]
    table = PARCELS.take(pa.array(order))
    sorting: list[str] = []
    asked_of_duckdb = spilled.asked
    monkeypatch.setattr(spilled, "asked", lambda *given, **named: sorting.append("") or asked_of_duckdb(*given, **named))
    found = list(spilled.sorted_by(tmp_path, on_disk(table, tmp_path), ["at", "parcel"], np.array(without, np.int64)))
    kept = table.take(pa.array(np.delete(np.arange(200), without)))
    by_key = kept.sort_by([("at", "ascending"), ("parcel", "ascending")])
    assert pa.concat_tables([piece for piece, _ in found]).equals(by_key)
    assert table.take(pa.array(np.concatenate([places for _, places in found]))).equals(by_key)
    assert bool(sorting) == (not kept.equals(by_key))
