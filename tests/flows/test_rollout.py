"""The verbs of a rollout on a real Prefect server and a real MLflow: two months, a release on trial, a log, pins, and back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pillars.deployment import traffic
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.small import edit_config, through_two_months

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.usefixtures("prefect_server")]
STEPS = [{"share": 0.1, "bake_min": 0}, {"share": 0.5, "bake_min": 0}]


def log(generation: int, bad: int = 0, n: int = 60) -> None:
    """What a server would have logged at a generation."""
    lines = []
    for arm, name in (("challenger", "x"), ("champion", "y")):
        for place in range(n):
            error = arm == "challenger" and place < bad
            lines.append(
                {
                    "entity": f"{name}{place}",
                    "arm": arm,
                    "at": float(generation * 1000 + place),
                    "generation": generation,
                    "error": error,
                    "latency_ms": 5.0,
                    "score": 0.5,
                }
            )
    file = Stores().folder("served", "small", "log") / f"{generation}-{bad}.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))


def told(*words: str) -> Any:
    said = say(*words, "small", "--json")
    assert said.exit_code == 0, said.err
    return json.loads(said.out)


def test_a_batch_is_split_and_its_outcomes_are_evidence(small: Path) -> None:
    """A month scored while a release is on trial for longer than that; it ends in the next one."""
    judge = {"entities": 20, "metrics": ["wrong"], "alpha": 0.2}
    steps = [{"share": 0.5, "bake_min": 35 * 1440}]
    edit_config(small, rollout={"strategy": "canary", "steps": steps, "timeout_min": 60 * 1440, "judge": judge})
    through_two_months(small)
    for verb, period in (("ingest", "2013-03"), ("score", "2013-03")):
        assert say(verb, "small", period).exit_code == 0
    known = told("verdict", "--report")
    assert min(known["challenger"], known["champion"]) > 500
    assert known["e"]["wrong"] != 0.0
    assert (known["health"], known["reason"]) == ("inconclusive", "not watched for its time yet"), "nobody asked by request"
    assert [arm["arm"] for arm in known["report"]["arms"]] == ["champion", "challenger"]
    for verb, period in (("ingest", "2013-04"), ("score", "2013-04")):
        assert say(verb, "small", period).exit_code == 0
    now = traffic.read(Stores(), "small")
    assert now is not None
    assert (now.champion.version, now.trial) == (2, None), "the next month's model is as good as the last one's"
    assert "v2 healthy to the end" in now.reason


def test_a_release_goes_on_trial_and_through_it(small: Path) -> None:
    edit_config(small, rollout={"strategy": "canary", "steps": STEPS, "cooldown_min": 0, "judge": {"entities": 20}}, gate={"min_rows": 1})
    from flows.rollout import rollout

    early = rollout("small", return_state=True)
    assert early.is_completed(), "a look every minute begins before the first deployment"
    assert "deployed yet" in early.message
    assert say("rollout", "small").exit_code == 2
    through_two_months(small)
    now = traffic.read(Stores(), "small")
    assert now is not None
    assert now.trial is not None, f"two months, two releases: {now}"
    assert (now.champion.version, now.trial.challenger.version, now.trial.stages[-1].weight_bp) == (1, 2, 1000)
    assert told("verdict")["health"] == "inconclusive"
    assert told("rollout")["moved"] is False
    log(now.generation)
    assert told("verdict")["health"] == "healthy"
    assert told("manifests", "--image", "team/serving:1", "--claim", "pillars-var")[-1]["spec"]["canary"][0]["trafficPercent"] == 10
    assert told("rollout")["rollout"]["trial"]["stages"][-1]["weight_bp"] == 5000
    log(now.generation + 1)
    ended = told("rollout")
    assert (ended["moved"], ended["rollout"]["champion"]["version"], ended["rollout"].get("trial")) == (True, 2, None)
    assert told("status")["champion"] == "v2"

    assert told("pin", "1")["pin"]["version"] == 1
    before = traffic.read(Stores(), "small")
    told("deploy")
    assert traffic.read(Stores(), "small") == before
    refused = Ledger(Stores()).latest("small", "deploy")
    assert refused is not None
    assert (refused.outcome, "v1 is pinned by" in refused.reason) == ("refuse", True)
    assert say("pin", "newest", "small").exit_code == 2
    assert told("unpin").get("pin") is None

    again = told("deploy")
    assert again["trial"]["challenger"]["version"] == 2
    log(again["generation"], bad=50)
    harmed = say("rollout", "small", "--json")
    assert harmed.exit_code == 1
    assert json.loads(harmed.out)["rollout"]["champion"]["version"] == 1
    assert say("verdict", "small").exit_code == 0
    told("deploy")
    assert "was taken back before" in Ledger(Stores()).entries("small", "deploy")[-1].reason
    assert told("deploy", "--version", "2")["trial"]["challenger"]["version"] == 2
    assert told("rollback")["champion"]["version"] == 1
    Ledger(Stores()).verify()
