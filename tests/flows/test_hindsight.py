"""A release that proves worse than the one it replaced goes back by itself, when labels arrive: on a real server, registry and ledger."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import xgboost

from pillars.answers import closing_table
from pillars.bundle.bundle import Bundle, write_bundle
from pillars.bundle.golden import from_json as columns_from_json
from pillars.deployment import release, traffic
from pillars.monitoring import registry
from pillars.stores import Stores
from pillars.vocabulary import Decision, Promotion, Release, Rollout
from tasks.opened import Opened, open_as_it_is, plain
from tests.clone import make_clone
from tests.small import edit_config, enter, through_two_months, write_tiny

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
MARCH = "2013-03"


@pytest.fixture
def tiny(tmp_path: Path, slices: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """January and February are through, v2 answers and has replaced v1; outcomes are looked back on, with a margin that is small here."""
    root = write_tiny(make_clone(tmp_path / "project"), slices)
    enter(root, monkeypatch)
    edit_config(root, rollout={"quality": {"margin": 0.01, "periods": 2}, "cooldown_min": 1440})
    return through_two_months(root)


def opened() -> Opened:
    return open_as_it_is("small")


def answering() -> Rollout:
    now = traffic.read(Stores(), "small")
    assert now is not None
    return now


def said(of: Release) -> bytes:
    """What a release says of some rows, to the bit."""
    bundle = release.load(Stores(), of)
    return bundle.scores(columns_from_json(bundle.golden["columns"])).tobytes() + np.float64(bundle.threshold).tobytes()


def plant() -> int:
    """A version that a person put into the registry and waved through: v2's trees, its calibration upside down, another threshold."""
    now = opened()
    candidate = now.past.candidate("2013-02")
    good = Bundle.load(now.stores.var / candidate.path)
    booster = xgboost.Booster(model_file=str(now.stores.var / candidate.path / "booster-0.ubj"))
    booster.set_attr(planted="yes")  # another model by its bytes
    path = now.stores.folder("candidates", "small") / "planted"
    upside_down, golden = {"kind": "sigmoid", "a": -1.0, "b": 0.0}, columns_from_json(good.golden["columns"])
    raw = [bytes(booster.save_raw("ubj"))]
    write_bundle(path, "small", raw, good.encoder, upside_down, {"threshold": 0.9}, good.schema, golden, good.lineage)
    made = Bundle.load(path)
    planted = replace(candidate, path=str(path.relative_to(now.stores.var)), sha256=made.identity, digest=made.digest)
    tags = {"data.version": candidate.data_version, "fitted_through": candidate.fitted_through, "recipe": "{}"}
    version = replace(registry.register(now.stores, now.config, candidate.run_id, path, tags), digest=planted.digest)
    waved = plain(Promotion(version, Decision.accept("I say so")))
    now.record("promote", {"period": "2013-02", "bundle": made.digest, "by": "hand"}, Decision.accept("I say so"), waved)
    return version.version


def march() -> None:
    from flows.ingest import ingest
    from flows.monitor import monitor
    from flows.score import score

    ingest("small", MARCH)
    score("small", MARCH)
    monitor("small", MARCH)


@pytest.mark.usefixtures("tiny")
def test_a_bad_release_goes_back_when_labels_land_and_does_not_come_again() -> None:
    from flows.deploy import deploy
    from flows.monitor import monitor

    good, before = answering().champion, said(answering().champion)
    bad = plant()
    assert deploy("small", bad).champion.version == bad
    march()
    now = answering()
    assert (now.champion, now.trial) == (good, None)
    assert said(now.champion) == before, "trees, calibration and threshold: the bundle as a whole"
    assert now.rest is not None
    assert now.rest.until == "2013-04-02T00:00:00", "a day after the period, by the clock of its rows"
    (asked,), taken = opened().ledger.entries("small", "quality"), opened().ledger.entries("small", "rollout")[-1]
    assert (asked.outcome, taken.outcome) == ("refuse", "refuse")
    assert f"v{bad} is taken back: v{bad} on the outcomes of {MARCH}: log_loss increase over v2, which it replaced" in taken.reason
    assert asked.facts["increase"]["low"] > 0.01
    assert registry.champion(Stores(), "small") == 2, "the alias follows"
    # a second look changes nothing, also where its verdict was lost
    rows = len(opened().ledger.entries("small"))
    monitor("small", MARCH)
    assert (answering(), len(opened().ledger.entries("small"))) == (now, rows)
    # never again by itself, a person may
    assert deploy("small").champion == good
    assert "was taken back before" in opened().ledger.entries("small", "deploy")[-1].reason
    assert "v3 back" in str([row.rollout for row in closing_table(Stores(), opened().config)])
    assert deploy("small", bad).champion.version == bad
    opened().ledger.verify()


@pytest.mark.usefixtures("tiny")
def test_killed_between_the_verdict_and_the_move_the_next_look_makes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.deploy import deploy
    from flows.monitor import monitor

    class Killed(BaseException):
        pass

    def die(*_: object, **__: object) -> None:
        raise Killed

    bad = plant()
    deploy("small", bad)
    with monkeypatch.context() as patched:
        patched.setattr("tasks.rollouts._replaced", die)
        with pytest.raises(Killed):
            march()
    assert answering().champion.version == bad
    monitor("small", MARCH)
    once = answering()
    assert once.champion.version == 2
    monitor("small", MARCH)
    assert answering() == once
    assert [e.outcome for e in opened().ledger.entries("small", "quality")] == ["refuse"]


@pytest.mark.usefixtures("tiny")
def test_a_pin_holds_even_a_bad_release() -> None:
    from flows.deploy import deploy
    from flows.pin import pin

    bad = plant()
    deploy("small", bad)
    pin("small", None, "I know")
    march()
    assert answering().champion.version == bad
    assert opened().ledger.entries("small", "quality") == []


@pytest.mark.usefixtures("tiny")
def test_a_clean_promotion_stays_and_is_asked_about_for_as_long_as_was_asked() -> None:
    from flows.monitor import monitor

    now = answering()
    march()
    (asked,) = opened().ledger.entries("small", "quality")
    assert asked.outcome in ("accept", "inconclusive"), asked.reason
    assert (asked.inputs["version"], asked.inputs["against"], asked.inputs["period"]) == (2, 1, MARCH)
    assert answering() == now
    from flows.ingest import ingest
    from flows.score import score

    for period in ("2013-04",):
        ingest("small", period)
        score("small", period)
        monitor("small", period)
    assert [e.inputs["period"] for e in opened().ledger.entries("small", "quality")] == [MARCH, "2013-04"], "two periods, as the YAML says"
    assert asdict(answering()) == asdict(now)
