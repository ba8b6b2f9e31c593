"""What holds of every data set: no row is lost, twice is once, the order of arrival does not matter, and any period can be revised."""

from __future__ import annotations

import hashlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pillars.data import versions
from pillars.data.cleaning import prepare
from pillars.stores import Stores
from pillars.vocabulary import DataVersion
from tests.pillars.data.batches import NOW, changed, collected, outcomes, prepared, project, repository, rows, table_at

PERIODS = ("2013-01", "2013-02", "2013-03", "2013-04")
arrivals = st.lists(st.tuples(st.sampled_from(PERIODS), st.integers(0, 2)), min_size=1, max_size=6)  # period, which of its revisions
SPOILED: dict[str, Any] = {  # a column: values that are wrong in it, or only odd
    "weight_kg": st.sampled_from([None, -1.0, 50.0, 50.5, float("nan"), float("inf"), 1e300]),
    "carrier": st.sampled_from([None, "Z", "", "a", " A "]),
    "stops": st.sampled_from([None, -5, 10**15]),
    "at": st.sampled_from([None, *(np.datetime64(text, "ms").item() for text in ("2012-12-31T23:59", "2013-02-01", "2099-01-01"))]),
    "parcel": st.sampled_from([None, 0, 1, 2, -7]),
}
wrongs = st.lists(
    st.sampled_from(sorted(SPOILED)).flatmap(lambda name: st.tuples(st.just(name), st.integers(0, 39), SPOILED[name])), max_size=14
)
RULES = st.fixed_dictionaries(
    {
        "quarantine_budget": st.sampled_from([0.0, 0.1, 0.5, 1.0]),
        "duplicates": st.sampled_from([None, {"keep": "first"}, {"keep": "last"}, {"keep": "greatest", "of": "weight_kg"}]),
    }
)


@contextmanager
def place() -> Iterator[Stores]:
    """A clone of one example."""
    with tempfile.TemporaryDirectory() as folder:
        yield Stores(root=repository(Path(folder)), var=Path("var"))


def publish(stores: Stores, arrived: list[tuple[str, int]]) -> list[DataVersion]:
    """The version that each arrival leads to."""
    return [versions.publish(stores, project(), prepared(stores, period, seed), NOW) for period, seed in arrived]


def content(stores: Stores, version: DataVersion, period: str) -> dict[str, Any]:
    """Rows of a period in a version."""
    return versions.read(stores, version, "rows", [period]).to_pydict()


@settings(max_examples=15, deadline=None)
@given(arrived=arrivals, draw=st.randoms(use_true_random=False))
def test_the_order_in_which_periods_arrive_does_not_matter(arrived: list[tuple[str, int]], draw: Any) -> None:
    last = list(dict(arrived).items())  # a period's own revisions do have an order
    other = draw.sample(last, len(last))
    with place() as here, place() as there:
        assert publish(here, arrived)[-1].id == publish(there, other)[-1].id


@settings(max_examples=15, deadline=None)
@given(arrived=arrivals)
def test_what_arrives_again_makes_no_version(arrived: list[tuple[str, int]]) -> None:
    with place() as stores:
        newest = publish(stores, arrived)[-1]
        known = len(versions.history(stores, project()))
        again = publish(stores, list(dict(arrived).items()))
        assert {version.commit for version in again} == {newest.commit}
        assert len(versions.history(stores, project())) == known


@settings(max_examples=15, deadline=None)
@given(revised=st.sampled_from(PERIODS), others=st.sets(st.sampled_from(PERIODS)))
def test_any_period_can_be_revised_and_nothing_else_changes(revised: str, others: set[str]) -> None:
    with place() as stores:
        before = publish(stores, [(period, 0) for period in sorted(others | {revised})])[-1]
        after = publish(stores, [(revised, 1)])[-1]
        assert after.parent == before.id
        changes = versions.changes(stores, before, after)
        assert f"parcels/rows/{revised}.parquet" in changes
        assert {path.rpartition("/")[2] for path in changes} == {f"{revised}.parquet"}
        assert content(stores, after, revised) != content(stores, before, revised), "the old version has the old rows"
        assert content(stores, before, revised) == prepared_rows(stores, revised)
        for period in others - {revised}:
            assert content(stores, after, period) == content(stores, before, period)
        assert versions.verify(stores, before) == versions.verify(stores, after) == ()


def prepared_rows(stores: Stores, period: str) -> dict[str, Any]:
    """The rows of a period as they came first."""
    return table_at(stores, prepared(stores, period).rows_path).to_pydict()


def spoiled(wrong: list[tuple[str, int, Any]]) -> pa.Table:
    """January with wrong values; `person` names each row once."""
    table = changed(rows("2013-01"), "person", 0, "Person 0")
    for column, at, value in wrong:
        table = changed(table, column, at, value)
    return table


def names(table: pa.Table) -> Counter[str]:
    """How often each person's pseudonym stands in a table."""
    return Counter(table.column("person").to_pylist())


@settings(max_examples=20, deadline=None)
@given(wrong=wrongs, rules=RULES)
def test_every_row_is_kept_or_set_aside_and_none_is_both(wrong: list[tuple[str, int, Any]], rules: dict[str, Any]) -> None:
    table = spoiled(wrong)
    opened = project(**rules)
    with place() as stores:
        came = collected(stores, opened, table, outcomes(rows("2013-01")))
        raw = names(table_at(stores, came.rows_path))
        done = prepare(stores, opened, came)
        if not done.validation.decision:
            assert names(table_at(stores, f"{done.kept_at}/rows.parquet")) == raw
            return
        kept = names(table_at(stores, done.rows_path))
        aside = table_at(stores, done.quarantine_path).to_pylist() if done.quarantine_path else []
        gone = Counter(row["person"] for row in aside if row.get("person") is not None)  # outcomes have no person
        assert kept + gone == raw
        assert set(kept.values()) <= {1}
        assert not kept & gone


@settings(max_examples=15, deadline=None)
@given(wrong=wrongs, rules=RULES)
def test_a_batch_prepared_twice_is_the_same_bytes(wrong: list[tuple[str, int, Any]], rules: dict[str, Any]) -> None:
    table = spoiled(wrong)
    opened = project(**rules)

    def written(stores: Stores) -> dict[str, str]:
        found = (f for f in stores.var.rglob("*") if f.is_file() and "keys" not in f.parts)
        return {f.relative_to(stores.var).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in found}

    with place() as stores:
        came = collected(stores, opened, table)
        first, before = prepare(stores, opened, came), written(stores)
        assert prepare(stores, opened, collected(stores, opened, table)) == first
        assert written(stores) == before
