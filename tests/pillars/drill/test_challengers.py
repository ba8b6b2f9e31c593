"""Challengers made of a champion, and the outcomes they are judged by."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from pillars.bundle.bundle import Bundle
from pillars.bundle.golden import from_json
from pillars.config import Project
from pillars.drill import altering, outcomes, place
from pillars.drill.outcomes import Labelled, Source, Truth, client, truth_of
from pillars.errors import UnknownName
from pillars.stores import Stores
from tests import drilled
from tests.pillars.deployment.server.world import write_release


@pytest.fixture(scope="module")
def champion(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    var = tmp_path_factory.mktemp("champion")
    return Bundle.load(var / write_release(var, 1, calibration={"kind": "none"}).path)


def said(bundle: Bundle, of: Bundle) -> np.ndarray:
    return bundle.scores(from_json(of.golden["columns"]))


def test_the_same_again_says_the_same_and_is_another(champion: Bundle, tmp_path: Path) -> None:
    named = [altering.again(champion, tmp_path / str(n), n) for n in (1, 2)]
    made = [Bundle.load(tmp_path / str(n)).held_to(name) for n, name in enumerate(named, start=1)]
    assert len({champion.identity, *(one.identity for one in made)}) == 3
    assert all(np.array_equal(said(one, champion), said(champion, champion)) for one in made)
    made[0].check_golden()


def test_the_opposite_is_wrong_where_the_champion_is_right(champion: Bundle, tmp_path: Path) -> None:
    altering.wrong(champion, tmp_path / "made", 1)
    made, columns = Bundle.load(tmp_path / "made"), from_json(champion.golden["columns"])
    made.check_golden()
    assert np.corrcoef(said(made, champion), said(champion, champion))[0, 1] < -0.9
    mine, other = champion.predict(columns).decision, made.predict(columns).decision
    assert mine is not None
    assert other is not None
    assert (mine != other).mean() > 0.5
    assert altering.to_tell(champion, made) < altering.MOST < altering.to_tell(champion, champion)


def test_a_model_of_another_unit_says_of_metres_what_the_champion_says_of_kilometres(champion: Bundle, tmp_path: Path) -> None:
    altering.in_another_unit(champion, tmp_path / "made", 1, "distance", 1000.0)
    made, columns = Bundle.load(tmp_path / "made"), from_json(champion.golden["columns"])
    metres = {**columns, "distance": columns["distance"] * 1000}
    assert np.array_equal(made.scores(metres), champion.scores(columns))
    assert not np.array_equal(made.scores(columns), champion.scores(columns))


def test_the_unit_that_is_changed_is_one_that_counts(champion: Bundle) -> None:
    found = altering.unit(champion)
    assert found is not None
    columns = from_json(champion.golden["columns"])
    changed = {**columns, found.column: columns[found.column] / found.factor}
    assert altering.wrong_share(champion, columns, changed) > altering.wrong_share(champion, columns, columns)


def test_what_differs_little_takes_many_to_tell() -> None:
    assert altering.needed(0.3, 0.7) < 200
    assert 1_000 < altering.needed(0.334, 0.459) < altering.MOST
    assert altering.needed(0.3, 0.31) > altering.MOST
    assert altering.needed(0.3, 0.3) > altering.MOST
    assert altering.needed(0.0, 0.5) < 60


def test_outcomes_come_as_often_as_the_champion_says() -> None:
    truth = Truth(("a", "b", "c"), ((0.2, 0.5, 0.3), (1.0, 0.0, 0.0)))
    found = [truth.of(client(2 * n)) for n in range(4_000)]
    assert [round(found.count(name) / len(found), 1) for name in "abc"] == [0.2, 0.5, 0.3]
    assert {truth.of(client(2 * n + 1)) for n in range(50)} == {"a"}
    assert {truth.of(client(1), flipped=True)} == {"b"}
    assert truth.of(client(8)) == truth.of(client(8))


def test_of_several_classes_and_of_numbers(champion: Bundle) -> None:
    assert truth_of(champion) == Truth((False, True), tuple((1 - p, p) for p in said(champion, champion).tolist()))


def test_evidence_has_outcomes_once_they_come_and_as_they_come(tmp_path: Path) -> None:
    stores = Stores(var=tmp_path)
    line = {"id": "r-0", "at_us": 10_000_000, "arm": "challenger", "generation": 4, "bucket": 7, "took_us": 9, "version": 2, "trace": ""}
    rows = [line | {"inputs": {outcomes.CLIENT: client(n)}, "outputs": {"score": 0.5, "decision": True}} for n in (0, 1)]
    rows.append(line | {"generation": 3, "inputs": {outcomes.CLIENT: client(2)}, "outputs": {"score": 0.5, "decision": True}})
    rows.append(line | {"inputs": {outcomes.CLIENT: client(3)}, "outputs": {}, "error": True})
    folder = stores.folder("served", "small", "log")
    (folder / "1.jsonl").write_text("".join(json.dumps(row, separators=(",", ":")) + "\n" for row in rows))
    truth, source, now = Truth((False, True), ((0.0, 1.0), (1.0, 0.0))), [Source()], [10.5]
    log = Labelled(stores, "small", truth, lambda: source[0], lambda: now[0])
    assert [event.wrong for event in log.events(4)] == [False, True, None]
    source[0] = Source(flipped=True)
    assert [event.wrong for event in log.events(4)] == [True, False, None]
    source[0] = Source(after_s=1.0)
    assert [event.wrong for event in log.events(4)] == [None, None, None]
    now[0] = 11.5
    assert outcomes.known(list(log.events(4))) == (2, 1)
    assert len(list(log.events(0))) == 4


def test_a_place_is_a_copy_with_a_record_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says of the user's own ledger."""
    of = drilled.deployed(tmp_path / "project")
    monkeypatch.setenv("PILLARS_LEDGER_URI", "postgresql://nobody@localhost:1/none")
    monkeypatch.setenv("PILLARS_MLFLOW_URI", "http://localhost:1")
    before = {path: path.read_bytes() for path in of.root.rglob("*") if path.is_file()}
    made = place.make(tmp_path / "played", of, drilled.project(), place.champion(of, drilled.project()), "canary")
    assert {path: path.read_bytes() for path in of.root.rglob("*") if path.is_file()} == before
    assert (made.home.version, made.stores.mlflow_uri) == (7, "")
    assert made.ledger().verify() == 2
    challenger = made.challenger(altering.again, 1)
    assert challenger.version == 8
    assert made.project.rollout.entity == outcomes.CLIENT
    assert made.rows[1].keys() == {"distance", "seats", "booked", "carrier"}


def test_a_drill_needs_somebody_who_answers(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="pillars deploy, makes one"):
        place.champion(Stores(root=tmp_path, var=tmp_path / "var"), drilled.project())


def test_columns_that_name_an_entity_make_way(champion: Bundle) -> None:
    columns = drilled.project().model_dump(mode="json")["columns"] | {"passenger": {"type": "text", "role": ["entity"]}}
    said = Project.model_validate(drilled.project().model_dump(mode="json") | {"columns": columns})
    found = Project.model_validate(place.content(said, champion, "canary"))
    assert found.of("entity") == [outcomes.CLIENT] or tuple(found.of("entity")) == (outcomes.CLIENT,)
