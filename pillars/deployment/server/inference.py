"""The Open Inference Protocol, version 2: one tensor a column in, one tensor an output column out."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from pillars.deployment.server.contract import Column
from pillars.deployment.server.decoding import Decoders, Inference, Rows, Tensor
from pillars.deployment.server.problems import UNKNOWN, Refused, explained, malformed, of_envelope, said

NUMBERS = ("FP64", "FP32", "FP16", "INT64", "INT32", "INT16", "INT8", "UINT64", "UINT32", "UINT16", "UINT8")
DATATYPES = {"number": NUMBERS, "flag": (*NUMBERS, "BOOL"), "text": ("BYTES",), "label": (*NUMBERS, "BOOL", "BYTES")}
OUT = {"double": "FP64", "boolean": "BOOL", "string": "BYTES"}
MODEL = re.compile(r"/v2/models/([^/]+)(?:/versions/([^/]+))?(/infer|/ready)?")


def rows(decoders: Decoders, body: bytes, outputs: Sequence[str]) -> tuple[Rows, str | None, tuple[str, ...]]:
    """The rows of a request, its id, and which outputs it wants. A null among the data is a missing value. Raises: Refused."""
    try:
        asked = decoders.inference.decode(body)
    except msgspec.ValidationError as err:
        raise of_envelope(*explained(str(err))) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        raise malformed(err) from None
    wanted = tuple(one.name for one in asked.outputs) if asked.outputs else tuple(outputs)
    if odd := [name for name in wanted if name not in outputs]:
        raise Refused(422, "INVALID", "the model has no such output", column=said(odd[0]))
    return _rows(decoders, asked), None if asked.id is UNSET else asked.id, tuple(dict.fromkeys(wanted))


def _rows(decoders: Decoders, asked: Inference) -> Rows:
    columns, tensors = decoders.contract.columns, decoders.tensors
    given: dict[int, Sequence[Any]] = {}
    count: int | None = None
    for tensor in asked.inputs:
        if (place := tensors.get(tensor.name)) is None:
            raise Refused(422, "INVALID", UNKNOWN, column=said(tensor.name))
        if place in given:
            raise Refused(422, "INVALID", "it stands twice among the inputs", column=tensor.name)
        values = given[place] = _values(decoders, columns[place], place, tensor)
        if count is not None and len(values) != count:
            raise Refused(422, "INVALID", f"it has {len(values)} values, others have {count}", column=tensor.name)
        count = len(values)
    if missing := [column.name for place, column in enumerate(columns) if column.required and place not in given]:
        raise Refused(422, "INVALID", "it is missing", column=missing[0])
    absent = (None,) * (count or 0)
    return Rows([given.get(place, absent) for place in range(len(columns))], count or 0)


def _values(decoders: Decoders, column: Column, place: int, tensor: Tensor) -> Sequence[Any]:
    if tensor.datatype not in DATATYPES[column.kind]:
        fitting = " or ".join(DATATYPES[column.kind][:1] if column.kind != "label" else ("BYTES", "FP64"))
        raise Refused(422, "INVALID", f"its datatype must be {fitting}", column=column.name)
    try:
        values: Sequence[Any] = decoders.cells[place].decode(tensor.data)
    except msgspec.ValidationError as err:
        what, path, _ = explained(str(err))
        at = re.match(r"\$\[(\d+)\]", path)
        raise Refused(422, "INVALID", what, int(at.group(1)) if at else None, column.name) from None
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as err:
        raise malformed(err) from None
    if (shape := tensor.shape) != [count := len(values)] and shape != [count, 1]:
        raise Refused(422, "INVALID", f"its shape must be [{count}] or [{count}, 1], as many as its data", column=column.name)
    return values


def answer(
    project: str, version: str, id: str | None, outputs: Mapping[str, Sequence[Any]], types: Mapping[str, str], about: Mapping[str, Any]
) -> bytes:
    """A tensor for each output; what this server says more is among the parameters."""
    tensors = [{"name": name, "datatype": OUT[types[name]], "shape": [len(data)], "data": data} for name, data in outputs.items()]
    head = {"model_name": project, "model_version": version, "id": id or about["request_id"]}
    return msgspec.json.encode({**head, "parameters": dict(about), "outputs": tensors})


def metadata(project: str, versions: Sequence[int], contract: Sequence[Column], outputs: Mapping[str, str]) -> dict[str, Any]:
    """What `/v2/models/<project>` says."""
    kinds = {"number": "FP64", "flag": "FP64", "text": "BYTES", "label": "BYTES"}
    inputs = [{"name": column.name, "datatype": kinds[column.kind], "shape": [-1]} for column in contract]
    given = [{"name": name, "datatype": OUT[kind], "shape": [-1]} for name, kind in outputs.items()]
    return {
        "name": project,
        "versions": [str(version) for version in versions],
        "platform": "xgboost",
        "inputs": inputs,
        "outputs": given,
    }
