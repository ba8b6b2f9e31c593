"""What is wrong inside the server's process: a model that fails or is slow, a clock that is off. Imported there by `sitecustomize`.

The server's own code has no fault in it, and no switch for one. Which is to be had stands in a file, read again whenever it changes.
"""

from __future__ import annotations

import importlib.util
import json
import os
import random
import sys
import time
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

FILE = "PILLARS_DRILL_FAULTS"  # in the environment of the server's process
WHERE = "pillars.deployment.server.snapshot"
SITE = f"from {__name__} import install\n\ninstall()\n"  # sitecustomize.py
NOTHING = {"version": 0, "error": 0.0, "latency_ms": 0.0, "clock_s": 0.0}


class Faults:
    """The file's content."""

    def __init__(self, path: str) -> None:
        self._path, self._seen, self._said = path, 0, dict[str, float](NOTHING)

    def now(self) -> dict[str, float]:
        """As it stands at this moment."""
        try:
            mark = os.stat(self._path).st_mtime_ns
            if mark != self._seen:
                self._said, self._seen = {**NOTHING, **json.loads(Path(self._path).read_bytes())}, mark
        except (OSError, ValueError):
            pass
        return self._said


class _After(MetaPathFinder):
    """Changes the module once it is imported."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        """The module's own spec, with a step behind it."""
        if name != WHERE:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                load(module)
                plant(module, self._faults)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def install() -> None:
    """Have the faults in this process, where the environment names their file."""
    if FILE in os.environ:
        faults = Faults(os.environ[FILE])
        sys.meta_path.insert(0, _After(faults))
        real, real_ns = time.time, time.time_ns
        time.time = lambda: real() + faults.now()["clock_s"]
        time.time_ns = lambda: real_ns() + int(faults.now()["clock_s"] * 1e9)


def plant(module: ModuleType, faults: Faults) -> None:
    """Let one version fail, or take its time."""
    say = module.Arm.say

    def faulty(self: Any, encoded: Any, groups: Any) -> Any:
        now = faults.now()
        if self.release.version == now["version"]:
            if now["latency_ms"]:
                time.sleep(now["latency_ms"] / 1e3)
            if random.random() < now["error"]:
                raise RuntimeError("planted")
        return say(self, encoded, groups)

    module.Arm.say = faulty
