"""What is published broken changes nothing; what is published well is in place at once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pillars.deployment.server import watcher as module
from pillars.deployment.server.watcher import Watcher
from pillars.vocabulary import Release
from tests.pillars.deployment.server.world import SCHEMA, settings, write_policy, write_release


class Seen:
    """A watcher without its thread."""

    def __init__(self, var: Path) -> None:
        self.taken: list[int | None] = []
        self.refusals = 0
        self.watcher = Watcher(settings(var), lambda s: self.taken.append(s.generation if s else None), self._refused)

    def _refused(self) -> None:
        self.refusals += 1

    @property
    def version(self) -> int | None:
        snapshot = self.watcher.snapshot
        return snapshot.champion.release.version if snapshot else None

    def look(self) -> int | None:
        self.watcher.look()
        return self.version


@pytest.fixture
def seen(var: Path) -> Seen:
    write_policy(var, 1, write_release(var, 1))
    found = Seen(var)
    assert found.look() == 1
    return found


def test_nobody_answers_before_the_first_policy(var: Path) -> None:
    found = Seen(var)
    assert found.look() is None
    assert (found.taken, found.refusals) == ([], 0)


def test_the_next_generation_is_taken_over(var: Path, seen: Seen) -> None:
    write_policy(var, 2, write_release(var, 2, seed=2))
    assert seen.look() == 2
    assert seen.taken == [1, 2]


def test_a_policy_that_stays_is_not_loaded_again(var: Path, seen: Seen) -> None:
    before = seen.watcher.snapshot
    seen.look()
    assert seen.watcher.snapshot is before
    assert before
    write_policy(var, 2, before.champion.release)  # the same release at another generation
    seen.look()
    assert seen.watcher.snapshot
    assert seen.watcher.snapshot.champion.bundle is before.champion.bundle


def flipped(var: Path, release: Release) -> None:
    file = var / release.path / "booster-0.ubj"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def lost(var: Path, release: Release) -> None:
    (var / release.path / "calibration.json").unlink()


def gone(var: Path, release: Release) -> None:
    shutil.rmtree(var / release.path)


@pytest.mark.parametrize("harm", [flipped, lost, gone])
def test_a_release_that_was_harmed_is_refused_and_the_other_stays(var: Path, seen: Seen, harm: Callable[[Path, Release], None]) -> None:
    broken = write_release(var, 2, seed=2)
    harm(var, broken)
    write_policy(var, 2, broken)
    assert seen.look() == 1
    assert (seen.refusals, seen.taken) == (1, [1])
    assert "v2" in seen.watcher.refused


def test_a_bundle_of_another_schema_is_refused(var: Path, seen: Seen) -> None:
    inputs = [*SCHEMA["inputs"][:-1], {"name": "airline", "type": "string"}]  # type: ignore[index]
    write_policy(var, 2, write_release(var, 2, seed=2, schema={**SCHEMA, "inputs": inputs}))
    assert seen.look() == 1
    assert "airline, carrier" in seen.watcher.refused


def test_a_challenger_that_answers_otherwise_is_refused(var: Path, seen: Seen) -> None:
    assert seen.watcher.snapshot
    champion = seen.watcher.snapshot.champion.release
    other = write_release(var, 2, seed=2, decision={"task": "regression"})
    write_policy(var, 2, champion, challenger=vars(other) | {"weight_bp": 100})
    assert seen.look() == 1
    assert "score" in seen.watcher.refused


def test_a_bundle_that_is_not_the_recorded_one_is_refused(var: Path, seen: Seen) -> None:
    one, two = write_release(var, 2, seed=2), write_release(var, 3, seed=3)
    write_policy(var, 2, Release("small", 2, two.sha256, one.path, two.digest))
    assert seen.look() == 1


def test_a_refused_release_is_taken_once_it_is_mended(var: Path, seen: Seen, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN_S", 0.0)
    broken = write_release(var, 2, seed=2)
    gone(var, broken)
    write_policy(var, 2, broken)
    assert seen.look() == 1
    write_release(var, 2, seed=2)
    assert seen.look() == 2
    assert seen.watcher.refused == ""


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"format": 1}', b"\x00" * 50])
def test_a_policy_that_is_none_changes_nothing(var: Path, seen: Seen, content: bytes) -> None:
    seen.watcher.settings.policy.write_bytes(content)
    assert seen.look() == 1
    assert seen.refusals == 1


def test_an_older_policy_put_back_changes_nothing(var: Path, seen: Seen) -> None:
    write_policy(var, 5, write_release(var, 2, seed=2))
    assert seen.look() == 2
    write_policy(var, 4, write_release(var, 1))
    assert seen.look() == 2
    assert "older" in seen.watcher.refused


def test_a_policy_file_that_is_lost_changes_nothing(var: Path, seen: Seen) -> None:
    seen.watcher.settings.policy.unlink()
    assert seen.look() == 1
    assert "cannot be read" in seen.watcher.refused
    write_policy(var, 2, write_release(var, 2, seed=2))
    assert seen.look() == 2


def test_a_withdrawn_project_answers_nobody(var: Path, seen: Seen) -> None:
    write_policy(var, 2, None)
    assert seen.look() is None
    write_policy(var, 3, write_release(var, 1))
    assert seen.look() == 1
