"""A period played through a trial: rows asked in the order of their times, looks that decide for the rows after them, no outcomes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from pillars.answers.trials import judged, report
from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.deployment import batches, rollout
from pillars.deployment.played import LOOKS, Played, play
from pillars.deployment.scoring import Beside, answers, predictions
from pillars.vocabulary import Event, Release, Rest, Rollout
from tests.releases import small_columns, small_project

OLD, NEW = (Release("small", n, str(n) * 64, f"releases/small/v{n}") for n in (1, 2))
ROWS, HOUR = 8_000, 3_600
START = datetime(2013, 3, 1)
STEPS = [{"share": 0.2, "bake_min": 1440}, {"share": 0.5, "bake_min": 1440}]


class Log:
    """What was known before."""

    def __init__(self, *known: Event) -> None:
        self.known = known

    def events(self, generation: int) -> Iterator[Event]:
        return iter(self.known)


class Broken:
    """A bundle whose scores are no probabilities."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle, self.classes = bundle, bundle.classes

    def predict(self, columns: Any) -> Any:
        said = self.bundle.predict(columns)
        return replace(said, score=np.full_like(said.score, np.nan))


def project(**said: Any) -> Project:
    policy = {"strategy": "canary", "steps": STEPS, "timeout_min": 5000, "bake_min": 1440, "judge": {"entities": 20}}
    small = small_project()
    return small.model_copy(update={"rollout": type(small.rollout).model_validate(policy | said)})


def rows(shuffled: bool = False) -> pa.Table:
    """A month, a row every five minutes or so."""
    seconds = np.arange(ROWS) * 31 * 24 * HOUR // ROWS + int(START.replace(tzinfo=UTC).timestamp())
    if shuffled:
        seconds = np.random.default_rng(3).permutation(seconds)
    return pa.table({"at": pa.array(seconds.astype("datetime64[s]").astype("datetime64[us]"))})


def begun(of: Project, at: datetime = START) -> Rollout:
    now = rollout.begun(of.rollout, Rollout("small", 7, OLD), NEW, at, None, {"score": 0.01})
    return replace(now, generation=8)


def played(
    bundles: list[Any], of: Project | None = None, now: Rollout | None = None, table: pa.Table | None = None, log: Any = None
) -> Played:
    of, table = of or project(), rows() if table is None else table
    now = now or begun(of)
    beside = Beside(bundles[1], ("at",), ("at",))
    said = answers(small_columns(table.num_rows, seed=9), bundles[0], now, beside)
    return play(of, now, table, said, beside, "data", ["at"], log or Log(), partial(judged, of), partial(report, of))


def shares(done: Played) -> list[tuple[int, int, float]]:
    """Generation, champion, share of the newer version, in the order of their rows' times."""
    table = done.predictions.sort_by("at").to_pandas()
    found = table.groupby("generation", sort=False)
    return [(g, int(part.champion.iloc[0]), round(float((part.model_version == 2).mean()), 1)) for g, part in found]


def test_a_release_goes_through_its_steps_within_the_period_and_answers_the_rest(bundles: list[Bundle]) -> None:
    done = played(bundles)
    assert shares(done) == [(8, 1, 0.2), (9, 1, 0.5), (10, 2, 1.0)]
    (first, _), (last, arms) = done.moves
    assert [first.generation, last.generation] == [9, 10]
    assert first.trial is not None
    assert (first.trial.stages[-1].weight_bp, first.trial.stages[-1].since[:7]) == (5000, "2013-03"), (
        "the rows' own time, without an offset"
    )
    assert "+" not in first.trial.stages[-1].since
    assert (last.champion, last.previous, last.trial) == (NEW, (OLD,), None)
    assert [arm.arm for arm in arms.arms] == ["champion", "challenger"]
    days = done.predictions.filter(pa.compute.equal(done.predictions["generation"], 8)).num_rows / ROWS * 31
    assert 1 <= days < 2, "a day was asked for, and a look comes every hundredth of the period"


def test_every_row_has_the_answer_of_who_answered_it_in_its_own_place(bundles: list[Bundle]) -> None:
    table = rows(shuffled=True)
    made = played(bundles, table=table).predictions
    assert made["at"].equals(table["at"])
    columns = small_columns(ROWS, seed=9)
    alone = [bundle.predict(columns) for bundle in bundles]
    by = made["model_version"].to_numpy() - 1
    assert np.array_equal(made["score"].to_numpy(), np.choose(by, [said.score for said in alone]))
    assert np.array_equal(made["decision"].to_numpy(), np.choose(by, [said.decision for said in alone]))
    assert np.array_equal(played(bundles, table=table).predictions["score"].to_numpy(), made["score"].to_numpy()), "and the same again"


def test_an_entity_keeps_its_arm_while_the_share_grows(bundles: list[Bundle]) -> None:
    table = rows()
    made = played(bundles, table=table).predictions
    of = project()
    first = begun(of)
    assert first.trial is not None
    all_by_the_first = predictions(
        table, small_columns(ROWS, seed=9), bundles[0], first, "data", ["at"], Beside(bundles[1], ("at",), ("at",))
    )
    its = all_by_the_first["model_version"].to_numpy() == 2
    assert (made["model_version"].to_numpy()[its] == 2).all()


def test_what_harms_is_taken_back_at_the_next_look_and_the_rest_is_the_champions(bundles: list[Any]) -> None:
    done = played([bundles[0], Broken(bundles[1])])
    ((back, _),) = done.moves
    assert (back.champion, back.trial, back.rest) == (OLD, None, Rest(back.rest.until, (NEW.sha256,)) if back.rest else None)
    assert "v2 harms: score" in back.reason
    assert back.rest is not None
    assert back.rest.until.startswith("2013-03-02"), "a day later, by the rows' clock"
    found = shares(done)
    assert found[-1] == (9, 1, 0.0)
    harmed = int((done.predictions["model_version"].to_numpy() == 2).sum())
    assert 0 < harmed <= 2 * ROWS // LOOKS


def test_a_trial_that_nobody_can_judge_is_taken_back_when_its_time_is_over(bundles: list[Bundle]) -> None:
    ((back, _),) = played(bundles, project(judge={"entities": 100_000})).moves
    assert "v2 without a verdict for 5000 minutes" in back.reason
    assert (back.champion, back.rest and back.rest.harmed) == (OLD, ())


def test_one_that_does_not_load_answers_nobody(bundles: list[Any]) -> None:
    of, table = project(), rows()
    beside = Beside(None, ("at",), ("at",))
    said = answers(small_columns(ROWS, seed=9), bundles[0], begun(of), beside)
    done = play(of, begun(of), table, said, beside, "data", ["at"], Log(), partial(judged, of), partial(report, of))
    assert set(done.predictions["model_version"].to_pylist()) == {1}
    assert done.moves[-1][0].champion == OLD


def test_one_that_does_not_load_goes_back_before_the_first_row(bundles: list[Any]) -> None:
    """Nobody it answers can say that it harms, and its time may be longer than a period."""
    of, beside = project(steps=[{"share": 0.2, "bake_min": 60_000}], timeout_min=90_000), Beside(None, ("at",), ("at",))
    said = answers(small_columns(ROWS, seed=9), bundles[0], begun(of), beside)
    done = play(of, begun(of), rows(), said, beside, "data", ["at"], Log(), partial(judged, of), partial(report, of), "v2 loads no more")
    ((back, _),) = done.moves
    assert (back.champion, back.trial, back.generation, back.reason) == (OLD, None, begun(of).generation + 1, "v2 loads no more")
    assert set(done.predictions["generation"].to_pylist()) == {back.generation}


def test_a_longer_trial_goes_on_in_the_next_period(bundles: list[Bundle]) -> None:
    of = project(steps=[{"share": 0.2, "bake_min": 60_000}], timeout_min=90_000)
    assert played(bundles, of).moves == ()
    earlier = played(bundles, of).predictions
    known = list(batches.events(of, earlier, None))
    april = pa.table({"at": pa.compute.add(rows()["at"], pa.scalar(31 * 24 * HOUR * 1_000_000, pa.duration("us")))})
    ((end, _),) = played(bundles, of, table=april, log=Log(*known)).moves
    assert end.champion == NEW
    assert 10 < played(bundles, of, table=april, log=Log(*known)).predictions["champion"].to_pylist().count(1) * 31 / ROWS < 12


@pytest.mark.parametrize("mode", ["shadow", "blue-green", "ab"])
def test_each_strategy_plays(bundles: list[Bundle], mode: str) -> None:
    done = played(bundles, project(strategy=mode))
    end = done.moves[-1][0]
    assert end.trial is None
    assert end.champion == (OLD if mode == "ab" else NEW)
    made = done.predictions
    before = made["generation"].to_numpy() == 8
    by = made["model_version"].to_numpy()
    assert set(by[before]) == {"shadow": {1}, "blue-green": {2}, "ab": {1, 2}}[mode]
    assert set(by[~before]) == {end.champion.version}
    if mode == "shadow":
        assert made["shadow_score"].is_null().to_numpy(zero_copy_only=False).tolist() == (~before).tolist()
        assert sum(event.arm == "shadow" for event in batches.events(project(), made, None)) == before.sum()


def test_a_trial_that_began_by_the_wall_clock_is_watched_from_the_first_row_on(bundles: list[Bundle]) -> None:
    of = project()
    late = begun(of, datetime(2026, 1, 1, tzinfo=UTC))
    assert shares(played(bundles, of, late)) == shares(played(bundles, of))


def test_a_period_without_rows_moves_nothing(bundles: list[Bundle]) -> None:
    of, table = project(), rows().slice(0, 0)
    beside = Beside(bundles[1], ("at",), ("at",))
    said = {v: {n: c.slice(0, 0) for n, c in one.items()} for v, one in answers(small_columns(9), bundles[0], begun(of), beside).items()}
    done = play(of, begun(of), table, said, beside, "data", ["at"], Log(), partial(judged, of), partial(report, of))
    assert (done.predictions.num_rows, done.moves) == (0, ())
