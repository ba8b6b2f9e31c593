"""What is refused, with which status, and that no value that came with it is said again. The table of docs/serving.md, played."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.pillars.deployment.server.world import ROW, InProcess

TOKEN = {"authorization": "Bearer s3cret-token"}
PLANTED = "Zq7-planted"
DEEP = "[" * 100_000 + "]" * 100_000


def records(*rows: Any) -> bytes:
    return json.dumps({"dataframe_records": list(rows)}).encode()


def cell(name: str, raw: str) -> bytes:
    """One row whose column `name` holds this JSON, as it stands."""
    others = ", ".join(f'"{n}": {json.dumps(v)}' for n, v in ROW.items() if n != name)
    return f'{{"dataframe_records": [{{{others}, "{name}": {raw}}}]}}'.encode()


def split(columns: Any, data: Any, **more: Any) -> bytes:
    return json.dumps({"dataframe_split": {"columns": columns, "data": data, **more}}).encode()


def tensor(name: str = "distance", data: Any = (1.0,), datatype: str = "FP64", shape: Any = None, **more: Any) -> dict[str, Any]:
    return {"name": name, "shape": [len(data)] if shape is None else shape, "datatype": datatype, "data": data, **more}


def tensors(*inputs: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(inputs), **more}).encode()


NUMBERS = {  # JSON that is no number for the model -> status
    '"7"': 422,
    '""': 422,
    '"NaN"': 422,
    '"Infinity"': 422,
    "true": 422,
    "false": 422,
    "null": 422,
    "[]": 422,
    "[1]": 422,
    "{}": 422,
    '{"a": 1}': 422,
    DEEP: 422,
    "1e39": 422,
    "-1e39": 422,
    "1e308": 422,
    "1e400": 422,
    "-1e400": 422,
    "9" * 400: 422,
    "NaN": 400,
    "Infinity": 400,
    "-Infinity": 400,
    "nan": 400,
    "0x10": 400,
    "1_000": 400,
    "+1": 400,
    "01": 400,
    ".5": 400,
    "1.": 400,
    "1e": 400,
    "1,5": 400,
    "'7'": 400,
    "undefined": 400,
    "None": 400,
    "": 400,
}
TEXTS = {
    "7": 422,
    "7.5": 422,
    "true": 422,
    "[]": 422,
    '["UA"]': 422,
    "{}": 422,
    DEEP: 422,
    json.dumps(PLANTED * 20): 422,  # longer than the limit
    "UA": 400,
    "'UA'": 400,
    '"UA': 400,
    '"\\ud800"': 400,
    '"\\x41"': 400,
    '"a\nb"': 400,
}
FLAGS = {'"true"': 422, '"yes"': 422, "[true]": 422, "{}": 422, "1e39": 422, "True": 400, "yes": 400}
LABELS = {"9" * 25: 422, "9" * 5_000: 422, "[]": 422, "{}": 422, '{"id": 1}': 422, DEEP: 422, "NaN": 400}
BODIES: dict[str, tuple[bytes, int]] = {
    "empty": (b"", 400),
    "blank": (b"   ", 400),
    "no JSON": (b"distance=5", 400),
    "half": (b'{"dataframe_records": [{"distance": 1', 400),
    "two documents": (records(ROW) * 2, 400),
    "trailing comma": (b'{"dataframe_records": [{"distance": 1},]}', 400),
    "comment": (b'{"dataframe_records": [] /* none */}', 400),
    "no UTF-8": (b'{"dataframe_records": [{"distance": 1, "carrier": "\xff\xfe"}]}', 400),
    "UTF-16": (records(ROW).decode().encode("utf-16"), 400),
    "a mark before it": (b"\xef\xbb\xbf" + records(ROW), 400),
    "zero bytes": (b"\x00" * 100, 400),
    "binary": (bytes(range(256)), 400),
    "nested": (DEEP.encode(), 422),
    "a list": (json.dumps([ROW]).encode(), 422),
    "text": (b'"dataframe_records"', 422),
    "a number": (b"5", 422),
    "null": (b"null", 422),
    "a bare row": (json.dumps(ROW).encode(), 422),
    "nothing in it": (b"{}", 422),
    "instances": (json.dumps({"instances": [ROW]}).encode(), 422),
    "inputs": (json.dumps({"inputs": [ROW]}).encode(), 422),
    "both formats": (json.dumps({"dataframe_records": [ROW], "dataframe_split": {"columns": [], "data": []}}).encode(), 422),
    "one more key": (json.dumps({"dataframe_records": [ROW], PLANTED: 1}).encode(), 422),
    "params": (json.dumps({"dataframe_records": [ROW], "params": {}}).encode(), 422),
    "records null": (b'{"dataframe_records": null}', 422),
    "records an object": (json.dumps({"dataframe_records": ROW}).encode(), 422),
    "records of records": (json.dumps({"dataframe_records": {"distance": [1, 2]}}).encode(), 422),
    "no rows": (records(), 422),
    "a row null": (records(ROW, None), 422),
    "a row a list": (records(ROW, [1, 2]), 422),
    "a row text": (records(PLANTED), 422),
    "a row without anything": (records(ROW, {}), 422),
    "a required column missing": (records(ROW, {"carrier": "UA"}), 422),
    "an unknown column": (records(ROW | {"speed": 1}), 422),
    "a column in capitals": (records({"Distance": 1}), 422),
    "a column with a blank": (records({"distance ": 1}), 422),
    "a column that is a value": (records(ROW | {f"{PLANTED}@example.org": 1}), 422),
    "the target": (records(ROW | {"late": True}), 422),
    "51 rows": (records(*[{"distance": 1}] * 51), 413),
    "too many bytes": (records(ROW) + b" " * 500_000, 413),
    "split null": (b'{"dataframe_split": null}', 422),
    "split without data": (json.dumps({"dataframe_split": {"columns": ["distance"]}}).encode(), 422),
    "split without columns": (json.dumps({"dataframe_split": {"data": [[1]]}}).encode(), 422),
    "split with one key more": (split(["distance"], [[1]], name="x"), 422),
    "split with columns null": (split(None, [[1]]), 422),
    "split with numbers as columns": (split([1], [[1]]), 422),
    "split without rows": (split(["distance"], []), 422),
    "split with rows of one value too few": (split(["distance", "carrier"], [[1, "UA"], [1]]), 422),
    "split with one value too many": (split(["distance"], [[1, 2]]), 422),
    "split with rows that are objects": (split(["distance"], [{"distance": 1}]), 422),
    "split with data that is a number": (split(["distance"], 7), 422),
    "split with a column twice": (split(["distance", "distance"], [[1, 1]]), 422),
    "split with a column forty thousand times": (split(["carrier"] * 40_000, []), 422),
    "split with an unknown column": (split(["distance", "speed"], [[1, 1]]), 422),
    "split without a required column": (split(["carrier"], [["UA"]]), 422),
    "split with text for a number": (split(["distance"], [[1], [PLANTED]]), 422),
    "split with NaN": (b'{"dataframe_split": {"columns": ["distance"], "data": [[NaN]]}}', 400),
    "split nested": (f'{{"dataframe_split": {{"columns": ["distance"], "data": {DEEP}}}}}'.encode(), 400),
    "split with 51 rows": (split(["distance"], [[1]] * 51), 413),
}
TENSORS: dict[str, tuple[bytes, int]] = {
    "no inputs": (b"{}", 422),
    "inputs null": (b'{"inputs": null}', 422),
    "inputs empty": (tensors(), 422),
    "inputs an object": (b'{"inputs": {}}', 422),
    "a tensor without data": (b'{"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64"}]}', 422),
    "a tensor with one key more": (tensors(tensor(unit=PLANTED)), 422),
    "an unknown column": (tensors(tensor(), tensor("speed")), 422),
    "a column twice": (tensors(tensor(), tensor()), 422),
    "a required column missing": (tensors(tensor("seats")), 422),
    "a datatype that does not exist": (tensors(tensor(datatype="FP128")), 422),
    "BYTES for a number": (tensors(tensor(data=["1"], datatype="BYTES")), 422),
    "FP64 for text": (tensors(tensor(), tensor("carrier", [1.0])), 422),
    "text in FP64": (tensors(tensor(data=[PLANTED])), 422),
    "true in FP64": (tensors(tensor(data=[True])), 422),
    "null in a required column": (tensors(tensor(data=[None])), 422),
    "too large": (tensors(tensor(data=[1e39])), 422),
    "NaN": (b'{"inputs": [{"name": "distance", "shape": [1], "datatype": "FP64", "data": [NaN]}]}', 400),
    "nested": (f'{{"inputs": [{{"name": "distance", "shape": [1], "datatype": "FP64", "data": {DEEP}}}]}}'.encode(), 400),
    "data a number": (tensors(tensor(data=[1]) | {"data": 1}), 422),
    "data of rows": (tensors(tensor(data=[[1.0]])), 422),
    "another shape": (tensors(tensor(shape=[2])), 422),
    "a shape of two columns": (tensors(tensor(data=[1.0, 2.0], shape=[1, 2])), 422),
    "a negative shape": (tensors(tensor(shape=[-1])), 422),
    "a shape of text": (tensors(tensor(shape=["1"])), 422),
    "columns of unequal length": (tensors(tensor(data=[1.0, 2.0]), tensor("seats")), 422),
    "no rows": (tensors(tensor(data=[])), 422),
    "51 rows": (tensors(tensor(data=[1.0] * 51)), 413),
    "an output that does not exist": (tensors(tensor(), outputs=[{"name": "speed"}]), 422),
    "an id that is a number": (tensors(tensor(), id=5), 422),
    "one more key": (tensors(tensor(), **{PLANTED: 1}), 422),
}
CASES = [
    *(pytest.param("/invocations", cell("distance", raw), code, id=f"number {raw[:12]}") for raw, code in NUMBERS.items()),
    *(pytest.param("/invocations", cell("carrier", raw), code, id=f"text {raw[:12]!r}") for raw, code in TEXTS.items()),
    *(pytest.param("/invocations", cell("booked", raw), code, id=f"flag {raw[:12]}") for raw, code in FLAGS.items()),
    *(pytest.param("/invocations", cell("flight", raw), code, id=f"label {raw[:12]}") for raw, code in LABELS.items()),
    *(pytest.param("/invocations", body, code, id=f"body {name}") for name, (body, code) in BODIES.items()),
    *(pytest.param("/v2/models/small/infer", body, code, id=f"tensors {name}") for name, (body, code) in TENSORS.items()),
]


@pytest.mark.parametrize(("path", "body", "status"), CASES)
def test_a_bad_request_is_refused_as_documented(asked_only: InProcess, path: str, body: bytes, status: int) -> None:
    found, content = asked_only.ask("POST", path, body, TOKEN)
    assert found == status, content
    assert content["error"]
    assert set(content) <= {"error", "error_code", "row", "column"}
    assert PLANTED not in json.dumps(content)


def test_there_are_a_hundred_of_them() -> None:
    assert len(CASES) >= 100


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["distance", "carrier", "data", "name", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)
ENVELOPES = st.sampled_from(["dataframe_records", "dataframe_split", "inputs", "columns", "data", "x"])


def spoilt(body: bytes, cuts: list[tuple[int, bytes]]) -> bytes:
    for place, put in cuts:
        body = body[: place % len(body)] + put + body[place % len(body) + 1 :] or b" "
    return body


@given(body=st.binary(max_size=200) | st.dictionaries(ENVELOPES, JUNK, max_size=2).map(lambda x: json.dumps(x).encode()))
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_comes_is_no_error_of_ours(asked_only: InProcess, body: bytes) -> None:
    for path in ("/invocations", "/v2/models/small/infer"):
        assert asked_only.ask("POST", path, body, TOKEN)[0] in (200, 400, 413, 422)


@given(cuts=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=3)), min_size=1, max_size=4))
@hypothesis_settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_good_request_that_was_spoilt_is_no_error_of_ours(asked_only: InProcess, cuts: list[tuple[int, bytes]]) -> None:
    label = ROW | {"flight": "UA1", "passenger": 5}
    for path, body in (
        ("/invocations", records(label, ROW)),
        ("/invocations", split(["distance", "carrier"], [[1.5, "UA"], [2, None]])),
        ("/v2/models/small/infer", tensors(tensor(), tensor("carrier", ["UA"], "BYTES"))),
    ):
        assert asked_only.ask("POST", path, spoilt(body, cuts), TOKEN)[0] in (200, 400, 413, 422)


@pytest.mark.parametrize(
    ("body", "where"),
    [
        pytest.param(records(ROW, ROW | {"distance": "far"}), {"row": 1, "column": "distance"}, id="wrong type"),
        pytest.param(records(ROW, ROW, {"carrier": "UA"}), {"row": 2, "column": "distance"}, id="missing"),
        pytest.param(records(ROW | {"speed": 7}), {"row": 0, "column": "speed"}, id="unknown"),
        pytest.param(records(ROW | {"a b": 7}), {"row": 0}, id="a name that could be a value"),
        pytest.param(split(["carrier", "distance"], [["UA", 1], ["UA", None]]), {"row": 1, "column": "distance"}, id="split"),
        pytest.param(split(["carrier", "distance"], [["UA", 1], ["UA"]]), {"row": 1}, id="split too short"),
        pytest.param(split(["carrier"], [["UA"]]), {"column": "distance"}, id="split missing"),
    ],
)
def test_the_row_and_the_column_are_named(asked_only: InProcess, body: bytes, where: dict[str, Any]) -> None:
    _, content = asked_only.ask("POST", "/invocations", body, TOKEN)
    assert {name: content[name] for name in ("row", "column") if name in content} == where
    assert all(str(value) in content["error"] for value in where.values())


def test_of_tensors_too(asked_only: InProcess) -> None:
    body = tensors(tensor(data=[1.0, 2.0]), tensor("carrier", ["UA", 5], "BYTES"))
    _, content = asked_only.ask("POST", "/v2/models/small/infer", body, TOKEN)
    assert (content["row"], content["column"]) == (1, "carrier")


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        pytest.param("POST", "/invocations", {}, 401, id="no token"),
        pytest.param("POST", "/invocations", {"authorization": "Bearer other"}, 401, id="another token"),
        pytest.param("POST", "/invocations", {"authorization": "Basic s3cret-token"}, 401, id="basic"),
        pytest.param("POST", "/invocations", {"x-api-key": ""}, 401, id="empty"),
        pytest.param("GET", "/metrics", {}, 401, id="metrics"),
        pytest.param("GET", "/docs", {}, 401, id="docs"),
        pytest.param("GET", "/nowhere", {}, 401, id="what is not there"),
        pytest.param("POST", "/invocations", {"x-api-key": "s3cret-token"}, 200, id="in the other header"),
        pytest.param("GET", "/invocations", TOKEN, 405, id="get"),
        pytest.param("PUT", "/invocations", TOKEN, 405, id="put"),
        pytest.param("DELETE", "/v2/models/small/infer", TOKEN, 405, id="delete"),
        pytest.param("POST", "/ready", TOKEN, 405, id="post to a get"),
        pytest.param("POST", "/", TOKEN, 404, id="root"),
        pytest.param("POST", "/invocations/", TOKEN, 404, id="one slash more"),
        pytest.param("POST", "/v2/models/other/infer", TOKEN, 404, id="another model"),
        pytest.param("POST", "/v2/models/small/versions/2/infer", TOKEN, 404, id="another version"),
        pytest.param("POST", "/v2/models/small/versions/x/infer", TOKEN, 404, id="no version"),
        pytest.param("POST", "/v2/models/../../etc/passwd", TOKEN, 404, id="out of the house"),
        pytest.param("POST", "/invocations", TOKEN | {"content-type": "text/csv"}, 415, id="csv"),
        pytest.param("POST", "/invocations", TOKEN | {"content-type": ""}, 415, id="no type"),
        pytest.param("POST", "/invocations", TOKEN | {"content-encoding": "gzip"}, 415, id="gzip"),
        pytest.param("POST", "/invocations", TOKEN | {"content-type": "application/json; charset=utf-8"}, 200, id="with its charset"),
    ],
)
def test_a_request_must_be_let_in(asked_only: InProcess, method: str, path: str, headers: dict[str, str], status: int) -> None:
    assert asked_only.ask(method, path, records(ROW), headers)[0] == status


@pytest.mark.parametrize("path", ["/live", "/ready", "/ping", "/v2/health/live", "/v2/health/ready"])
def test_health_needs_no_token(asked_only: InProcess, path: str) -> None:
    assert asked_only.ask("GET", path)[0] == 200


def test_refusals_do_not_reach_the_log(asked_only: InProcess) -> None:
    from tests.pillars.deployment.server.world import logged

    before = len(logged(asked_only.app.watcher.settings.policy.parents[2]))
    asked_only.ask("POST", "/invocations", records(ROW, {}), TOKEN)
    assert len(logged(asked_only.app.watcher.settings.policy.parents[2])) == before
