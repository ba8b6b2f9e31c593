from __future__ import annotations

import hashlib
import hmac

import pyarrow as pa
import pytest

from pillars.data.privacy import protect, pseudonyms
from tests.pillars.data.batches import CANARY, changed, project, rows

KEY, OTHER = bytes(32), bytes([1] * 32)


def test_a_protected_value_becomes_its_keyed_hash() -> None:
    found = protect(project(), rows("2013-01"), KEY)["person"][0].as_py()
    assert found == hmac.new(KEY, f"person\0{CANARY}".encode(), hashlib.sha256).hexdigest()


def test_only_protected_columns_change() -> None:
    table = rows("2013-01")
    assert protect(project(), table, KEY).drop_columns(["person"]).equals(table.drop_columns(["person"]))


def test_equal_values_stay_equal_and_nulls_stay_null() -> None:
    table = changed(changed(rows("2013-01"), "person", [3, 4], "Twin"), "person", 5, None)
    found = protect(project(), table, KEY)["person"].to_pylist()
    assert found[3] == found[4] != found[2]
    assert found[5] is None


def test_another_key_gives_other_pseudonyms() -> None:
    one, two = (protect(project(), rows("2013-01"), key)["person"].to_pylist() for key in (KEY, OTHER))
    assert set(one).isdisjoint(two)


def test_columns_cannot_be_joined_by_their_pseudonyms() -> None:
    values = pa.chunked_array([["same"]])
    assert pseudonyms(values, "person", KEY) != pseudonyms(values, "sender", KEY)


def test_an_undeclared_column_is_treated_as_protected() -> None:
    table = rows("2013-01").append_column("passenger", pa.array([CANARY] * 40))
    assert CANARY not in protect(project(), table, KEY)["passenger"].to_pylist()


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(pa.array([12, None, 12]), id="numbers"),
        pytest.param(pa.array(["a", None, "a"]).dictionary_encode(), id="dictionary"),
        pytest.param(pa.array([["a"], None, ["a"]]), id="lists"),
        pytest.param(pa.array([b"\xff", None, b"\xff"]), id="bytes"),
        pytest.param(pa.array([], pa.string()), id="none"),
    ],
)
def test_every_type_has_pseudonyms(values: pa.Array) -> None:
    found = pseudonyms(pa.chunked_array([values]), "person", KEY).to_pylist()
    assert [v is None for v in found] == [v is None for v in values.to_pylist()]
    assert all(len(v) == 64 for v in found if v is not None)
    assert len({v for v in found if v is not None}) <= 1
