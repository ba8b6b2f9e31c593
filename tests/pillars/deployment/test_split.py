"""Batch scoring follows the trial: shares as asked, nobody leaves while they grow, the champion's rows stay the champion's bytes."""

from __future__ import annotations

from dataclasses import replace
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.bundle.bundle import Bundle
from pillars.config_rollout import Judge
from pillars.config_rollout import Rollout as Policy
from pillars.deployment import batches
from pillars.deployment.evidence import tally
from pillars.deployment.judge import judge
from pillars.deployment.scoring import Beside, predictions
from pillars.deployment.server import routing
from pillars.deployment.split import challengers, entities
from pillars.vocabulary import Release, Rollout, Stage, Trial
from tests.releases import small_columns, small_project

OLD, NEW = (Release("small", n, str(n) * 64, f"releases/small/v{n}") for n in (1, 2))
ROWS = 400


def trial(weight_bp: int, mode: Any = "canary", salt: str = "small-8") -> Trial:
    return Trial(NEW, mode, salt, (Stage(8, weight_bp, "2026-01-01T00:00:00+00:00"),))


def scored(bundles: list[Bundle], on: Trial | None) -> pa.Table:
    columns = small_columns(ROWS, seed=9)
    rows = pa.table({"at": pa.array(np.arange(ROWS).astype("datetime64[s]")), "who": pa.array([f"p{n % 80}" for n in range(ROWS)])})
    rollout = Rollout("small", 8, OLD, (), "canary", "", on)
    return predictions(rows, columns, bundles[0], rollout, "data", ["at"], Beside(bundles[1], ("who",), ("at",)) if on else None)


def test_an_entity_keeps_its_arm_while_the_share_grows() -> None:
    of = [str(n).encode() for n in range(20_000)]
    shares = [challengers(trial(weight), of) for weight in (100, 500, 2_500, 10_000)]
    assert [round(float(s.mean()), 2) for s in shares] == [0.01, 0.05, 0.25, 1.0]
    assert all(np.all(a <= b) for a, b in pairwise(shares))


def test_another_trial_deals_anew() -> None:
    of = [str(n).encode() for n in range(20_000)]
    both = challengers(trial(5_000), of) & challengers(trial(5_000, salt="small-9"), of)
    assert 0.23 < both.mean() < 0.27


def test_the_bucket_is_the_one_of_the_server() -> None:
    """blake2b under the key of the salt's own 16 bytes, as in the prediction server."""
    key = blake2b(b"small-8", digest_size=16).digest()
    assert routing.bucket(b"p1", routing.key("small-8")) == int.from_bytes(blake2b(b"p1", digest_size=8, key=key).digest(), "big") % 10_000
    assert entities(pa.table({"a": ["x", ""], "b": [1, 2]}), ["a", "b"], ["b"]) == [b"x\x1f1", b"\x1f2"]


def test_a_row_without_an_entity_is_one_of_its_own_as_a_request_is_online() -> None:
    rows = pa.table({"who": ["x", None, None, "None", ""], "at": list(range(5))})
    found = entities(rows, ["who"], ["at"])
    assert found[0] == b"x"
    assert len(set(found)) == 5, "two rows without one are not one, nor somebody whose name is None, nor one without a name"
    many = entities(pa.table({"who": pa.nulls(20_000, pa.string()), "at": list(range(20_000))}), ["who"], ["at"])
    assert challengers(trial(3_000), many).mean() == pytest.approx(0.3, abs=0.02), "the challenger gets its share of them"


def test_a_batch_is_split_by_entity_and_each_row_has_its_arms_answer(bundles: list[Bundle]) -> None:
    table, columns = scored(bundles, trial(3_000)), small_columns(ROWS, seed=9)
    version = table["model_version"].to_numpy()
    for n, bundle in enumerate(bundles, start=1):
        assert table["score"].to_numpy()[version == n].tolist() == bundle.predict(columns).score[version == n].tolist()
    arm_of = {f"p{n % 80}": set() for n in range(ROWS)}  # type: ignore[var-annotated]
    for n, v in enumerate(version.tolist()):
        arm_of[f"p{n % 80}"].add(v)
    assert {len(arms) for arms in arm_of.values()} == {1}
    assert {1, 2} == set(version.tolist())


def test_a_shadow_has_a_column_of_its_own(bundles: list[Bundle]) -> None:
    table, columns = scored(bundles, trial(10_000, "shadow")), small_columns(ROWS, seed=9)
    assert set(table["model_version"].to_pylist()) == {1}
    assert table["score"].to_pylist() == bundles[0].predict(columns).score.tolist()
    assert table["shadow_score"].to_pylist() == bundles[1].predict(columns).score.tolist()


def test_without_a_trial_the_table_is_what_it_was(bundles: list[Bundle]) -> None:
    table = scored(bundles, None)
    assert table.column_names == ["at", "score", "decision", "model_version", "data_version", "generation"]
    assert [str(t) for t in table.schema.types] == ["timestamp[s]", "double", "bool", "int64", "string", "int64"]
    assert scored(bundles, replace(trial(0), stages=(Stage(8, 0, ""),)))["score"] == table["score"]


def test_batches_are_evidence_and_outcomes_make_it_better(bundles: list[Bundle]) -> None:
    project = small_project().model_copy(update={"rollout": Policy.model_validate({"strategy": "canary", "entity": None})})
    on = trial(3_000)
    table = scored(bundles, on)
    found = list(batches.events(project, table, None))
    arms = ["challenger" if v == 2 else "champion" for v in table["model_version"].to_pylist()]
    assert [e.arm for e in found] == arms
    assert {e.wrong for e in found} == {None}
    wrong = [arm == "challenger" for arm in arms]  # every answer of the challenger, none of the champion
    late = [d != w for d, w in zip(table["decision"].to_pylist(), wrong, strict=True)]
    known = table.append_column("late", pa.array(late))
    policy = Judge(metrics=("wrong",), entities=10)
    counted = tally(policy, on, batches.events(project, table, known), (0.0, 1.0))
    assert [(c.challenger, c.champion, c.share) for c in counted.counts] == [(sum(wrong), 0, 0.3)]
    assert judge(policy, counted, True).health == "harmful"


def test_a_shadows_batch_is_judged_pair_by_pair(bundles: list[Bundle]) -> None:
    project, on = small_project(), trial(10_000, "shadow")
    table = scored(bundles, on)
    known = table.append_column("late", table["decision"])  # the champion is always right
    differ = sum(a != b for a, b in zip(table["decision"].to_pylist(), table["shadow_decision"].to_pylist(), strict=True))
    counted = tally(Judge(metrics=("wrong",)), on, batches.events(project, table, known), (0.0, 1.0))
    assert differ
    assert [(c.challenger, c.champion, c.share) for c in counted.counts] == [(differ, 0, 0.5)]
