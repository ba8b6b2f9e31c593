"""A body that is there already is read without a clock; one that is not is waited for, and no longer than it may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from pillars.deployment.server.body import Gone, read
from pillars.deployment.server.problems import Refused
from pillars.deployment.server.settings import Limits

HEADERS = {b"content-type": b"application/json"}


def of(*parts: bytes, pause: Callable[[], Any] | None = None, ends: bool = True) -> Any:
    """A server's `receive` that gives these parts, each after a pause."""
    left = list(parts)

    async def receive() -> dict[str, Any]:
        if pause is not None:
            await pause()
        if not left:
            if ends:
                return {"type": "http.disconnect"}
            await asyncio.get_running_loop().create_future()
        part = left.pop(0)
        return {"type": "http.request", "body": part, "more_body": bool(left) or not ends}

    return receive


async def a_moment() -> None:
    await asyncio.sleep(0.001)


@pytest.mark.parametrize("pause", [None, a_moment], ids=["at once", "waited for"])
@pytest.mark.parametrize("parts", [(b"{}",), (b"{", b'"a"', b":1}")])
def test_all_of_it_is_read(parts: tuple[bytes, ...], pause: Any) -> None:
    assert asyncio.run(read(of(*parts, pause=pause), HEADERS, Limits())) == b"".join(parts)


@pytest.mark.parametrize("parts", [(), (b"{",)], ids=["nothing comes", "half comes"])
def test_one_that_does_not_end_is_refused_in_time(parts: tuple[bytes, ...]) -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(read(of(*parts, ends=False), HEADERS, Limits(body_s=0.05)))
    assert refused.value.status == 408


def test_a_client_that_leaves_is_gone() -> None:
    with pytest.raises(Gone):
        asyncio.run(read(of(pause=a_moment), HEADERS, Limits()))
    with pytest.raises(Gone):
        asyncio.run(read(of(), HEADERS, Limits()))


def test_who_is_cancelled_lets_go_of_what_it_waited_for() -> None:
    async def run() -> tuple[bool, bool]:
        event, let_go = asyncio.Event(), [False]

        async def receive() -> dict[str, Any]:
            try:
                await event.wait()
            except asyncio.CancelledError:
                let_go[0] = True
                raise
            return {"type": "http.request", "body": b"", "more_body": False}

        task = asyncio.ensure_future(read(receive, HEADERS, Limits()))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return task.cancelled(), let_go[0]

    assert asyncio.run(run()) == (True, True)


def test_a_large_one_is_refused_and_read_to_its_end() -> None:
    with pytest.raises(Refused) as refused:
        asyncio.run(read(of(b"x" * 60, b"x" * 60), HEADERS, Limits(body_bytes=100)))
    assert refused.value.status == 413
