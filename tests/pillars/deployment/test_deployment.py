"""One champion at every moment: releases are whole or absent, switches come one after the other, rollback needs files alone."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pillars.bundle.bundle import Bundle
from pillars.deployment import release as releases
from pillars.deployment import traffic
from pillars.deployment.rollback import roll_back
from pillars.deployment.scoring import keep, predicted
from pillars.errors import BundleRefused, InputInvalid, Overtaken, PillarsError, StoreUnavailable, UnknownName
from pillars.stores import Stores
from pillars.vocabulary import Release, Rollout, Scored
from tests.releases import small_columns, small_project, small_version, write_small_bundle

FORK = multiprocessing.get_context("fork")  # in its children no bundle is loaded: OpenMP hangs after a fork
PROJECT = small_project(keep=2)


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Path, str]]:
    """Five bundles with other boosters, and their identities."""
    folder = tmp_path_factory.mktemp("bundles")
    return [(folder / str(seed), write_small_bundle(folder / str(seed), seed)) for seed in range(5)]


@pytest.fixture
def stores(tmp_path: Path) -> Stores:
    return Stores(root=tmp_path, var=tmp_path / "var")


Export = Callable[[int], Release]


@pytest.fixture
def export(stores: Stores, bundles: list[tuple[Path, str]]) -> Export:
    """Export version 1 to 5."""
    return lambda version: releases.export(stores, PROJECT, small_version(version, bundles[version - 1][1]), bundles[version - 1][0])


def deploy(stores: Stores, release: Release) -> Rollout:
    now = traffic.read(stores, "small")
    return traffic.switch(stores, PROJECT, release, now.generation if now else 0, f"v{release.version} is better")


def corrupt(stores: Stores, release: Release) -> None:
    booster = stores.var / release.path / "booster-0.ubj"
    content = bytearray(booster.read_bytes())
    content[len(content) // 2] ^= 1
    booster.write_bytes(content)


def on_disk(stores: Stores) -> list[str]:
    return sorted(p.name.partition("-")[0] for p in (stores.var / "releases" / "small").iterdir() if p.is_dir())


def policy_bytes(stores: Stores) -> bytes:
    return (stores.var / "releases" / "small" / "policy.json").read_bytes()


# ---- release


def test_an_export_is_the_bundle_under_a_name_of_version_and_content(
    stores: Stores, export: Export, bundles: list[tuple[Path, str]]
) -> None:
    release = export(1)
    assert release.path == f"releases/small/v1-{bundles[0][1][:8]}"
    assert releases.load(stores, release).identity == release.sha256 == bundles[0][1]


def test_an_export_repeated_changes_nothing(stores: Stores, export: Export) -> None:
    first = export(1)
    before = {p: p.stat().st_mtime_ns for p in (stores.var / first.path).iterdir()}
    assert export(1) == first
    assert {p: p.stat().st_mtime_ns for p in (stores.var / first.path).iterdir()} == before


def test_an_export_mends_a_release_whose_bytes_changed(stores: Stores, export: Export) -> None:
    corrupt(stores, export(1))
    assert releases.load(stores, export(1))
    assert on_disk(stores) == ["v1"]


def test_a_bundle_that_is_not_the_registered_one_is_refused(stores: Stores, bundles: list[tuple[Path, str]]) -> None:
    with pytest.raises(BundleRefused, match="holds model"):
        releases.export(stores, PROJECT, small_version(1, "0" * 64), bundles[0][0])
    assert on_disk(stores) == []


def test_a_missing_bundle_is_refused(stores: Stores) -> None:
    with pytest.raises(BundleRefused, match=r"nowhere refused: cannot be read \(No such file"):
        releases.export(stores, PROJECT, small_version(1, "0" * 64), stores.var / "nowhere")


def test_a_full_disk_leaves_no_half_release(stores: Stores, export: Export, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_source: Path, target: Path) -> None:
        Path(target).mkdir()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "copytree", full)
        with pytest.raises(StoreUnavailable, match="No space left"):
            export(1)
    assert releases.load(stores, export(1))
    assert on_disk(stores) == ["v1"]


# ---- traffic


def test_nobody_answers_before_the_first_switch(stores: Stores) -> None:
    assert traffic.read(stores, "small") is None


def test_a_switch_is_read_back_and_remembers_who_answered(stores: Stores, export: Export) -> None:
    one, two = export(1), export(2)
    assert deploy(stores, one) == Rollout("small", 1, one, (), "direct", "v1 is better")
    second = deploy(stores, two)
    assert (second.generation, second.champion, second.previous) == (2, two, (one,))
    assert traffic.read(stores, "small") == second


def test_a_switch_repeated_changes_nothing(stores: Stores, export: Export) -> None:
    one = export(1)
    first = traffic.switch(stores, PROJECT, one, 0, "better")
    before = policy_bytes(stores)
    assert traffic.switch(stores, PROJECT, one, 0, "better") == first
    assert policy_bytes(stores) == before


def test_a_switch_that_was_overtaken_changes_nothing(stores: Stores, export: Export) -> None:
    deploy(stores, export(1))
    before = policy_bytes(stores)
    with pytest.raises(Overtaken) as raised:
        traffic.switch(stores, PROJECT, export(2), 0, "late")
    assert (raised.value.expected, raised.value.found) == (0, 1)
    assert policy_bytes(stores) == before


def test_a_release_that_does_not_load_changes_nothing(stores: Stores, export: Export) -> None:
    deploy(stores, export(1))
    two, before = export(2), policy_bytes(stores)
    corrupt(stores, two)
    with pytest.raises(BundleRefused):
        deploy(stores, two)
    assert policy_bytes(stores) == before


def test_releases_beyond_the_kept_ones_are_deleted_but_never_a_later_one(stores: Stores, export: Export) -> None:
    for version in (1, 2, 3):
        deploy(stores, export(version))
    export(5)
    rollout = deploy(stores, export(4))
    assert [r.version for r in rollout.previous] == [3, 2]
    assert on_disk(stores) == ["v2", "v3", "v4", "v5"]


def test_going_back_and_forth_lists_no_release_twice(stores: Stores, export: Export) -> None:
    one, two = export(1), export(2)
    for release in (one, two, one, two):
        rollout = deploy(stores, release)
    assert (rollout.generation, rollout.champion, rollout.previous) == (4, two, (one,))


@pytest.mark.parametrize(
    "content", [pytest.param(b"", id="empty"), pytest.param(b'{"format": 2}', id="later"), pytest.param(b"[1]", id="no-policy")]
)
def test_a_policy_that_cannot_be_read_says_what_to_do(stores: Stores, export: Export, content: bytes) -> None:
    deploy(stores, export(1))
    (stores.var / "releases" / "small" / "policy.json").write_bytes(content)
    with pytest.raises(StoreUnavailable, match="pillars deploy"):
        traffic.read(stores, "small")
    with pytest.raises(StoreUnavailable):
        traffic.switch(stores, PROJECT, export(1), 1, "")
    assert policy_bytes(stores) == content


def test_after_a_withdrawal_nobody_answers_and_no_generation_comes_twice(stores: Stores, export: Export) -> None:
    one = export(1)
    deploy(stores, one)
    traffic.withdraw(stores, "small")
    traffic.withdraw(stores, "small")
    assert traffic.read(stores, "small") is None
    assert deploy(stores, one).generation == 3


@pytest.mark.parametrize(
    ("change", "held"),
    [
        pytest.param({}, True, id="the one on record"),
        pytest.param({"generation": 3, "reason": "died before it was on record"}, True, id="a switch not yet on record"),
        pytest.param({"reason": "edited"}, False, id="edited"),
        pytest.param({"generation": 1}, False, id="an older one put back"),
        pytest.param({"generation": 3, "champion": Release("small", 9, "9" * 64, "releases/small/v9")}, False, id="never promoted"),
    ],
)
def test_a_policy_is_believed_as_far_as_the_record_bears_it_out(stores: Stores, export: Export, change: dict[str, Any], held: bool) -> None:
    release, promoted = export(1), [small_version(1, export(1).sha256)]
    recorded = Rollout("small", 2, release, (), "direct", "on record")
    assert traffic.believed(replace(recorded, **change), recorded, promoted) is held
    assert traffic.believed(replace(recorded, **change), None, promoted) is ("champion" not in change), "nothing is on record"
    assert not traffic.believed(None, recorded, promoted), "removed"


def test_a_lost_policy_follows_the_one_on_record(stores: Stores, export: Export) -> None:
    recorded = Rollout("small", 7, export(1), (), "direct", "on record")
    now = traffic.switch(stores, small_project(), export(2), 0, "again", instead=recorded)
    assert (now.generation, now.champion, now.previous) == (8, export(2), (export(1),))


def test_twenty_switches_from_four_processes_make_each_generation_once(stores: Stores, export: Export) -> None:
    later = small_project(keep=4)
    for version in (1, 2, 3, 4):
        traffic.switch(stores, later, export(version), version - 1, "warm up")
    with FORK.Pool(4) as pool:
        won = pool.starmap(_race, [(stores.var, version) for version in (1, 2, 3, 4)], chunksize=1)
    assert sorted(generation for of_one in won for generation in of_one) == list(range(5, 25))
    rollout = traffic.read(stores, "small")
    assert rollout is not None
    assert rollout.generation == 24


def _race(var: Path, version: int) -> list[int]:
    """Generations of five won switches, each onto a release that is not the champion at that moment."""
    load_nothing()
    stores, project, won = Stores(root=var.parent, var=var), small_project(keep=4), []
    for turn in range(5):
        own, made = f"{version}.{turn}", None
        while made is None or made.reason != own:  # with another's reason: that one gave the traffic to the same release
            now = traffic.read(stores, "small")
            assert now is not None
            try:
                made = traffic.switch(stores, project, now.previous[(version + turn) % len(now.previous)], now.generation, own)
            except Overtaken:
                continue
        won.append(made.generation)
    return won


def load_nothing() -> None:
    releases.load = releases._load = lambda *_: None  # type: ignore[assignment]


def die_in(stores: Stores, release: Release, where: str) -> None:
    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    load_nothing()
    module, name = {"policy": (os, "replace"), "export": (shutil, "copytree"), "rename": (Path, "rename")}[where]
    setattr(module, name, die)
    if where == "policy":
        deploy(stores, release)
    else:
        releases._loads = lambda *_: False  # type: ignore[assignment]
        releases.export(stores, PROJECT, small_version(release.version, release.sha256), Path(release.path))


def kill_in(stores: Stores, release: Release, where: str) -> None:
    victim = FORK.Process(target=die_in, args=(stores, release, where))
    victim.start()
    victim.join()
    assert victim.exitcode == -signal.SIGKILL


def test_a_switch_killed_between_draft_and_rename_leaves_the_old_policy_and_its_repeat_switches(stores: Stores, export: Export) -> None:
    deploy(stores, export(1))
    two, before = export(2), policy_bytes(stores)
    kill_in(stores, two, "policy")
    assert policy_bytes(stores) == before
    assert deploy(stores, two).generation == 2


@pytest.mark.parametrize("where", ["export", "rename"])
def test_an_export_killed_half_way_is_no_release_and_its_repeat_makes_one(
    stores: Stores, export: Export, bundles: list[tuple[Path, str]], where: str
) -> None:
    path, sha256 = bundles[0]
    kill_in(stores, Release("small", 1, sha256, str(path)), where)
    assert not list((stores.var / "releases" / "small").glob("v1-*"))
    assert releases.load(stores, export(1))
    assert on_disk(stores) == ["v1"]


# ---- rollback


def test_rollback_returns_to_the_release_before(stores: Stores, export: Export) -> None:
    one, two, three = (export(v) for v in (1, 2, 3))
    for release in (one, two, three):
        deploy(stores, release)
    back = roll_back(stores, "small", "v3 harms")
    assert (back.generation, back.champion, back.previous, back.reason) == (4, two, (one,), "v3 harms")
    assert roll_back(stores, "small", "v2 too").champion == one


def test_rollback_passes_over_releases_that_do_not_load(stores: Stores, export: Export) -> None:
    one, two, three = (export(v) for v in (1, 2, 3))
    for release in (one, two, three):
        deploy(stores, release)
    corrupt(stores, two)
    assert roll_back(stores, "small", "v3 harms").champion == one


@pytest.mark.parametrize("broken", [False, True], ids=["none-earlier", "none-loads"])
def test_rollback_without_a_place_to_go_changes_nothing(stores: Stores, export: Export, broken: bool) -> None:
    one = export(1)
    deploy(stores, one)
    error: type[PillarsError] = UnknownName
    if broken:
        deploy(stores, export(2))
        corrupt(stores, one)
        error = BundleRefused
    before = policy_bytes(stores)
    with pytest.raises(error):
        roll_back(stores, "small", "help")
    assert policy_bytes(stores) == before


def test_rollback_of_a_project_that_was_never_deployed_is_an_unknown_name(stores: Stores) -> None:
    with pytest.raises(UnknownName):
        roll_back(stores, "small", "help")


def test_a_rollback_repeated_after_a_crash_goes_back_once(stores: Stores, export: Export) -> None:
    for version in (1, 2, 3):
        deploy(stores, export(version))
    first = roll_back(stores, "small", "v3 harms", expected_generation=3)
    assert roll_back(stores, "small", "v3 harms", expected_generation=3) == first
    with pytest.raises(Overtaken):
        roll_back(stores, "small", "another reason", expected_generation=3)


# ---- scoring


def score(
    stores: Stores,
    name: str,
    period: str,
    pieces: Iterable[pa.Table],
    design: Any,
    bundle: Bundle,
    rollout: Rollout,
    data: str,
    key: list[str],
) -> Scored:
    """A period's predictions by the champion alone."""
    return keep(stores, name, period, rollout.champion.version, data, predicted(pieces, design, bundle, rollout, data, key, threads=2))


def test_predictions_join_their_rows_by_key_and_name_who_answered(stores: Stores, export: Export) -> None:
    rollout = deploy(stores, export(1))
    columns, bundle = small_columns(50, seed=9), releases.load(stores, rollout.champion)
    at = pa.array(np.arange(50).astype("datetime64[s]"))
    rows = pa.table({"at": at, "distance": columns["distance"]})
    scored = score(stores, "small", "2013-03", [rows], lambda _: columns, bundle, rollout, "data", ["at"])
    table = pq.read_table(stores.var / scored.path)
    assert table.column_names == ["at", "score", "decision", "model_version", "data_version", "generation"]
    assert table["at"].cast(at.type).combine_chunks() == at
    assert table["score"].to_numpy().tolist() == bundle.predict(columns).score.tolist()
    assert set(table["generation"].to_pylist()) == {1}
    assert (scored.rows, scored.model_version, scored.data_version) == (50, 1, "data")
    assert b"pandas" not in (stores.var / scored.path).read_bytes()


def test_scoring_twice_writes_the_same_bytes_to_the_same_file(stores: Stores, export: Export) -> None:
    rollout = deploy(stores, export(1))
    bundle, columns = releases.load(stores, rollout.champion), small_columns(50)
    rows = pa.table({"at": np.arange(50)})
    chunked = pa.concat_tables([rows.slice(0, 20), rows.slice(20)])

    def design(piece: pa.Table) -> dict[str, np.ndarray]:
        return {name: column[piece["at"].to_numpy()] for name, column in columns.items()}

    ways = ([rows], [chunked], [rows.slice(0, 7), rows.slice(7, 1), rows.slice(8)])
    one, two, three = (score(stores, "small", "2013-03", way, design, bundle, rollout, "data", ["at"]) for way in ways)
    assert one == two == three
    assert one.rows == 50
    assert len(list((stores.var / "predictions" / "small").iterdir())) == 1


def test_a_piece_that_fails_ends_it_with_nothing_written(stores: Stores, export: Export) -> None:
    rollout = deploy(stores, export(1))
    bundle, columns = releases.load(stores, rollout.champion), small_columns(10)
    pieces = iter([pa.table({"at": np.arange(10)}), pa.table({"at": np.arange(10)}), pa.table({"other": [1]})])
    with pytest.raises(InputInvalid, match="is missing"):
        score(stores, "small", "2013-03", pieces, lambda piece: columns if "at" in piece.column_names else {}, bundle, rollout, "d", ["at"])
    assert not (stores.var / "predictions").exists()


def test_another_champion_writes_beside_and_not_over(stores: Stores, export: Export) -> None:
    rows, columns, paths = pa.table({"at": np.arange(50)}), small_columns(50), set()
    for version in (1, 2):
        rollout = deploy(stores, export(version))
        bundle = releases.load(stores, rollout.champion)
        paths.add(score(stores, "small", "2013-03", [rows], lambda _: columns, bundle, rollout, "d", ["at"]).path)
    assert len(paths) == 2


def test_the_policy_file_is_plain_json_for_other_readers(stores: Stores, export: Export) -> None:
    deploy(stores, export(1))
    content = json.loads(policy_bytes(stores))
    assert (content["format"], content["generation"], content["champion"]["version"]) == (1, 1, 1)
