"""The policy's reader takes what it knows and leaves the rest alone."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pillars.deployment.server.policy import Policy, Seat, read
from pillars.errors import BundleRefused
from pillars.vocabulary import Release, Rollout

ONE, TWO, THREE = (Release("small", n, str(n) * 64, f"releases/small/v{n}") for n in (1, 2, 3))


def policy(tmp_path: Path, **content: Any) -> Policy:
    path = tmp_path / "policy.json"
    path.write_text(json.dumps({"format": 1, "generation": 4, "champion": asdict(ONE), **content}))
    return read(path, "small")


def test_what_a_deployment_writes_is_read(tmp_path: Path) -> None:
    found = policy(tmp_path, **asdict(Rollout("small", 4, ONE, (TWO,), "direct", "why")))
    assert (found.generation, found.seats) == (4, (Seat("champion", ONE),))


@pytest.mark.parametrize(
    ("content", "seats"),
    [
        pytest.param({"challenger": {**asdict(TWO), "weight_bp": 500}}, [Seat("challenger", TWO, 500)], id="weight inside"),
        pytest.param({"challenger": asdict(TWO), "weight_bp": 500}, [Seat("challenger", TWO, 500)], id="weight beside"),
        pytest.param({"challenger": asdict(TWO), "share": 0.05}, [Seat("challenger", TWO, 500)], id="share beside"),
        pytest.param({"challenger": asdict(TWO)}, [Seat("challenger", TWO, 0)], id="no weight"),
        pytest.param({"challenger": None, "shadow": None, "weight_bp": 9}, [], id="nobody"),
        pytest.param({"shadow": asdict(TWO)}, [Seat("shadow", TWO)], id="shadow"),
        pytest.param({"shadows": [asdict(TWO), asdict(THREE)]}, [Seat("shadow", TWO), Seat("shadow", THREE)], id="shadows"),
        pytest.param({"challengers": [{**asdict(TWO), "share": 0.1}]}, [Seat("challenger", TWO, 1000)], id="challengers"),
        pytest.param({"champion": {"version": 1, "sha256": "1" * 64, "path": ONE.path, "since": "x"}}, [], id="a release with other keys"),
        pytest.param({"stage": {"deep": [1]}, "judge": 5}, [], id="keys of others"),
    ],
)
def test_others_are_seated_beside_the_champion(tmp_path: Path, content: dict[str, Any], seats: list[Seat]) -> None:
    first, *rest = policy(tmp_path, **content).seats
    assert (first.release.sha256, rest) == (ONE.sha256, seats)


def test_a_salt_of_its_own_changes_who_is_in(tmp_path: Path) -> None:
    assert policy(tmp_path, salt="a").salt != policy(tmp_path, salt="b").salt != policy(tmp_path).salt


def test_a_withdrawn_project_has_nobody(tmp_path: Path) -> None:
    assert policy(tmp_path, champion=None).seats == ()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param({"format": 2}, id="format"),
        pytest.param({"generation": "x"}, id="generation"),
        pytest.param({"champion": {"version": 1}}, id="champion without a path"),
        pytest.param({"champion": 7}, id="champion a number"),
        pytest.param({"challenger": {**asdict(TWO), "weight_bp": 10_001}}, id="too large a share"),
        pytest.param({"challenger": {**asdict(TWO), "share": -0.1}}, id="negative share"),
        pytest.param({"challengers": [{**asdict(TWO), "share": 0.6}, {**asdict(THREE), "share": 0.6}]}, id="more than the whole"),
        pytest.param({"challengers": [asdict(TWO)] * 3}, id="three challengers"),
    ],
)
def test_what_is_no_policy_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    with pytest.raises(BundleRefused):
        policy(tmp_path, **content)


def test_half_a_file_is_refused_and_none_is_none(tmp_path: Path) -> None:
    (tmp_path / "policy.json").write_text('{"format": 1, "gener')
    with pytest.raises(BundleRefused):
        read(tmp_path / "policy.json", "small")
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "nowhere.json", "small")
