"""The steps of pillar 4 on a real ledger and real releases, called as functions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from pillars.deployment import release as releases
from pillars.deployment import traffic
from pillars.errors import BundleRefused, DataCorrupt
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Candidate, Decision, Json, Scored
from tasks import deployment
from tasks.opened import Opened, plain
from tests.releases import DATA, RECIPE, small_columns, small_project, small_version, write_small_bundle


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opened:
    """The project `small`, whose data set is 50 rows."""
    stores, columns = Stores(), small_columns(50)
    at = pa.array(np.arange(50).astype("datetime64[us]"))
    rows = pa.table({"at": at, **{name: pa.array(values) for name, values in columns.items()}})
    found = Opened(stores, small_project(), Ledger(stores))
    monkeypatch.setattr(found, "pieces", lambda version, kind, period, size: iter([rows.slice(0, 20), rows.slice(20)]))
    return found


def switch(opened: Opened, version: int) -> None:
    """Give the traffic to version 1 or 2, on record."""
    folder = opened.stores.folder("bundles") / str(version)
    made = small_version(version, write_small_bundle(folder, seed=version))
    release = releases.export(opened.stores, opened.config, made, folder)
    now = traffic.read(opened.stores, opened.name)
    rollout = traffic.switch(opened.stores, opened.config, release, now.generation if now else 0, "better")
    inputs: dict[str, Json] = {"version": version, "sha256": release.sha256, "generation": rollout.generation}
    opened.ledger.record("small", "deploy", inputs, "accept", "", plain(rollout), datetime(2013, 3, 1, tzinfo=UTC), "me")


def score(opened: Opened, lost: Scored | None = None) -> Scored:
    return deployment.score.fn(opened, "2013-02", DATA, lost)


def flip(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


@pytest.mark.parametrize("lose", [Path.unlink, flip])
def test_lost_predictions_of_the_release_that_answers_are_made_again(opened: Opened, lose: Callable[[Path], None]) -> None:
    switch(opened, 1)
    first = score(opened)
    lose(opened.stores.var / first.path)
    assert not deployment.kept(opened, first)
    assert score(opened, first) == first
    assert deployment.kept(opened, first)


@pytest.mark.parametrize("then", [(2,), (2, 1)], ids=["another champion", "another generation"])
def test_those_of_another_are_refused_before_anything_is_written(opened: Opened, then: tuple[int, ...]) -> None:
    switch(opened, 1)
    first = score(opened)
    (opened.stores.var / first.path).unlink()
    for version in then:
        switch(opened, version)
    with pytest.raises(DataCorrupt, match=rf"{first.sha256} and has no file.*restore the file"):
        score(opened, first)
    assert list((opened.stores.var / "predictions" / "small").iterdir()) == []


def test_a_refused_bundle_is_found_again_by_all_that_it_holds(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two candidates of the same boosters: only threshold and calibration tell."""
    accepted = Decision.accept("")
    for place, digest in enumerate(("d1", "d2")):
        made = Candidate(
            "small", "2013-02", "run", DATA.id, RECIPE, f"candidates/{digest}", "b" * 64, "2013-02", accepted, accepted, (), digest
        )
        at = datetime(2013, 3, 1 + place, tzinfo=UTC)
        opened.ledger.record("small", "train", {"period": "2013-02", "place": place}, "accept", "", plain(made), at, "me")
    monkeypatch.setattr(deployment.registry, "bundle_dir", lambda stores, name, version: stores.var / "gone")
    for digest in ("d1", "d2"):
        with pytest.raises(BundleRefused, match=f"var/candidates/{digest} has them too"):
            deployment.export.fn(opened, replace(small_version(1, "b" * 64), digest=digest))
    with pytest.raises(BundleRefused, match="pillars deploy") as refused:
        deployment.export.fn(opened, replace(small_version(1, "b" * 64), digest="d3"))
    assert "has them too" not in str(refused.value)
