"""Follows the traffic policy: loads and warms what it names on a thread of its own, then puts it in place by one assignment."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable

from pillars.deployment.server import policy as policies
from pillars.deployment.server.policy import Policy
from pillars.deployment.server.problems import complain
from pillars.deployment.server.settings import Settings
from pillars.deployment.server.snapshot import Snapshot, fall_back, take
from pillars.errors import PillarsError

FIRST_S = 60.0  # a worker listens after that, whatever is not loaded yet
AGAIN_S = 2.0  # a refused policy is tried again: its release may have been exported anew meanwhile


class Watcher:
    """`snapshot` is what answers now; None before the first one, and where nobody answers. `refused`: why the newest policy is not it.

    A good snapshot stays until another is taken. Where there is none yet, a fallback takes its place, and gives it back by itself.
    """

    def __init__(self, settings: Settings, changed: Callable[[Snapshot | None], None], failed: Callable[[], None]) -> None:
        self.settings, self.refused = settings, ""
        self.snapshot: Snapshot | None = None
        self._changed, self._failed = changed, failed
        self._seen: tuple[int, int, int] | None = None
        self._generation, self._tried = -1, 0.0
        self._stop, self._looked = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._follow, name="policy", daemon=True)

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread.start()

    def first(self) -> None:
        """Wait until the policy was looked at once; whether anybody answers by then is another matter."""
        self._looked.wait(FIRST_S)

    def stop(self) -> None:
        """End."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(5)

    def _follow(self) -> None:
        while True:
            try:
                self.look()
            except Exception as err:  # whatever it is, what ran before still runs
                self._refuse(type(err).__name__)
            self._looked.set()
            if self._stop.wait(self.settings.poll_s):
                return

    def look(self) -> None:
        """Take over the policy if it is another one. A policy that cannot be taken changes nothing."""
        try:
            found = os.stat(self.settings.policy)
            mark = (found.st_mtime_ns, found.st_size, found.st_ino)
        except OSError as err:
            if self._seen is not None or self._generation >= 0:
                self._refuse(f"the traffic policy cannot be read ({err.strerror})", count=not self.refused)
            return
        if mark == self._seen and not (self.refused and time.monotonic() - self._tried > AGAIN_S):
            return
        self._seen, self._tried = mark, time.monotonic()
        policy: Policy | None = None
        try:
            policy = policies.read(self.settings.policy, self.settings.project)
            if policy.generation < self._generation:
                self._refuse(f"an older policy was put back (generation {policy.generation}, not {self._generation})")
                return
            if policy.generation == self._generation and not self.refused:
                return
            snapshot = take(policy, self.settings, self.snapshot)
        except FileNotFoundError:
            return
        except PillarsError as err:
            self._refuse(str(err))
            self._fall_back(policy)
            return
        self.snapshot, self._generation, self.refused = snapshot, policy.generation, ""
        self._changed(snapshot)

    def _fall_back(self, policy: Policy | None) -> None:
        """Put something in place of a policy that cannot be taken, where nothing good answers."""
        before = self.snapshot
        if before is not None and not before.fallback:
            return
        found = fall_back(policy, self.settings, before)
        if found is not None and before is not None and (found.told(), found.salt) == (before.told(), before.salt):
            return
        if found is not None:
            told = f"v{found.champion.release.version}" if found.champion.release.version else "the declared constant"
            complain(f"{told} answers meanwhile ({found.fallback})")
        if found is not before:
            self.snapshot = found
            self._changed(found)

    def _refuse(self, why: str, count: bool = True) -> None:
        if why != self.refused:
            complain(why)
        self.refused = why
        if count:
            self._failed()
