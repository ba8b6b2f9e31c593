"""The request log of the prediction server, read back: finished segments as Parquet, one prediction by its id."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from pillars.deployment.segments import AtRest, Lines, in_the_open, is_finished, segments
from pillars.deployment.server.log import SEALED
from pillars.errors import DataCorrupt, StoreUnavailable, UnknownName
from pillars.stores import Stores, locked, parquet_bytes
from pillars.vocabulary import Compacted

ID = re.compile(r"([0-9a-f]{12})[0-9a-f]{20}-[0-9]+(s[0-9]+)?")  # milliseconds, a drawn part, the row, and whose shadow answered
HEAD = {
    "id": pa.string(),
    "at": pa.timestamp("us", "UTC"),
    "trace": pa.string(),
    "version": pa.int64(),
    "sha256": pa.string(),
    "digest": pa.string(),
    "release": pa.string(),
    "generation": pa.int64(),
    "arm": pa.string(),
    "bucket": pa.int32(),
    "took_us": pa.int64(),
    "error": pa.bool_(),
    "fallback": pa.string(),
}
SHORT = 16  # characters of a hash in each line
INPUT, OUTPUT = "in_", "out_"  # before the names of columns, which may be anything
TYPES = {"double": pa.float64(), "string": pa.string(), "boolean": pa.bool_()}


@dataclass(frozen=True)
class Prediction:
    """One logged row. `inputs` are as they came; `release`: the folder of the model that answered, relative to `var`."""

    id: str
    at: datetime
    trace: str
    version: int
    sha256: str
    digest: str
    release: str
    generation: int
    arm: str
    bucket: int | None
    took_us: int
    error: bool  # nobody was answered: the model failed, and there are no outputs
    fallback: str  # what answered in place of a champion that did not load; "" for the policy's own
    inputs: Mapping[str, Any]
    outputs: Mapping[str, Any]


@dataclass(frozen=True)
class Segment:
    """What one file holds. `inputs`, `outputs`: columns and their types; `cut`: bytes at its end that are no line, of a request that was
    never answered."""

    rows: list[Prediction]
    inputs: dict[str, str]
    outputs: dict[str, str]
    cut: int


def compact(stores: Stores, project_name: str, kept: AtRest | None = None) -> Compacted:
    """Turn each finished segment into a Parquet file `served/<project>/rows/<day>/<segment>.parquet`, then remove it.

    Killed anywhere it is run again: the same segment is the same file. A segment that is still written stays. `kept`: how it lies on the
    disk; sealed where the project's rows are.

    Raises:
        DataCorrupt: a line in the middle of a segment is none, or was changed; that segment stays as it is.
        StoreUnavailable: the disk refuses; what is not turned yet stays.
        Busy: somebody else does it.
    """
    base, kept = stores.folder("served", project_name), kept or in_the_open(stores)
    done, rows, cut, waiting = list[str](), 0, 0, 0
    with locked(base / ".lock", f"the request log of {project_name}"):
        for segment in segments(base / "log"):
            if not is_finished(segment):
                waiting += 1
                continue
            found = _read(segment, kept)
            if found.rows:
                path = f"served/{project_name}/rows/{found.rows[0].at:%Y-%m-%d}/{segment.stem}.parquet"
                kept.write(path, parquet_bytes(table(found)))
                done.append(path)
            _remove(segment)
            rows, cut = rows + len(found.rows), cut + found.cut
    return Compacted(project_name, rows, tuple(done), cut, waiting)


def find(stores: Stores, project_name: str, id: str, kept: AtRest | None = None) -> Prediction:
    """A logged prediction. Raises: UnknownName, DataCorrupt, StoreUnavailable."""
    base, kept = stores.folder("served", project_name), kept or in_the_open(stores)
    if found := ID.fullmatch(id):
        named = f'"id":"{id}"'.encode()
        for segment in segments(base / "log"):
            with suppress(FileNotFoundError):  # it became Parquet meanwhile
                if any(line is not None and named in line for line in Lines(segment, kept)):
                    return next(one for one in _read(segment, kept).rows if one.id == id)
        day = datetime.fromtimestamp(int(found.group(1), 16) / 1000, UTC)
        for near in sorted({f"{day + timedelta(days=n):%Y-%m-%d}" for n in (-1, 0, 1)}):  # a segment has the day of its first row
            for file in sorted((base / "rows" / near).glob("*.parquet")):
                if rows := compacted(stores, file, kept, ("id", "=", id)):
                    return _of_row(rows[0])
    raise UnknownName("prediction", id, newest(stores, project_name, kept=kept))


def compacted(stores: Stores, file: Path, kept: AtRest, where: tuple[str, str, Any]) -> list[dict[str, Any]]:
    """Rows of a compacted file that are as `where` says (column, comparison, value); none where retention took the file meanwhile.

    Raises:
        OSError, ValueError, StoreUnavailable, DataCorrupt: it cannot be read, or is not what was written.
    """
    try:
        with kept.open(stores.relative(file)) as content:
            return pq.read_table(content, filters=[where]).to_pylist()
    except (FileNotFoundError, StoreUnavailable):
        if file.exists():
            raise
        return []


def newest(stores: Stores, project_name: str, most: int = 3, kept: AtRest | None = None) -> list[str]:
    """Ids of what was answered last, of segments that are not compacted yet."""
    for segment in reversed(segments(stores.folder("served", project_name) / "log")):
        if found := _read(segment, kept or in_the_open(stores)).rows:
            return [one.id for one in found[-most:]]
    return []


def table(segment: Segment) -> pa.Table:
    """Rows with declared types: `in_<column>` double or string, `out_<column>` as the models answer; null where a row has none."""
    rows = segment.rows
    columns: dict[str, pa.Array] = {name: pa.array([getattr(row, name) for row in rows], kind) for name, kind in HEAD.items()}
    for name, kind in segment.inputs.items():
        columns[INPUT + name] = pa.array([row.inputs.get(name) for row in rows], TYPES[kind])
    for name, kind in segment.outputs.items():
        columns[OUTPUT + name] = pa.array([row.outputs.get(name) for row in rows], TYPES[kind])
    return pa.table(columns)


def _read(path: Path, kept: AtRest) -> Segment:
    """A segment. Raises: DataCorrupt, StoreUnavailable."""
    found, models, lines = Segment([], {}, {}, 0), dict[tuple[int, str], dict[str, Any]](), Lines(path, kept)
    try:
        for number, line in enumerate(lines, start=1):
            _take(found, models, line, f"{path} line {number}")
    except FileNotFoundError:
        raise
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was changed; mend it and run again.", "read") from err
    return replace(found, cut=lines.cut)


def _take(found: Segment, models: dict[tuple[int, str], dict[str, Any]], line: bytes | None, where: str) -> None:
    """Put a line among the rows, or its model among the `models`. Raises: DataCorrupt."""
    try:
        if line is None:
            raise ValueError("it was changed")
        one = json.loads(line)
        if one.get("kind") == "model":
            key = one["version"], one["sha256"][:SHORT]
            if (before := models.get(key)) is not None:  # lines of an earlier contract may still come: the columns of both
                one = {**one, "inputs": {**before["inputs"], **one["inputs"]}, "outputs": {**before["outputs"], **one["outputs"]}}
            models[key] = one
            found.inputs.update(one["inputs"])
            found.outputs.update(one["outputs"])
        else:
            found.rows.append(_of_line(one, models[one["version"], one["sha256"]]))
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        what = "line" if line is not None and not where.partition(" line ")[0].endswith(SEALED) else "segment"
        remedy = f"Nothing was changed; set the {what} aside by hand."
        raise DataCorrupt(where, "of a prediction" if line else "that its seal says", "none" if line else "other bytes", remedy) from err


def _of_line(one: Mapping[str, Any], model: Mapping[str, Any]) -> Prediction:
    return Prediction(
        one["id"],
        datetime.fromtimestamp(one["at_us"] // 1_000_000, UTC) + timedelta(microseconds=one["at_us"] % 1_000_000),
        one["trace"],
        one["version"],
        model["sha256"],
        model["digest"],
        model["path"],
        one["generation"],
        one["arm"],
        one["bucket"],
        one["took_us"],
        bool(one.get("error")),
        one.get("fallback", ""),
        {name: _typed(value, model["inputs"][name]) for name, value in one["inputs"].items()},
        one["outputs"],
    )


def _typed(value: Any, kind: str) -> Any:
    """A number as a double, whatever JSON made of it: true, 5 and 5.0 are alike to a model. A key or entity as text, if it was none."""
    if value is None or isinstance(value, str):
        return value
    return float(value) if kind == "double" else json.dumps(value)


def _of_row(row: Mapping[str, Any]) -> Prediction:
    inputs = {name.removeprefix(INPUT): value for name, value in row.items() if name.startswith(INPUT)}
    outputs = {name.removeprefix(OUTPUT): value for name, value in row.items() if name.startswith(OUTPUT) and value is not None}
    told = {name: row.get(name, "") for name in HEAD}  # files of before have no `fallback`
    return Prediction(**told, inputs=inputs, outputs=outputs)


def _remove(segment: Path) -> None:
    try:
        segment.unlink()
    except OSError as err:
        raise StoreUnavailable.refused(str(segment), err, "Its rows are in Parquet already; free it and run again.", "removed") from err
