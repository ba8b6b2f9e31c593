"""Trials on a real ledger, real releases and a real traffic file: killed anywhere, raced, pinned, edited."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pillars.answers.trials import Everything
from pillars.config import Project
from pillars.deployment import release as releases
from pillars.deployment import rollout, scoring, traffic
from pillars.deployment.logged import Logged
from pillars.deployment.rollback import roll_back
from pillars.errors import NobodyAnswers, StoreUnavailable
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from pillars.vocabulary import Batch, Event, Json, Judgement, Promotion, Release, Rest, Rollout, Scored
from tasks import rollouts
from tasks.opened import Opened, plain
from tests.releases import DATA, small_project, small_version, write_small_bundle

FORK = multiprocessing.get_context("fork")
START = datetime(2026, 1, 1, tzinfo=UTC)
STEPS = [{"share": 0.1, "bake_min": 10}, {"share": 0.5, "bake_min": 20}]


class Killed(BaseException):
    """Stands for kill -9: no handler of ours sees it."""


def killed_at(kill: int, after: bool) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Wraps effects; at that one of them, counted from 0, or after it, comes the kill."""
    effects = itertools.count()

    def dying(effect: Callable[..., Any]) -> Callable[..., Any]:
        def done(*args: Any, **kwargs: Any) -> Any:
            place = next(effects)
            if place == kill and not after:
                raise Killed
            made = effect(*args, **kwargs)
            if place == kill:
                raise Killed
            return made

        return done

    return dying


class Log:
    """A request log in memory: each arm's entities, `bad` of the challenger's with an error."""

    def __init__(self, bad: int = 0, n: int = 60) -> None:
        self.bad, self.n = bad, n

    def events(self, generation: int) -> Iterator[Event]:
        for now in range(generation, generation + 3):
            for place in range(self.n):
                yield Event(f"{now} x{place}", "challenger", now * 1e4 + place, now, place < self.bad, 5.0, 0.5)
                yield Event(f"{now} y{place}", "champion", now * 1e4 + place, now, False, 5.0, 0.5)


def project(**said: Any) -> Project:
    policy = {"strategy": "canary", "steps": STEPS, "timeout_min": 60, "bake_min": 50, "cooldown_min": 90, "judge": {"entities": 20}}
    return small_project().model_copy(update={"rollout": type(small_project().rollout).model_validate(policy | said)})


def opened(**said: Any) -> Opened:
    stores = Stores()
    return Opened(stores, project(**said), Ledger(stores))


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    folder = tmp_path_factory.mktemp("bundles")
    return [(folder / str(seed), write_small_bundle(folder / str(seed), seed)) for seed in (1, 2, 3)]


@pytest.fixture
def exported(bundles: list[tuple[Path, str]]) -> list[Release]:
    """Three promoted versions as releases; the first one answers. All on record."""
    now = opened()
    made = []
    for version, (path, sha256) in enumerate(bundles, start=1):
        registered = small_version(version, sha256)
        promotion = plain(Promotion(registered, rollouts.Decision.accept("")))
        now.ledger.record("small", "promote", {"version": version}, "accept", "", promotion, START, "me")
        made.append(releases.export(now.stores, now.config, registered, path))
    first = traffic.switch(now.stores, now.config, made[0], 0, "the first")
    inputs: dict[str, Json] = {"version": 1, "generation": first.generation}
    now.ledger.record("small", "deploy", inputs, "accept", "", plain(first), START, "me")
    return made


def begin(release: Release, at: datetime = START, by_hand: bool = False, **said: Any) -> Rollout:
    now = opened(**said)
    rollouts.begin.fn(now, release, by_hand, Log(), at)
    rollouts.settle(now)
    found = traffic.read(now.stores, "small")
    assert found is not None
    return found


def look(minutes: float, bad: int = 0, **said: Any) -> Any:
    return rollouts.look.fn(opened(**said), Log(bad), START + timedelta(minutes=minutes))


def on_record() -> list[tuple[Any, ...]]:
    entries = [e for e in Ledger(Stores()).entries("small") if e.decision not in ("promote", "ingest")]
    return [(e.decision, e.outcome, e.inputs["generation"], e.facts["champion"]["version"], e.reason) for e in entries]


def policy_bytes() -> bytes:
    return (Stores().var / "releases" / "small" / "policy.json").read_bytes()


def test_a_canary_goes_its_way_and_every_step_is_on_record(exported: list[Release]) -> None:
    begin(exported[1])
    assert not look(5).moved
    assert look(10).rollout.trial.stages[-1].weight_bp == 5000
    assert not look(20).moved
    assert look(30).rollout.champion == exported[1]
    assert not look(40).moved
    assert [row[:4] for row in on_record()] == [
        ("deploy", "accept", 1, 1),
        ("rollout", "accept", 2, 1),
        ("rollout", "accept", 3, 1),
        ("rollout", "accept", 4, 2),
    ]


def test_harm_takes_it_back_at_the_next_look_and_the_ledger_says_why(exported: list[Release]) -> None:
    begin(exported[1])
    looked = look(1, bad=20)
    assert (looked.moved, looked.judgement.health, looked.rollout.champion) == (True, "harmful", exported[0])
    assert on_record()[-1][:4] == ("rollout", "refuse", 3, 1)
    assert "v2 harms: error: 60 of 60 entities count against the challenger" in on_record()[-1][4]
    assert not rollouts.allowed(opened(), exported[1], False, START + timedelta(days=9))


def run_through(bad_at_the_end: bool) -> list[Callable[[], Any]]:
    stages: list[Callable[[], Any]] = [lambda: look(10), lambda: look(30, bad=20 if bad_at_the_end else 0), lambda: look(31)]
    return stages


@pytest.mark.parametrize("bad", [False, True], ids=["promoted", "taken back"])
@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("kill", range(5))
def test_killed_between_any_two_effects_the_next_look_goes_on(
    exported: list[Release], monkeypatch: pytest.MonkeyPatch, kill: int, after: bool, bad: bool
) -> None:
    dying = killed_at(kill, after)
    begin(exported[1])
    seen = [traffic.read(Stores(), "small")]
    with monkeypatch.context() as patched:
        patched.setattr(traffic, "write_atomically", dying(traffic.write_atomically))
        patched.setattr(Ledger, "record", dying(Ledger.record))
        for stage in run_through(bad):
            try:
                stage()
            except Killed:
                seen.append(traffic.read(Stores(), "small"))
                stage()
            seen.append(traffic.read(Stores(), "small"))
    generations = [now.generation for now in seen if now]
    assert len(generations) == len(seen), "somebody answers at every moment"
    assert generations == sorted(generations)
    assert [row[:4] for row in on_record()] == [
        ("deploy", "accept", 1, 1),
        ("rollout", "accept", 2, 1),
        ("rollout", "accept", 3, 1),
        ("rollout", "refuse", 4, 1) if bad else ("rollout", "accept", 4, 2),
    ]
    assert seen[-1] is not None
    assert (seen[-1].generation, seen[-1].trial, seen[-1].champion) == (4, None, exported[0 if bad else 1])
    Ledger(Stores()).verify()


def _die_in(minutes: float, where: str) -> None:
    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    releases.load = lambda *_: None  # type: ignore[assignment,return-value]
    if where == "policy":
        os.replace = die  # type: ignore[assignment]
    else:
        Ledger.record = die  # type: ignore[assignment,method-assign]
    look(minutes)


@pytest.mark.parametrize("where", ["policy", "ledger"])
def test_a_look_that_was_really_killed_is_done_again(exported: list[Release], where: str) -> None:
    begin(exported[1])
    victim = FORK.Process(target=_die_in, args=(10, where))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL
    assert look(10).rollout.generation == 3
    assert [row[:3] for row in on_record()][-1] == ("rollout", "accept", 3)


def _look_at_once(minutes: float, bad: int) -> tuple[bool, int]:
    releases.load = lambda *_: None  # type: ignore[assignment,return-value]
    looked = look(minutes, bad)
    return looked.moved, looked.rollout.generation


def test_of_two_controllers_at_once_one_wins(exported: list[Release]) -> None:
    begin(exported[1])
    with FORK.Pool(4) as pool:
        looked = pool.starmap(_look_at_once, [(10, 0)] * 4, chunksize=1)
    assert {generation for _, generation in looked} == {3}, "nobody went two steps"
    assert [row[:3] for row in on_record()][-1] == ("rollout", "accept", 3)
    assert len(on_record()) == 3


def test_a_look_that_was_overtaken_changes_nothing(exported: list[Release], monkeypatch: pytest.MonkeyPatch) -> None:
    """A verdict of harm that comes after somebody widened the share is of the old share: the next look judges anew."""
    begin(exported[1])
    real = rollouts.judged

    def slow(*args: Any) -> Any:
        with monkeypatch.context() as patched:
            patched.setattr(rollouts, "judged", real)
            look(10)
        return real(*args)

    monkeypatch.setattr(rollouts, "judged", slow)
    late = look(11, bad=20)
    assert late.rollout.generation == 3
    assert late.rollout.trial is not None


def test_a_pin_ends_a_trial_and_holds_against_everything_but_a_person(exported: list[Release]) -> None:
    begin(exported[1])
    now = rollouts.pin.fn(opened(), exported[0], "audit")
    assert (now.champion, now.trial, now.pin and now.pin.reason) == (exported[0], None, "audit")
    before = policy_bytes()
    assert not look(10).moved
    assert not rollouts.allowed(opened(), exported[2], True)
    begin(exported[2], by_hand=True)
    rollouts.pin.fn(opened(), exported[0], "audit")
    assert policy_bytes() == before
    assert rollouts.unpin.fn(opened(), "done").pin is None
    rollouts.unpin.fn(opened(), "done")
    assert [row[:3] for row in on_record()][-2:] == [("pin", "accept", 3), ("unpin", "accept", 4)]
    assert begin(exported[2]).trial is not None


def test_before_the_first_deployment_nobody_is_let_go_held_or_looked_at() -> None:
    for act in (lambda: rollouts.unpin.fn(opened(), "done"), lambda: rollouts.look.fn(opened(), Log())):
        with pytest.raises(NobodyAnswers, match="nobody answers for small yet: pillars deploy small comes first"):
            act()


@pytest.mark.parametrize("kill", ["pin", "unpin"])
def test_a_pin_that_was_killed_is_on_record_as_one(exported: list[Release], monkeypatch: pytest.MonkeyPatch, kill: str) -> None:
    def die(*_: object, **__: object) -> None:
        raise Killed

    if kill == "unpin":
        rollouts.pin.fn(opened(), exported[1], "why")
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "record", die)
        with pytest.raises(Killed):
            rollouts.pin.fn(opened(), exported[1], "why") if kill == "pin" else rollouts.unpin.fn(opened(), "why")
    look(1)
    assert on_record()[-1][0] == kill


def test_a_rollback_by_hand_takes_what_is_on_trial_back_first(exported: list[Release]) -> None:
    begin(exported[1])
    back = roll_back(Stores(), "small", "I do not like it")
    assert (back.champion, back.trial, back.generation) == (exported[0], None, 3)


def test_a_champion_that_loads_no_more_is_no_place_to_go_back_to(exported: list[Release]) -> None:
    begin(exported[1], strategy="blue-green", judge={"entities": 20, "ceilings": {"error": 0.01}})
    while look(61, strategy="blue-green").moved:
        pass
    begin(exported[2], at=START + timedelta(days=3))
    booster = Stores().var / exported[1].path / "booster-0.ubj"
    booster.write_bytes(booster.read_bytes()[:-1])
    looked = look(3 * 24 * 60 + 1, bad=20)
    assert (looked.judgement.health, looked.rollout.champion) == ("harmful", exported[0])


def test_a_challenger_whose_files_rot_is_taken_back_however_well_it_does(exported: list[Release]) -> None:
    """The server may hold it in memory, and nothing could start it again; every later look would fail."""
    begin(exported[1])
    booster = Stores().var / exported[1].path / "booster-0.ubj"
    whole = booster.read_bytes()
    booster.write_bytes(whole[:-1])
    looked = look(10)
    assert (looked.moved, looked.rollout.champion, looked.rollout.trial) == (True, exported[0], None)
    assert on_record()[-1][:4] == ("rollout", "inconclusive", 3, 1)
    assert "v2 loads no more: booster-0.ubj was changed" in on_record()[-1][4]
    booster.write_bytes(whole)
    assert rollouts.allowed(opened(), exported[1], False, START + timedelta(days=9)), "it did no harm: mended, it may be tried again"


def test_what_the_server_routes_by_is_what_the_trial_says(exported: list[Release]) -> None:
    begin(exported[1])
    content = json.loads(policy_bytes())
    assert content["challenger"] == {**asdict(exported[1]), "weight_bp": 1000}
    assert content["salt"] == content["trial"]["salt"]
    file = Stores().var / "releases" / "small" / "policy.json"
    file.write_text(json.dumps({**content, "challenger": {**content["challenger"], "weight_bp": 9000}}))
    with pytest.raises(StoreUnavailable, match="what it routes by is not what its trial says"):
        look(10)


def test_a_shadow_answers_nobody(exported: list[Release]) -> None:
    begin(exported[1], strategy="shadow")
    content = json.loads(policy_bytes())
    assert ("challenger" in content, content["shadow"]["version"]) == (False, 2)


def test_a_challenger_that_was_never_promoted_is_not_believed(exported: list[Release]) -> None:
    now = begin(exported[1])
    file = Stores().var / "releases" / "small" / "policy.json"
    content = json.loads(policy_bytes())
    for part in ("challenger",):
        content[part]["version"] = content["trial"][part]["version"] = 9
    file.write_text(json.dumps({**content, "generation": now.generation + 1}))
    with pytest.raises(StoreUnavailable, match="was edited"):
        look(10)


def test_a_policy_without_a_trial_is_the_file_it_always_was(exported: list[Release]) -> None:
    assert set(json.loads(policy_bytes())) == {"format", "project", "generation", "champion", "previous", "strategy", "reason"}


def test_rollouts_come_back_from_the_file_as_they_were(exported: list[Release]) -> None:
    now = begin(exported[1])
    now = replace(now, pin=None)
    assert traffic._from_json({k: v for k, v in json.loads(policy_bytes()).items() if k != "format"}) == now


SERVED = {
    "id": "r-0",
    "at_us": 1_700_000_000_000_000,
    "trace": None,
    "version": 2,
    "sha256": "22",
    "generation": 4,
    "arm": "challenger",
    "bucket": 17,
    "took_us": 2500,
    "inputs": {"at": "2013"},
    "outputs": {"score": 0.25, "decision": False},
}


@pytest.mark.parametrize(
    ("entity", "change", "who"),
    [
        pytest.param(("at",), {}, "2013", id="by its columns"),
        pytest.param(("carrier",), {}, "bucket 17", id="by its bucket"),
        pytest.param(("carrier",), {"bucket": None}, "r-0", id="by its request"),
    ],
)
def test_the_servers_log_is_evidence(entity: tuple[str, ...], change: dict[str, Any], who: str) -> None:
    folder = Stores().folder("served", "small", "log")
    lines = [{"model": 2, "columns": []}, SERVED | change, SERVED | {"generation": 3}, SERVED | {"took_us": "long"}]
    (folder / "1.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + "not json\n" + json.dumps(SERVED)[:-9])
    log = Logged(Stores(), "small", entity)
    assert list(log.events(4)) == [Event(who, "challenger", 1.7e9, 4, False, 2.5, 0.25, None)]
    assert log.unreadable == 2


def test_the_alias_follows_who_answers_and_not_who_was_refused(exported: list[Release]) -> None:
    """A promotion makes its version champion on record; a deployment that is refused takes that back."""
    begin(exported[1])
    look(10)
    assert opened().past.champions() == [1, 3, 2, 1], "the steps of a trial add nobody"
    held = rollouts.pin.fn(opened(), exported[0], "audit")
    promotion = plain(Promotion(small_version(4, "4" * 64), rollouts.Decision.accept("")))
    now = opened()
    now.ledger.record("small", "promote", {"version": 4}, "accept", "", promotion, START, "me")
    assert now.past.champion() == 4
    inputs: dict[str, Json] = {"version": 4, "sha256": "4" * 64, "generation": held.generation}
    now.ledger.record("small", "deploy", inputs, "refuse", "", plain(held), START, "me")
    assert not rollouts.allowed(now, replace(exported[2], sha256="4" * 64), by_hand=False)
    assert now.past.champion() == 1


def begin_by_the_rows(release: Release, **said: Any) -> Rollout:
    return begin(release, at=datetime(2013, 3, 1), **said)


def request(generation: int, at: datetime, n: int = 60) -> list[Event]:
    return [
        Event(f"{arm}{place}", arm, at.timestamp() + place, generation, False, 5.0, 0.5)
        for arm in ("challenger", "champion")
        for place in range(n)
    ]


class Requests:
    """What a server logged."""

    def __init__(self, *events: Event) -> None:
        self.all = events

    def events(self, generation: int) -> Iterator[Event]:
        return (event for event in self.all if event.generation >= generation)


def test_a_trial_of_a_replay_waits_for_its_first_request_however_long_ago_its_rows_were(exported: list[Release]) -> None:
    """The rows are of 2013, the wall clock says 2026: neither watched for years, nor timed out."""
    now = begin_by_the_rows(exported[1])
    assert not rollouts.look.fn(opened(), Requests(), START).moved
    log = Requests(*request(now.generation, START))
    assert not rollouts.look.fn(opened(), log, START + timedelta(minutes=9)).moved
    moved = rollouts.look.fn(opened(), log, START + timedelta(minutes=10)).rollout
    assert moved.trial is not None
    assert [stage.weight_bp for stage in moved.trial.stages] == [1000, 5000]
    assert [stage.since for stage in moved.trial.stages] == ["2026-01-01T00:00:00+00:00", "2026-01-01T00:10:00+00:00"]
    assert "without a verdict" in rollouts.look.fn(opened(), log, START + timedelta(minutes=80)).rollout.reason


def scored(start: Rollout, harm: bool = False) -> Scored:
    """A period in which the trial went to its second share, and to its end or back."""
    policy, at = project().rollout, datetime(2013, 3, 2)
    moves, now = list[Rollout](), start
    for health in ("healthy", "harmful" if harm else "healthy"):
        after = rollout.advanced(policy, now, Judgement(health, "so it is"), at)  # type: ignore[arg-type]
        now = replace(after, generation=now.generation + 1)
        moves.append(now)
    return Scored("small", "2013-03", 1, "data", 9, "p", "s", moves=tuple(moves))


@pytest.mark.parametrize("harm", [False, True], ids=["promoted", "taken back"])
def test_the_traffic_moves_as_it_was_played_once(exported: list[Release], harm: bool) -> None:
    made = scored(begin_by_the_rows(exported[1]), harm)
    for _ in range(2):
        now = rollouts.carry_out.fn(opened(), made)
        assert now == made.moves[-1]
    assert [row[:4] for row in on_record()] == [
        ("deploy", "accept", 1, 1),
        ("rollout", "accept", 2, 1),
        ("rollout", "accept", 3, 1),
        ("rollout", "refuse", 4, 1) if harm else ("rollout", "accept", 4, 2),
    ]


@pytest.mark.parametrize("after", [False, True], ids=["before the effect", "after the effect"])
@pytest.mark.parametrize("kill", range(4))
def test_killed_between_any_two_moves_the_rest_is_done_by_the_next(
    exported: list[Release], monkeypatch: pytest.MonkeyPatch, kill: int, after: bool
) -> None:
    made, dying = scored(begin_by_the_rows(exported[1])), killed_at(kill, after)
    with monkeypatch.context() as patched:
        patched.setattr(traffic, "write_atomically", dying(traffic.write_atomically))
        patched.setattr(Ledger, "record", dying(Ledger.record))
        with pytest.raises(Killed):
            rollouts.carry_out.fn(opened(), made)
    assert rollouts.carry_out.fn(opened(), made) == made.moves[-1]
    assert [row[2] for row in on_record()] == [1, 2, 3, 4]
    Ledger(Stores()).verify()


def test_what_a_person_decided_meanwhile_holds_against_what_was_played(exported: list[Release]) -> None:
    made = scored(begin_by_the_rows(exported[1]))
    rollouts.pin.fn(opened(), exported[0], "audit")
    now = rollouts.carry_out.fn(opened(), made)
    assert now is not None
    assert (now.champion, now.trial, now.generation) == (exported[0], None, 3)


def test_a_revert_is_done_once_and_neither_over_a_pin_nor_at_rest(exported: list[Release]) -> None:
    made = scored(begin_by_the_rows(exported[1]))
    rollouts.carry_out.fn(opened(), made)
    period = plain(Batch("small", "2013-03", rollouts.Decision.accept(""), 9, 0, 9, DATA))
    opened().ledger.record("small", "ingest", {"period": "2013-03"}, "accept", "", period, START, "me")
    now = opened().answering()
    assert now is not None
    rested = replace(now, rest=Rest("2013-04-01T00:01:00"))
    assert rollouts.revert(opened(), rested, "worse") is None, "a minute of rest is left when March is over"
    back = rollouts.revert(opened(), now, "worse")
    assert back is not None
    assert (back.champion, back.rest and back.rest.until) == (exported[0], "2013-04-01T01:30:00")
    assert on_record()[-1][:2] == ("rollout", "refuse")
    before = policy_bytes()
    assert rollouts.revert(opened(), now, "worse still") is None, "somebody else was first"
    assert policy_bytes() == before
    assert not rollouts.allowed(opened(), exported[1], by_hand=False)
    assert "nothing by itself before 2013-04-01" in rollouts.allowed(opened(), exported[2], by_hand=False).reason


def test_rows_of_moves_that_were_never_made_are_no_evidence(exported: list[Release]) -> None:
    """They name a champion that never was one."""
    made = scored(begin_by_the_rows(exported[1]))
    first, second = (move.generation for move in made.moves)
    at = pa.array([datetime(2013, 3, day) for day in (1, 2, 3)], pa.timestamp("us"))
    said = {"score": [0.5] * 3, "decision": [True] * 3, "model_version": [1] * 3, "champion": [1] * 3}
    table, now = pa.table({"at": at, **said, "generation": [first - 1, first, second]}), opened()
    kept = scoring.keep(now.stores, "small", "2013-03", 1, "data", scoring.made([table]))
    facts = plain(replace(kept, moves=made.moves))
    now.ledger.record("small", "score", {"period": "2013-03"}, "accept", "", facts, START, "me")
    log = Everything(now.stores, now.config, now.ledger)
    assert len(list(log.events(0))) == 3, "nobody decided otherwise"
    rollouts.pin.fn(opened(), exported[0], "audit")
    assert len(list(log.events(0))) == 1
