"""What the server takes and gives, as OpenAPI 3.1 made from the contract, and as a plain page."""

from __future__ import annotations

import html
import json
from typing import Any, get_args

from pillars.deployment.server.contract import LARGEST, Column
from pillars.deployment.server.inference import DATATYPES, OUT
from pillars.deployment.server.settings import Limits
from pillars.deployment.server.snapshot import Fallback, Snapshot

PROBLEMS = {
    "400": "no JSON",
    "401": "no token, or an unknown one",
    "404": "no such path, model or version",
    "405": "another method is needed",
    "408": "the request came too slowly",
    "413": "too many bytes or rows",
    "415": "no application/json, or compressed",
    "422": "JSON that is not what the model takes; row and column are named",
    "431": "the head is too long",
    "503": "nobody answers yet, too many at once, or the request log cannot be written",
}
KINDS = {"double": {"type": "number"}, "boolean": {"type": "boolean"}, "string": {"type": "string"}}


def document(project: str, version: str, snapshot: Snapshot, limits: Limits, *, tokens: bool) -> dict[str, Any]:
    """The OpenAPI document of one generation."""
    post = {
        "/invocations": _post("Predict, MLflow's formats", _frame(snapshot, limits), _predictions(snapshot), tokens),
        f"/v2/models/{project}/infer": _post("Predict, Open Inference Protocol", _tensors(snapshot), _tensors_out(snapshot), tokens),
    }
    plain = {
        "/live": "200 as soon as the process answers",
        "/ready": "200 once golden rows came out as expected",
        "/ping": "as /ready, as MLflow names it",
        "/v2/health/live": "as /live",
        "/v2/health/ready": "as /ready",
        f"/v2/models/{project}/ready": "as /ready",
    }
    told = {"/version": "who answers", "/metrics": "Prometheus", "/v2": "the protocol", f"/v2/models/{project}": "inputs and outputs"}
    get = {path: _get(text, False, path not in ("/live", "/v2/health/live")) for path, text in plain.items()}
    get |= {path: _get(text, tokens, False) for path, text in told.items()}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"{project}: predictions", "version": version, "description": "See docs/serving.md."},
        "paths": post | get,
        "components": {
            "schemas": {"Row": _row(snapshot), "Problem": _problem()},
            **({"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}} if tokens else {}),
        },
    }


def _row(snapshot: Snapshot) -> dict[str, Any]:
    columns = snapshot.contract.columns
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {column.name: _cell(column) for column in columns},
        **({"required": needed} if (needed := [c.name for c in columns if c.required]) else {}),
    }


def _cell(column: Column) -> dict[str, Any]:
    number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    text = {"type": "string", "maxLength": column.longest}
    kinds: dict[str, list[dict[str, Any]]] = {
        "number": [number],
        "flag": [{"type": "boolean"}, number],
        "text": [text],
        "label": [text, {"type": "number"}, {"type": "boolean"}],
    }
    choices = kinds[column.kind] + ([] if column.required else [{"type": "null"}])
    return choices[0] if len(choices) == 1 else {"anyOf": choices}


def _frame(snapshot: Snapshot, limits: Limits) -> dict[str, Any]:
    rows = {"type": "array", "minItems": 1, "maxItems": limits.rows}
    columns = snapshot.contract.columns
    names = {"type": "array", "items": {"enum": [column.name for column in columns]}, "uniqueItems": True}
    cell = {"type": ["number", "string", "boolean", "null"]}
    split = {
        "type": "object",
        "additionalProperties": False,
        "required": ["columns", "data"],
        "properties": {"columns": names, "data": {**rows, "items": {"type": "array", "items": cell}}, "index": {"type": "array"}},
        "description": "each row has a value for each of the columns, of that column's type",
    }
    records = {**rows, "items": {"$ref": "#/components/schemas/Row"}}
    return {
        "oneOf": [
            {"type": "object", "additionalProperties": False, "required": [name], "properties": {name: schema}}
            for name, schema in (("dataframe_records", records), ("dataframe_split", split))
        ]
    }


def _predictions(snapshot: Snapshot) -> dict[str, Any]:
    row = {"type": "object", "properties": {n: KINDS[k] for n, k in snapshot.outputs.items()}, "required": list(snapshot.outputs)}
    version = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
    return {
        "type": "object",
        "required": ["predictions", "request_id", "generation", "model_version"],
        "properties": {
            "predictions": {"type": "array", "items": row},
            "request_id": {"type": "string", "description": "a prediction's id is this, a dash and its row"},
            "generation": {"type": "integer"},
            "model_version": version,
            "fallback": {"type": "string", "enum": list(get_args(Fallback)[1:]), "description": "what the policy names does not load"},
            "warnings": {"type": "object"},
        },
    }


def _tensors(snapshot: Snapshot) -> dict[str, Any]:
    kinds = sorted({kind for column in snapshot.contract.columns for kind in DATATYPES[column.kind]})
    tensor = {
        "type": "object",
        "additionalProperties": False,
        "required": ["name", "shape", "datatype", "data"],
        "properties": {
            "name": {"enum": [column.name for column in snapshot.contract.columns]},
            "shape": {"type": "array", "items": {"type": "integer"}, "minItems": 1, "maxItems": 2},
            "datatype": {"enum": kinds},
            "data": {"type": "array", "items": {"type": ["number", "string", "boolean", "null"]}, "minItems": 1},
            "parameters": {"type": "object"},
        },
        "description": "a column; a null is a missing value",
    }
    wanted = {
        "type": "object",
        "required": ["name"],
        "additionalProperties": False,
        "properties": {"name": {"enum": list(snapshot.outputs)}},
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["inputs"],
        "properties": {
            "id": {"type": "string"},
            "inputs": {"type": "array", "items": tensor, "minItems": 1},
            "outputs": {"type": "array", "items": wanted},
            "parameters": {"type": "object"},
        },
    }


def _tensors_out(snapshot: Snapshot) -> dict[str, Any]:
    tensor = {
        "type": "object",
        "required": ["name", "datatype", "shape", "data"],
        "properties": {"name": {"enum": list(snapshot.outputs)}, "datatype": {"enum": sorted({*OUT.values()})}, "data": {"type": "array"}},
    }
    named = {name: {"type": "string"} for name in ("model_name", "model_version", "id")}
    return {
        "type": "object",
        "required": ["model_name", "model_version", "id", "outputs"],
        "properties": {**named, "outputs": {"type": "array", "items": tensor}},
    }


def _problem() -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["error", "error_code"],
        "properties": {
            "error": {"type": "string"},
            "error_code": {"type": "string"},
            "row": {"type": "integer"},
            "column": {"type": "string"},
        },
    }


def _post(summary: str, takes: dict[str, Any], gives: dict[str, Any], tokens: bool) -> dict[str, Any]:
    refused = {code: _refusal(text) for code, text in PROBLEMS.items() if tokens or code != "401"}
    return {
        "post": {
            "summary": summary,
            "requestBody": {"required": True, "content": {"application/json": {"schema": takes}}},
            "responses": {"200": {"description": "answered", "content": {"application/json": {"schema": gives}}}, **refused},
            **({"security": [{"bearer": []}]} if tokens else {}),
        }
    }


def _get(summary: str, tokens: bool, unready: bool) -> dict[str, Any]:
    codes = ["405", *(["401"] if tokens else []), *(["503"] if unready else [])]
    responses: dict[str, Any] = {"200": {"description": summary}, **{code: _refusal(PROBLEMS[code]) for code in sorted(codes)}}
    return {"get": {"summary": summary, "responses": responses, **({"security": [{"bearer": []}]} if tokens else {})}}


def _refusal(text: str) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Problem"}}}}


def page(project: str, address: str, document: dict[str, Any], example: dict[str, Any]) -> bytes:
    """The same for people, without a script from elsewhere."""
    body = json.dumps({"dataframe_records": [example]}, ensure_ascii=False)
    call = f"curl {address}/invocations -H 'Content-Type: application/json' -d '{body}'"
    rows = "".join(
        f"<tr><td>{html.escape(next(iter(verbs)).upper())}</td><td><code>{html.escape(path)}</code></td>"
        f"<td>{html.escape(next(iter(verbs.values()))['summary'])}</td></tr>"
        for path, verbs in document["paths"].items()
    )
    schema = document["components"]["schemas"]["Row"]
    needed = schema.get("required", [])
    columns = "".join(
        f"<tr><td><code>{html.escape(name)}</code></td><td>{html.escape(_words(cell))}</td><td>{'yes' if name in needed else ''}</td></tr>"
        for name, cell in schema["properties"].items()
    )
    problems = "".join(f"<tr><td>{code}</td><td>{html.escape(text)}</td></tr>" for code, text in PROBLEMS.items())
    style = "body{font:15px system-ui;margin:2em auto;max-width:60em;padding:0 1em}"
    style += "td,th{text-align:left;padding:.2em 1em .2em 0;vertical-align:top}"
    style += "pre{background:#f4f4f4;padding:1em;white-space:pre-wrap;overflow-wrap:anywhere}"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{html.escape(project)}: predictions</title><style>{style}</style>"
        f"<h1>{html.escape(project)}: predictions</h1><p>Machine readable: <a href=/openapi.json>/openapi.json</a></p>"
        f"<h2>One row</h2><pre>{html.escape(call)}</pre><h2>Paths</h2><table>{rows}</table>"
        f"<h2>Columns of a row</h2><table><tr><th>name<th>type<th>required</tr>{columns}</table>"
        f"<h2>Refusals</h2><table>{problems}</table></html>"
    ).encode()


def _words(cell: dict[str, Any]) -> str:
    return " or ".join(choice["type"] for choice in cell.get("anyOf", [cell]))
