"""The one encoder: training, batch and online rows become the same numbers, bit for bit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InputInvalid

LIMIT = 1e30  # XGBoost refuses infinities; larger magnitudes become this one
MISSING = np.float32(-2e30)  # below every value; without NaN a round takes 0.72 of the time, loss equal to .00004


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

    def encode(self, columns: Mapping[str, np.ndarray]) -> np.ndarray:
        """Rows as float32, shape (n, features), without NaN and infinities. Numbers: float64 with NaN; categories: str or None.

        Raises:
            InputInvalid: a column is missing, has another length, or holds what is no number.
        """
        rows = len(_column(columns, self.feature_names[0])) if self.feature_names else 0
        encoded = np.empty((rows, len(self.feature_names)), dtype=np.float32)
        for place, name in enumerate(self.feature_names):
            column = _column(columns, name)
            if len(column) != rows:
                raise InputInvalid(name, f"has {len(column)} rows, {self.feature_names[0]} has {rows}")
            encoded[:, place] = self._coded(name, column) if name in self.codes else _numbers(name, column)
        return encoded

    def encode_rows(self, numbers: np.ndarray, categories: Sequence[Sequence[str | None]]) -> np.ndarray:
        """What `encode` makes of rows whose types are known to be right, in a tenth of the time for one row.

        `numbers`: float64 with NaN, shape (n, numeric). `categories`: for each, in order, a str or None a row.
        """
        encoded = np.empty((len(numbers), len(self.feature_names)), dtype=np.float32)
        encoded[:, : len(self.numeric)] = _held(numbers)
        for place, (name, values) in enumerate(zip(self.categorical, categories, strict=True), start=len(self.numeric)):
            code_of = self.codes[name].get
            encoded[:, place] = [code_of(value, 0) for value in values]  # type: ignore[arg-type]  # None is no known category
        return encoded

    def _coded(self, name: str, column: np.ndarray) -> np.ndarray:
        code_of = self.codes[name].get
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


def _column(columns: Mapping[str, np.ndarray], name: str) -> np.ndarray:
    if name not in columns:
        raise InputInvalid(name, "is missing")
    return np.asarray(columns[name])


def _numbers(name: str, column: np.ndarray) -> np.ndarray:
    if column.dtype.kind not in "fiubO" or (column.dtype.kind == "O" and any(isinstance(v, str) for v in column.tolist())):
        raise InputInvalid(name, "holds text where numbers are needed")
    try:
        numbers = column.astype(np.float64, copy=False)
    except (TypeError, ValueError) as err:
        raise InputInvalid(name, f"holds what is no number ({err})") from err
    return _held(numbers)


def _held(numbers: np.ndarray) -> np.ndarray:
    """Numbers (float64, NaN where there is none, any shape) as XGBoost gets them: float32."""
    held = np.clip(numbers, -LIMIT, LIMIT)
    return np.where(np.isnan(held), MISSING, held.astype(np.float32))
