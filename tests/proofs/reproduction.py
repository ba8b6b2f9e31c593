"""Two replays in two clones, made to differ in everything that must not matter: `python -m tests.proofs.reproduction --project flights`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.clone import CHECKOUT, make_clone
from tests.proofs.state import differences, told

FOLDERS = ("one", "another user's place/deep down")
SETTINGS = (
    {"PILLARS_THREADS": "1", "PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C.UTF-8"},
    {"PILLARS_THREADS": "2", "PYTHONHASHSEED": "4242", "TZ": "Pacific/Auckland", "LANG": "en_US.UTF-8"},
)


@dataclass(frozen=True)
class Replay:
    """A replay under way in a clone."""

    root: Path
    process: subprocess.Popen[str]
    begun: float

    def end(self) -> float:
        """Wait for it; the seconds it took.

        Raises:
            RuntimeError: with its last words, when it did not end well.
        """
        said, _ = self.process.communicate()
        if self.process.returncode:
            raise RuntimeError(f"the replay in {self.root} ended with {self.process.returncode}:\n{said[-3000:]}")
        return time.monotonic() - self.begun


def clones(origin: Path, folder: Path) -> tuple[Path, Path]:
    """Two clones of a repository; what git does not follow there is copied."""
    roots = folder / FOLDERS[0], folder / FOLDERS[1]
    for root in roots:
        root.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(["git", "clone", "-q", "--no-hardlinks", str(origin), str(root)], check=True)
    return roots


def begin(root: Path, project: str, last: str | None, settings: dict[str, str]) -> Replay:
    """`pillars replay` in a process of its own, as its user has it: nothing of this process's settings, no server."""
    home = root.parent / "home"
    home.mkdir(exist_ok=True)
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": f"{root}{os.pathsep}{CHECKOUT}", **settings}
    command = [sys.executable, "-m", "flows", "replay", project, *(["--to", last] if last else [])]
    process = subprocess.Popen(
        command, cwd=root, env=environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return Replay(root, process, time.monotonic())


def compared(origin: Path, folder: Path, project: str, last: str | None = None, at_once: bool = True) -> list[str]:
    """Replay a project in two clones of `origin`; in what their states differ."""
    roots, running = clones(origin, folder), []
    for root, settings in zip(roots, SETTINGS, strict=True):
        running.append(begin(root, project, last, settings))
        if not at_once:
            print(f"{root}: replayed in {running[-1].end():.0f} s", flush=True)
    if at_once:
        for replay in running:
            replay.end()
    return differences(*(told(root, project) for root in roots))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", default="flights")
    parser.add_argument("--to", default=None, help="last period; all if not given")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pillars-reproduction-") as folder:
        origin = make_clone(Path(folder) / "origin")
        found = compared(origin, Path(folder), given.project, given.to, at_once=False)
    for difference in found:
        print(difference)
    print(f"two replays of {given.project}: {f'{len(found)} differences' if found else 'equal'}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
