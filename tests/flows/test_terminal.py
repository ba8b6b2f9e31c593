from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from flows.terminal import _refuse_a_disk_without_room
from pillars.stores import Stores


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> Stores:
    """No Prefect server but one of our own."""
    monkeypatch.delenv("PREFECT_API_URL")
    monkeypatch.setenv("PREFECT_SERVER_EPHEMERAL_ENABLED", "true")
    return Stores()


def test_what_one_who_died_over_the_try_for_room_left_is_taken_away(alone: Stores) -> None:
    folder = alone.folder("prefect")
    for name in (".room", "..room.4194303.0123abcd"):
        (folder / name).write_bytes(bytes(9))
    _refuse_a_disk_without_room(alone)
    assert list(folder.iterdir()) == []


def test_many_may_try_for_room_at_once(alone: Stores) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: _refuse_a_disk_without_room(alone), range(16)))
    assert list(alone.folder("prefect").iterdir()) == []
