"""Training, batch and online see the same numbers and say the same scores, to the bit: over the flights year, whatever is drawn of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.serving_commands import told
from pillars import project_file
from pillars.bundle.bundle import Bundle, write_bundle
from pillars.bundle.encoder import Encoder
from pillars.config import Project
from pillars.deployment import scoring
from pillars.deployment.server import invocations
from pillars.development import features
from pillars.stores import Stores, parquet_of, write_atomically
from pillars.vocabulary import Release, Rollout
from projects import flights
from tests.clone import CHECKOUT
from tests.pillars.deployment.server.world import InProcess

PERIODS = [f"2013-{month:02d}" for month in range(1, 13)]
FIT = slice(0, 20_000, 5)  # rows of January that the model is fitted on: later months bring airports that it has not met


@dataclass(frozen=True, repr=False)  # a bundle is much to print
class World:
    """A model of flights, fitted as training does, and the server that answers by it."""

    project: Project
    bundle: Bundle
    app: InProcess

    def trained(self, rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
        """Encoded rows and their scores as training and the gate make them."""
        columns = features.design(self.project, rows)
        return self.bundle.encoder.encode(columns), self.bundle.scores(columns)

    def batch(self, rows: pa.Table, sizes: Sequence[int], threads: int = 2) -> tuple[np.ndarray, np.ndarray, bytes]:
        """The same as `pillars score` makes them, in pieces of these sizes in turn, and the bytes that it writes."""
        pieces = list(cut(rows, sizes))
        release = Release("flights", 1, self.bundle.identity, "", self.bundle.digest)
        rollout = Rollout("flights", 1, release, (), "direct", "")

        def said(piece: pa.Table) -> pa.Table:
            seen = features.seen(self.project, piece)
            return scoring.predictions(piece, seen, self.bundle, rollout, "data", self.project.key)

        encoded = [self.bundle.encoder.encode(features.seen(self.project, piece)) for piece in pieces]
        tables = list(scoring.in_turn(said, pieces, threads))
        scores = pa.concat_tables(tables)["score"].to_numpy()
        return np.concatenate(encoded), scores, parquet_of(tables)[0]

    def online(self, rows: pa.Table, sizes: Sequence[int], form: str) -> tuple[np.ndarray, np.ndarray]:
        """The same as the server makes them, in requests of these sizes in turn, each as a client's JSON."""
        snapshot = self.app.app.watcher.snapshot
        assert snapshot
        encoded, scores = list[np.ndarray](), list[float]()
        for piece in cut(rows, sizes):
            records = [{name: plain(value) for name, value in row.items()} for row in piece.to_pylist()]
            body = json.dumps({"dataframe_records": records}).encode()
            decoded = invocations.rows(snapshot.decoders, body)
            encoded.append(snapshot.champion.encode(decoded.columns, decoded.count))
            path = "/v2/models/flights/infer" if form == "tensors" else "/invocations"
            status, content = self.app.ask("POST", path, body if form == "records" else self.formed(records, form))
            assert status == 200, content
            said = content["outputs"][0]["data"] if form == "tensors" else [one["score"] for one in content["predictions"]]
            scores += said
        return np.concatenate(encoded), np.array(scores)

    def formed(self, records: list[dict[str, Any]], form: str) -> Any:
        """Rows in another of the forms that a request may have."""
        names = list(records[0])
        if form == "split":
            return {"dataframe_split": {"columns": names[::-1], "data": [[row[name] for name in names[::-1]] for row in records]}}
        words = {*self.bundle.encoder.categorical, "scheduled_at"}
        inputs = [
            {"name": n, "shape": [len(records)], "datatype": "BYTES" if n in words else "FP64", "data": [row[n] for row in records]}
            for n in names
        ]
        return {"inputs": inputs, "outputs": [{"name": "score"}]}


def cut(rows: pa.Table, sizes: Sequence[int]) -> Iterator[pa.Table]:
    start = turn = 0
    while start < rows.num_rows:
        yield rows.slice(start, sizes[turn % len(sizes)])
        start, turn = start + sizes[turn % len(sizes)], turn + 1


def plain(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else str(value)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    import xgboost

    var = tmp_path_factory.mktemp("parity")
    stores = Stores(root=CHECKOUT)
    project = project_file.load(stores.config_file("flights"))
    source = flights.source()
    rows, y, _ = features.labelled(project, source.rows("2013-01"), source.outcomes("2013-01"))
    rows, y = rows.take(pa.array(np.arange(rows.num_rows)[FIT])), y[FIT]
    columns = features.design(project, rows)
    encoder = Encoder.fit(columns, project.features.numeric, project.features.categorical, project.features.min_category_rows)
    boosters = []
    for seed in (1, 2):  # two, so that the mean of several is compared, too
        params = {"objective": "binary:logistic", "max_depth": 5, "subsample": 0.7, "seed": seed, "nthread": 1}
        boosters.append(bytes(xgboost.train(params, xgboost.DMatrix(encoder.encode(columns), y), 15).save_raw("ubj")))
    inputs = [{"name": n, "type": "double"} for n in encoder.numeric] + [{"name": n, "type": "string"} for n in encoder.categorical]
    schema = {"inputs": inputs, "outputs": [], "key": list(project.key), "target": project.target}
    calibration = {"kind": "isotonic", "x": [0.0, 0.1, 0.3, 0.7, 1.0], "y": [0.01, 0.08, 0.33, 0.6, 0.97]}
    golden = {name: column[:5] for name, column in columns.items()}
    path = var / "releases/flights/v1-parity"
    identity = write_bundle(path, "flights", boosters, encoder, calibration, {"threshold": 0.3}, schema, golden, {})
    champion = {"project": "flights", "version": 1, "sha256": identity, "path": "releases/flights/v1-parity", "digest": ""}
    policy = {"format": 1, "project": "flights", "generation": 1, "champion": champion}
    write_atomically(var / "releases/flights/policy.json", json.dumps(policy).encode())
    with InProcess(changed(told(stores, project, "127.0.0.1", 0, 1), var)) as app:
        yield World(project, Bundle.load(path), app.ready())


def changed(settings: Any, var: Path) -> Any:
    import msgspec

    return msgspec.structs.replace(settings, var=str(var))


SIZES = st.lists(st.integers(1, 90), min_size=1, max_size=4)


@given(
    period=st.sampled_from(PERIODS),
    first=st.integers(0, 24_000),
    count=st.integers(1, 120),
    pieces=SIZES,
    requests=SIZES,
    form=st.sampled_from(["records", "split", "tensors"]),
)
@settings(max_examples=30, deadline=None)
def test_the_three_ways_agree_to_the_bit(
    world: World, period: str, first: int, count: int, pieces: list[int], requests: list[int], form: str
) -> None:
    rows = flights.source().rows(period).slice(first, count)
    seen, scores = world.trained(rows)
    batch_seen, batch_scores, _ = world.batch(rows, pieces)
    online_seen, online_scores = world.online(rows, requests, form)
    assert seen.tobytes() == batch_seen.tobytes() == online_seen.tobytes()
    assert scores.tobytes() == batch_scores.tobytes() == online_scores.tobytes()


def test_the_year_has_what_makes_them_differ(world: World) -> None:
    """Nulls, airports that the model has not met, fractions that have no short decimals: else the test above would show little."""
    rows = flights.source().rows("2013-07")
    assert sum(column.null_count > 0 for column in rows.columns) > 10
    known = world.bundle.encoder.codes["dest"]
    assert {*rows["dest"].to_pylist()} - {*known}
    assert any(len(repr(value)) > 16 for value in rows["past_late_all_7d"].to_pylist()[:10])


@pytest.mark.parametrize("threads", [1, 3])
def test_pieces_and_threads_change_no_byte_of_what_is_written(world: World, threads: int) -> None:
    rows = flights.source().rows("2013-02").slice(0, 3_000)
    assert world.batch(rows, [700, 1, 64], threads)[2] == world.batch(rows, [3_000], 1)[2]


@pytest.mark.slow
def test_all_rows_of_the_year_agree_to_the_bit(world: World) -> None:
    for period in PERIODS:
        rows = flights.source().rows(period)
        seen, scores = world.trained(rows)
        batch_seen, batch_scores, _ = world.batch(rows, [scoring.PIECE])
        some = np.arange(0, rows.num_rows, 7)
        online_seen, online_scores = world.online(rows.take(pa.array(some)), [100, 1, 7], "records")
        assert seen.tobytes() == batch_seen.tobytes()
        assert scores.tobytes() == batch_scores.tobytes()
        assert seen[some].tobytes() == online_seen.tobytes()
        assert scores[some].tobytes() == online_scores.tobytes()
