import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from pillars.bundle import encoder as encoding
from pillars.bundle.encoder import MISSING, Encoder, Words
from pillars.errors import InputInvalid

NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64)
WORDS = st.one_of(st.none(), st.sampled_from(["AA", "UA", "B6", "", "nan", "é"]), st.text(max_size=3))


def columns(*words: str | None) -> dict[str, np.ndarray]:
    return {"distance": np.arange(len(words), dtype=np.float64), "carrier": np.array(words, dtype=object)}


def fitted(*words: str | None, min_category_rows: int = 1) -> Encoder:
    return Encoder.fit(columns(*words), ["distance"], ["carrier"], min_category_rows)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, np.ndarray]:
    rows = draw(st.integers(1, 30))
    words = np.array(draw(st.lists(WORDS, min_size=rows, max_size=rows)), dtype=object)
    return {"distance": draw(arrays(np.float64, rows, elements=NUMBERS)), "carrier": words}


@given(tables())
@settings(max_examples=100, deadline=None)
def test_a_row_alone_is_encoded_as_in_its_batch_bit_for_bit(table: dict[str, np.ndarray]) -> None:
    encoder = Encoder.fit(table, ["distance"], ["carrier"], 2)
    alone = [encoder.encode({name: column[i : i + 1] for name, column in table.items()}) for i in range(len(table["distance"]))]
    assert np.vstack(alone).tobytes() == encoder.encode(table).tobytes()


EDGES = [np.inf, -np.inf, np.nan, 1e30, -1e30, np.nextafter(1e30, 2e30), 1e39, -1e39, -2e30, 3.4028235e38, 1e-46, -0.0, 0.1, 2**24 + 1]


@given(arrays(np.float64, st.integers(1, 40), elements=NUMBERS | st.sampled_from(EDGES)))
@settings(max_examples=100, deadline=None)
def test_numbers_are_held_in_64_bits_and_rounded_then(numbers: np.ndarray) -> None:
    """What is done is the other way round, on less memory: no bit differs, which models fitted before depend on."""
    held = np.clip(numbers, -1e30, 1e30)
    wanted = np.where(np.isnan(held), MISSING, held.astype(np.float32))
    table = {"distance": numbers, "carrier": np.full(len(numbers), None, dtype=object)}
    encoder = Encoder(("distance",), ("carrier",), {"carrier": {}})
    assert encoder.encode(table)[:, 0].tobytes() == wanted.tobytes()
    assert encoder.encode_rows(numbers[:, None], [[None] * len(numbers)])[:, 0].tobytes() == wanted.tobytes()


@given(tables(), st.integers(1, 8))
@settings(max_examples=50, deadline=None)
def test_blocks_and_words_change_no_bit(table: dict[str, np.ndarray], block: int) -> None:
    encoder = Encoder.fit(table, ["distance"], ["carrier"], 1)
    values = tuple(dict.fromkeys(table["carrier"].tolist()))
    words = Words(values, np.array([values.index(word) for word in table["carrier"].tolist()]))
    whole, before = encoder.encode(table), encoding.BLOCK
    try:
        encoding.BLOCK = block
        assert encoder.encode(table | {"carrier": words}).tobytes() == whole.tobytes()
    finally:
        encoding.BLOCK = before
    assert words.tolist() == table["carrier"].tolist()


def test_words_are_no_numbers() -> None:
    with pytest.raises(InputInvalid, match="text where numbers"):
        Encoder(("distance",), (), {}).encode({"distance": Words(("a",), np.array([0]))})  # type: ignore[dict-item]


@given(tables())
@settings(max_examples=50, deadline=None)
def test_what_is_encoded_is_always_a_finite_number(table: dict[str, np.ndarray]) -> None:
    assert np.isfinite(Encoder.fit(table, ["distance"], ["carrier"], 1).encode(table)).all()


@given(tables())
@settings(max_examples=50, deadline=None)
def test_an_encoder_read_back_from_json_encodes_alike(table: dict[str, np.ndarray]) -> None:
    encoder = Encoder.fit(table, ["distance"], ["carrier"], 1)
    again = Encoder.from_json(json.loads(json.dumps(encoder.to_json())))
    assert again.encode(table).tobytes() == encoder.encode(table).tobytes()


@pytest.mark.parametrize(
    "word",
    [
        pytest.param("ZZ", id="unseen"),
        pytest.param(None, id="missing"),
        pytest.param("B6", id="rare"),
        pytest.param(float("nan"), id="NaN"),
    ],
)
def test_missing_rare_and_unseen_categories_share_code_0(word: str | None) -> None:
    encoder = fitted("AA", "AA", "UA", "UA", "B6", None, None, None, min_category_rows=2)
    assert encoder.encode(columns(word))[0, 1] == 0


def test_known_categories_have_codes_in_alphabetical_order_whatever_the_order_of_rows() -> None:
    encoder = fitted("UA", "B6", "AA")
    assert encoder.encode(columns("AA", "B6", "UA"))[:, 1].tolist() == [1, 2, 3]
    assert fitted("AA", "UA", "B6") == encoder


def test_a_missing_number_is_below_every_other() -> None:
    encoded = fitted("AA", "AA", "AA").encode({**columns("AA", "AA", "AA"), "distance": np.array([np.nan, -np.inf, -1e300])})
    assert encoded[0, 0] == MISSING
    assert (encoded[1:, 0] > MISSING).all()


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        pytest.param({"carrier": np.array(["AA"], object)}, "distance is missing", id="missing column"),
        pytest.param({**columns("AA"), "distance": np.array(["12"], object)}, "distance holds text", id="a number as text"),
        pytest.param({**columns("AA"), "distance": np.array(["12"])}, "distance holds text", id="numpy text"),
        pytest.param({**columns("AA"), "distance": np.array([{}], object)}, "distance holds what is no number", id="no number"),
        pytest.param({**columns("AA"), "carrier": np.array(["AA", "UA"], object)}, "carrier has 2 rows", id="lengths differ"),
    ],
)
def test_columns_that_cannot_be_encoded_are_named(broken: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(InputInvalid, match=said):
        fitted("AA", "UA").encode(broken)


def test_whole_numbers_and_none_are_numbers() -> None:
    encoded = fitted("AA", "AA").encode({"distance": np.array([None, 3], object), "carrier": np.array(["AA", "AA"], object)})
    assert encoded[:, 0].tolist() == [MISSING, 3.0]
