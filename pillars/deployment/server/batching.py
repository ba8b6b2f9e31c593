"""Rows that arrive in the same moment are scored together: half of a row's time is XGBoost's fixed cost. Nobody waits for others."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from pillars.bundle.bundle import Predictions
from pillars.deployment.server.snapshot import Arm

TOGETHER = 512  # rows of one call on the loop's thread, about 5 ms; more go to a thread, for others want an answer meanwhile

Asked = tuple[np.ndarray, "np.ndarray | None", "asyncio.Future[dict[str, list[Any]]]"]


def listed(predictions: Predictions, arm: Arm) -> dict[str, list[Any]]:
    """As plain values by output column."""
    return {name: values.tolist() for name, values in predictions.columns(arm.bundle.classes).items()}


class Batcher:
    """Of one event loop."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.aside = ThreadPoolExecutor(1, "predict")
        self.flushes = self.rows = 0
        self._waiting: dict[Arm, list[Asked]] = {}

    def predict(self, arm: Arm, encoded: np.ndarray, groups: np.ndarray | None) -> asyncio.Future[dict[str, list[Any]]]:
        """What an arm will say of encoded rows, by output column."""
        if len(encoded) > TOGETHER:
            return self.loop.run_in_executor(self.aside, lambda: listed(arm.say(encoded, groups), arm))
        future: asyncio.Future[dict[str, list[Any]]] = self.loop.create_future()
        if not self._waiting:  # the next turn of the loop reads what has arrived, the one after it scores it
            self.loop.call_soon(self.loop.call_soon, self._flush)
        self._waiting.setdefault(arm, []).append((encoded, groups, future))
        return future

    def close(self) -> None:
        """Let go of the thread."""
        self.aside.shutdown(wait=False, cancel_futures=True)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, {}
        self._score(sorted(waiting.items(), key=lambda one: one[0].role != "champion"))

    def _score(self, waiting: list[tuple[Arm, list[Asked]]]) -> None:
        """Arm by arm, the champion first: what one answered is said before the next is scored, or a slow challenger made it look slow."""
        arm, asked = waiting.pop(0)
        self.flushes += 1
        while asked:
            some = [asked.pop(0)]
            size = len(some[0][0])
            while asked and size + len(asked[0][0]) <= TOGETHER:
                size += len(asked[0][0])
                some.append(asked.pop(0))
            self.rows += size
            _answer(arm, some)
        if waiting:
            self.loop.call_soon(self._score, waiting)  # behind those who wait for what was said


def _answer(arm: Arm, asked: list[Asked]) -> None:
    try:
        if len(asked) == 1:
            said = listed(arm.say(asked[0][0], asked[0][1]), arm)
        else:
            groups = None if asked[0][1] is None else np.concatenate([one[1] for one in asked if one[1] is not None])
            said = listed(arm.say(np.concatenate([one[0] for one in asked]), groups), arm)
    except Exception as err:
        for _, _, future in asked:
            if not future.done():
                future.set_exception(err)
        return
    first = 0
    for encoded, _, future in asked:
        last = first + len(encoded)
        if not future.done():  # its client may have gone
            future.set_result(said if len(asked) == 1 else {name: values[first:last] for name, values in said.items()})
        first = last
