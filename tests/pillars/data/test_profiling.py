from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from pillars.data.profiling import is_key, looks_like_a_key, looks_personal, profile
from pillars.telling import TELLING, telling


def seen(*values: object, name: str = "a", type_: pa.DataType | None = None) -> dict[str, object]:
    """What a column of these values is declared as."""
    found = profile(pa.table({name: pa.array(values, type_)})).of(name)
    return {k: v for k, v in found.declared.model_dump(exclude_defaults=True).items() if k != "description"}


@pytest.mark.parametrize(
    ("values", "declared"),
    [
        pytest.param(["1", "2", None], {"type": "int"}, id="whole numbers"),
        pytest.param(["1.0", "2.0", None], {"type": "int"}, id="whole numbers with gaps, as pandas writes them"),
        pytest.param(["1", "2.5"], {"type": "float"}, id="numbers"),
        pytest.param(["1,5", "2,25", "3,0"], {"type": "float", "decimal": ","}, id="decimal commas"),
        pytest.param(["0", "1", "1"], {"type": "int"}, id="zeros and ones"),
        pytest.param(["0,289", "0,305", "1,250"], {"type": "float", "decimal": ","}, id="decimal commas that look like groups"),
        pytest.param([str(1234567890123456789 + i) for i in range(9)], {"type": "int"}, id="19 digits"),
        pytest.param([str(12345678901234567890 + i) for i in range(9)], {"type": "text"}, id="20 digits"),
        pytest.param(["yes", "no", "No"], {"type": "bool"}, id="three words of two meanings"),
        pytest.param(["yes", "no", "perhaps"] * 3, {"type": "category"}, id="three meanings"),
        pytest.param(["yes", "no", "no"], {"type": "bool"}, id="yes and no"),
        pytest.param(["TRUE", "FALSE", None], {"type": "bool"}, id="flags"),
        pytest.param(["01067", "10115", "20095"] * 2, {"type": "category"}, id="postal codes keep their zeros"),
        pytest.param(["2013-01-05", "2013-02-07"], {"type": "timestamp"}, id="days"),
        pytest.param(["31.01.2013", "01.02.2013"], {"type": "timestamp", "format": "%d.%m.%Y"}, id="days with points"),
        pytest.param(["01/31/2013", "02/01/2013"], {"type": "timestamp", "format": "%m/%d/%Y"}, id="month first"),
        pytest.param(["31/01/2013", "01/02/2013"], {"type": "timestamp", "format": "%d/%m/%Y"}, id="day first"),
        pytest.param(["red", "blue", "red", "blue"], {"type": "category"}, id="few words"),
        pytest.param([f"note {i}" for i in range(50)], {"type": "text"}, id="a text in each row"),
        pytest.param([None, None], {"type": "text"}, id="nothing"),
        pytest.param(["", " "], {"type": "text"}, id="blanks"),
    ],
)
def test_text_is_declared_as_what_it_can_be_read_as(values: list[str | None], declared: dict[str, object]) -> None:
    assert seen(*values, type_=pa.string()) == declared


@pytest.mark.parametrize(
    ("values", "type_", "kind"),
    [
        pytest.param([True, None], pa.bool_(), "bool", id="flags"),
        pytest.param([1, 2], pa.int8(), "int", id="small whole numbers"),
        pytest.param([1.0, None, 3.0], pa.float64(), "int", id="whole numbers with gaps"),
        pytest.param([1.0, 2.0], pa.float64(), "float", id="floats that happen to be whole"),
        pytest.param([0], pa.date32(), "timestamp", id="days"),
        pytest.param([b"x"], pa.binary(), "text", id="bytes"),
        pytest.param(["a", "b", "a", "b"], pa.dictionary(pa.int8(), pa.string()), "category", id="a dictionary"),
    ],
)
def test_types_of_parquet_are_taken_over(values: list[object], type_: pa.DataType, kind: str) -> None:
    assert seen(*values, type_=type_)["type"] == kind


def test_a_junk_value_in_a_hundred_does_not_make_a_number_a_word() -> None:
    found = profile(pa.table({"a": [*map(str, range(200)), "lots"]}))
    assert (found.of("a").declared.type, found.of("a").unreadable) == ("int", 1)
    assert "a: 1 values are no int; their rows go to quarantine" in found.warnings
    assert profile(pa.table({"a": [*map(str, range(50)), "lots"]})).of("a").declared.type == "text"


def test_what_is_odd_is_said() -> None:
    table = pa.table({"a": ["1", "1", "2"], "b": ["x", "x", "x"], "day": ["09/10/2013", "09/10/2013", "10/11/2013"]})
    assert profile(table).warnings == (
        "1 of 3 rows are copies of another, value for value",
        "b is constant: it is left out of the features",
        "day: read with the month first (09/10 is the 10th of September); if the day is first, change its format",
    )


def test_a_column_of_numbers_that_a_word_spoils_is_said() -> None:
    found = profile(pa.table({"acid": [*map(str, range(90)), *["n/k"] * 10]}))
    why = "if they mean: no value, name them in source.csv.nulls"
    assert found.warnings[-1] == f"acid: 10 of 100 values are no numbers, the others are; so it is text; {why}"
    assert not profile(pa.table({"plan": ["1", "a", "b", "c"]})).warnings


def test_groups_of_thousands_are_said() -> None:
    assert profile(pa.table({"kwh": ["1,250", "2,300"]})).warnings == (
        "kwh: , was read as grouping thousands (1,250 is more than a thousand); is it a decimal mark?",
    )


@pytest.mark.parametrize(
    "values", [pa.array([b"\xff", b"x"]), pa.array([[1], [2]]), pa.array([{"a": 1}, None])], ids=["bytes", "lists", "records"]
)
def test_what_no_model_takes_is_text(values: pa.Array) -> None:
    assert profile(pa.table({"a": values, "b": [1, 2]})).of("a").declared.type == "text"


def test_a_key_names_every_row() -> None:
    table = pa.table({"customer_id": ["7", "8", "9"], "amount": ["3", "1", "2"], "ref": ["a1", "b2", "c3"], "again": ["1", "1", "2"]})
    found = profile(table)
    assert [is_key(c) for c in found.columns] == [True, True, True, False]
    assert [looks_like_a_key(c) for c in found.columns] == [True, False, True, False], "an amount that never repeats is still an amount"


@pytest.mark.parametrize(
    "name", ["email", "E-Mail", "firstName", "Sex", "race", "date_of_birth_dob", "native-country", "IBAN", "home_address"]
)
def test_personal_names_are_known(name: str) -> None:
    assert looks_personal(name)


@pytest.mark.parametrize("name", ["sexton", "embrace", "filename", "trip", "addressee", "username_length", "generation"])
def test_names_that_only_contain_one_are_not(name: str) -> None:
    assert not looks_personal(name)


class TestTelling:
    y = np.arange(400) % 2

    def of(self, values: pa.Array) -> float:
        return telling(pa.chunked_array([values]), self.y, "binary")

    def test_a_copy_of_the_outcome_tells_all(self) -> None:
        assert self.of(pa.array(self.y.astype(float))) == 1.0
        assert self.of(pa.array(1 - self.y)) == 1.0, "in either direction"
        assert self.of(pa.array(["late" if y else "fine" for y in self.y])) == 1.0

    def test_a_gap_can_tell_it(self) -> None:
        assert self.of(pa.array([1.0 if y else None for y in self.y])) == 1.0

    def test_chance_tells_nothing(self) -> None:
        draw = np.random.default_rng(0)
        assert self.of(pa.array(draw.random(400))) < 0.6
        assert self.of(pa.array(draw.choice(["a", "b", "c"], 400))) < 0.65

    def test_a_category_of_one_row_each_tells_nothing(self) -> None:
        assert self.of(pa.array([f"row {i}" for i in range(400)])) < 0.6

    def test_of_one_class_there_is_nothing_to_tell(self) -> None:
        assert telling(pa.chunked_array([pa.array([1.0, 2.0])]), np.array([1, 1]), "binary") == 0.0


class TestTellingOneOfSeveral:
    y = np.arange(600) % 3

    def of(self, values: pa.Array) -> float:
        return telling(pa.chunked_array([values]), self.y, "multiclass")

    def test_a_copy_of_the_class_tells_all_in_any_order(self) -> None:
        assert self.of(pa.array([("b", "c", "a")[y] for y in self.y])) == 1.0
        assert self.of(pa.array([(0.1, 9.0, -3.0)[y] for y in self.y])) == 1.0
        assert self.of(pa.array([(None, 1.0, 2.0)[y] for y in self.y])) == 1.0, "a gap is a value"

    def test_one_class_alone_spares_part_of_the_errors(self) -> None:
        assert 0.4 < self.of(pa.array([float(y == 2) for y in self.y])) < 0.6

    def test_chance_tells_nothing(self) -> None:
        draw = np.random.default_rng(0)
        assert abs(self.of(pa.array(draw.random(600)))) < 0.1
        assert self.of(pa.array([f"row {i}" for i in range(600)])) <= 0


class TestTellingANumber:
    y = np.random.default_rng(0).normal(size=2000)

    def of(self, values: pa.Array) -> float:
        return telling(pa.chunked_array([values]), self.y, "regression")

    def test_any_function_of_the_number_tells_it(self) -> None:
        for told in (self.y, -3 * self.y + 1, np.exp(self.y), np.round(self.y, 1)):
            assert self.of(pa.array(told)) >= TELLING["regression"][0]

    def test_half_of_it_tells_half(self) -> None:
        noise = np.random.default_rng(1).normal(size=2000)
        assert 0.3 < self.of(pa.array(self.y + noise)) < 0.6
        assert self.of(pa.array(noise)) < 0.1
        assert self.of(pa.array([f"row {i}" for i in range(2000)])) < 0.1
