"""A source of code, as a project has one: a Parquet file's month, and faults that only code can have."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

LATER = ("late", "delay_min")
KEY = ("at", "parcel")


class Depot:
    """March, in a file."""

    def __init__(self, file: str, fault: str) -> None:
        self._file, self._fault = Path(file), fault

    def periods(self) -> list[str]:
        return {"no periods": [], "months that do not sort": ["2013-03", "2013-02"]}.get(self._fault, ["2013-03"])

    def rows(self, period: str) -> Any:
        table = self._table()
        match self._fault:
            case "a frame":
                return table.to_pandas()
            case "a raised error":
                raise ValueError("no such sheet")
            case "no answer":
                raise ConnectionError("the depot is closed")
            case "two columns of one name":
                return table.append_column("note", table["note"])
            case "text that is no text":
                raw = pa.array([b"\xff"] * table.num_rows).buffers()
                return table.set_column(3, "carrier", pa.StringArray.from_buffers(table.num_rows, raw[1], raw[2]))
        return table.drop_columns([name for name in LATER if name in table.column_names])

    def outcomes(self, period: str) -> pa.Table:
        table = self._table()
        told = table.select([name for name in (*KEY, *LATER) if name in table.column_names])
        others = {"outcomes of others": 6, "outcomes of another month": table.num_rows}.get(self._fault, 0)
        if not others:
            return told
        return told.set_column(1, "parcel", pa.array([*range(others), *told["parcel"].to_pylist()[others:]]))

    def _table(self) -> pa.Table:
        return pq.read_table(self._file)


def source(file: str, fault: str = "") -> Depot:
    """The depot's rows."""
    return Depot(file, fault)
