"""The one encoder: training, batch and online rows become the same numbers, bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputInvalid

LIMIT = np.float32(1e30)  # XGBoost refuses infinities; larger magnitudes become this one
MISSING = np.float32(-2e30)  # below every value; without NaN a round takes 0.72 of the time, loss equal to .00004
BLOCK = 9_999  # rows encoded at a time, column by column, then turned: odd, for turning strides of a power of two takes 2.5 times as long


@dataclass(frozen=True)
class Words:
    """A column of text: its distinct values, str or None, and each row's place among them, whole numbers (n,). Encoded value by value."""

    values: tuple[str | None, ...]
    places: np.ndarray

    def __len__(self) -> int:
        """Rows."""
        return len(self.places)

    def tolist(self) -> list[str | None]:
        """Row by row."""
        return [self.values[place] for place in self.places.tolist()]


@dataclass(frozen=True)
class Encoder:
    """Numbers stay numbers, categories become codes: 0 is missing, rare or unseen, 1..K are known.

    Codes are plain numbers to XGBoost: its native categories took 2.2 times as long per round (170k rows, 10 of 60 columns).
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    codes: Mapping[str, Mapping[str, int]]  # category column -> known category -> code

    @classmethod
    def fit(
        cls, columns: Mapping[str, np.ndarray], numeric: Sequence[str], categorical: Sequence[str], min_category_rows: int = 1
    ) -> Encoder:
        """Learn the categories that at least `min_category_rows` rows have; codes follow the alphabet, so row order has no say."""
        codes = {}
        for name in categorical:
            counts = Counter(_column(columns, name).tolist())
            known = sorted(value for value, rows in counts.items() if isinstance(value, str) and rows >= min_category_rows)
            codes[name] = {value: code for code, value in enumerate(known, start=1)}
        return cls(tuple(numeric), tuple(categorical), codes)

    def encode(self, columns: Mapping[str, np.ndarray | Words]) -> np.ndarray:
        """Rows as float32, shape (n, features), without NaN and infinities. Numbers: float64 with NaN; categories: str or None.

        Raises:
            InputInvalid: a column is missing, has another length, or holds what is no number.
        """
        given = [_column(columns, name) for name in self.feature_names]
        rows = len(given[0]) if given else 0
        for name, column in zip(self.feature_names, given, strict=True):
            if len(column) != rows:
                raise InputInvalid(name, f"has {len(column)} rows, {self.feature_names[0]} has {rows}")
        ready = [self._coded(n, c) if n in self.codes else _numbers(n, c) for n, c in zip(self.feature_names, given, strict=True)]
        encoded = np.empty((rows, len(ready)), dtype=np.float32)
        turned = np.empty((len(ready), min(rows, BLOCK) | 1), dtype=np.float32)
        numbers = len(self.numeric)
        for start in range(0, rows, BLOCK):
            part = turned[:, : min(BLOCK, rows - start)]
            with np.errstate(over="ignore"):  # what float32 cannot hold is infinite for a moment
                for place, column in enumerate(ready):
                    part[place] = column[start : start + BLOCK]
            _hold(part[:numbers])
            encoded[start : start + BLOCK] = part.T
        return encoded

    def encode_rows(self, numbers: np.ndarray, categories: Sequence[Sequence[str | None]]) -> np.ndarray:
        """What `encode` makes of rows whose types are known to be right, in a tenth of the time for one row.

        `numbers`: float64 with NaN, shape (n, numeric). `categories`: for each, in order, a str or None a row.
        """
        encoded = np.empty((len(numbers), len(self.feature_names)), dtype=np.float32)
        with np.errstate(over="ignore"):
            encoded[:, : len(self.numeric)] = numbers
        _hold(encoded[:, : len(self.numeric)])
        for place, (name, values) in enumerate(zip(self.categorical, categories, strict=True), start=len(self.numeric)):
            code_of = self.codes[name].get
            encoded[:, place] = [code_of(value, 0) for value in values]  # type: ignore[arg-type]  # None is no known category
        return encoded

    def _coded(self, name: str, column: np.ndarray | Words) -> np.ndarray:
        code_of = self.codes[name].get
        if isinstance(column, Words):
            return np.array([code_of(value, 0) for value in column.values], dtype=np.float32)[column.places]  # type: ignore[arg-type]
        return np.fromiter((code_of(v, 0) if isinstance(v, str) else 0 for v in column.tolist()), dtype=np.float32, count=len(column))

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Columns of the encoded matrix, in order."""
        return (*self.numeric, *self.categorical)

    @property
    def feature_types(self) -> tuple[str, ...]:
        """XGBoost's types of the encoded columns: all `q` (numbers), see the class."""
        return ("q",) * len(self.feature_names)

    def to_json(self) -> dict[str, Any]:
        """As `encoder.json` holds it."""
        return {"numeric": list(self.numeric), "categorical": list(self.categorical), "codes": {k: dict(v) for k, v in self.codes.items()}}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Encoder:
        """From `encoder.json`."""
        return cls(tuple(content["numeric"]), tuple(content["categorical"]), content["codes"])


def _column(columns: Mapping[str, np.ndarray | Words], name: str) -> np.ndarray | Words:
    if name not in columns:
        raise InputInvalid(name, "is missing")
    column = columns[name]
    return column if isinstance(column, Words) else np.asarray(column)


def _numbers(name: str, column: np.ndarray | Words) -> np.ndarray:
    """As float64, NaN where there is none."""
    if (
        isinstance(column, Words)
        or column.dtype.kind not in "fiubO"
        or (column.dtype.kind == "O" and any(isinstance(v, str) for v in column.tolist()))
    ):
        raise InputInvalid(name, "holds text where numbers are needed")
    try:
        return column.astype(np.float64, copy=False)
    except (TypeError, ValueError) as err:
        raise InputInvalid(name, f"holds what is no number ({err})") from err


def _hold(numbers: np.ndarray) -> None:
    """Change numbers (float32, NaN where there is none, any shape) to what XGBoost gets. Rounding to float32 keeps the order of numbers,
    so that it makes no difference to any bit whether they are held within the limit before it or after."""
    np.clip(numbers, -LIMIT, LIMIT, out=numbers)
    np.fmax(numbers, MISSING, out=numbers)  # of a number and NaN it takes the number
