"""Requests of one turn of the loop are logged by one write, and none of them goes on before it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pillars.deployment.server.journal import Journal
from tests.pillars.deployment.server.world import ROW, InProcess, logged, settings, write_policy, write_release


class Disk:
    """Takes what is written, or refuses it."""

    def __init__(self, refuses: bool = False) -> None:
        self.writes, self.refuses = list[tuple[bytes, list[bytes]]](), refuses

    def write(self, lines: bytes, heads: Iterable[bytes]) -> None:
        if self.refuses:
            raise OSError(28, "No space left on device")
        self.writes.append((lines, [*heads]))


def together(disk: Any, count: int, cancelled: int | None = None) -> list[Any]:
    async def run() -> list[Any]:
        journal = Journal(disk, asyncio.get_running_loop())
        tasks = [asyncio.ensure_future(journal.write(b"%d\n" % n, [b"model\n"], alone=False)) for n in range(count)]
        if cancelled is not None:
            await asyncio.sleep(0)
            tasks[cancelled].cancel()
        return await asyncio.gather(*tasks, return_exceptions=True)

    return asyncio.run(run())


def test_requests_of_one_turn_are_one_write() -> None:
    disk = Disk()
    assert together(disk, 5) == [None] * 5
    assert disk.writes == [(b"0\n1\n2\n3\n4\n", [b"model\n"])]


def test_a_disk_that_refuses_refuses_each_of_them() -> None:
    assert [type(one) for one in together(Disk(refuses=True), 3)] == [OSError] * 3


def test_who_gives_up_takes_nobody_along() -> None:
    disk = Disk()
    found = together(disk, 3, cancelled=1)
    assert [found[0], found[2]] == [None, None]
    assert isinstance(found[1], asyncio.CancelledError)
    assert disk.writes == [(b"0\n1\n2\n", [b"model\n"])]


def test_sixteen_at_once_are_fewer_writes_and_all_on_record(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1))
    with InProcess(settings(var)) as app:
        found = app.ready().ask_all([{"dataframe_records": [ROW | {"flight": f"UA{n}"}]} for n in range(16)])
        assert app.app.journal.writes < 8
    assert sorted(f"{content['request_id']}-0" for _, content in found) == sorted(row["id"] for row in logged(var))


@pytest.mark.parametrize("at_once", [1, 16])
def test_a_full_disk_answers_none_of_them(var: Path, monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    write_policy(var, 1, write_release(var, 1))
    with InProcess(settings(var)) as app:
        app.ready()
        monkeypatch.setattr(app.app.journal, "log", Disk(refuses=True))
        assert [status for status, _ in app.ask_all([{"dataframe_records": [ROW]}] * at_once)] == [503] * at_once
        monkeypatch.undo()
        assert app.ask("POST", "/invocations", {"dataframe_records": [ROW]})[0] == 200
