"""Which process writes an MLflow run, and whether it still lives: MLflow has no heartbeat."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def this_process() -> list[str]:
    """Host, its boot, process, and when that started: no other process has all four."""
    return [platform.node(), _boot(), str(os.getpid()), _started(os.getpid())]


def dead(writer: list[str]) -> bool:
    """Surely: `writer` is a process of this machine that is no more. Of other machines' processes nothing is known."""
    if len(writer) != 4 or writer[0] != platform.node():
        return False
    return writer[1] != _boot() or _started(int(writer[2])) != writer[3]


def _boot() -> str:
    file = Path("/proc/sys/kernel/random/boot_id")
    return file.read_text().strip() if file.exists() else ""


def _started(pid: int) -> str:
    """Start of a process in clock ticks since boot, field 22 of proc_pid_stat(5). "" when it is dead; without /proc "alive"."""
    if Path("/proc/self/stat").exists():
        try:
            state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return ""
        return "" if state in "ZX" else rest[18]  # a zombie is dead, though nobody has buried it
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass  # it lives, and is somebody else's
    return "alive"
