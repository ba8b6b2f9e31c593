"""A publication that is killed, and several at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pillars.data.versions import head, publish, read
from pillars.stores import Stores
from tests.pillars.data.batches import NOW, git, prepared, project, repository

P = project()
PUBLISH = """
import sys
from pathlib import Path
from pillars.data.versions import publish
from pillars.stores import Stores
from tests.pillars.data.batches import NOW, prepared, project
from tests.pillars.data.dying import die_at

root, period = Path(sys.argv[1]), sys.argv[2]
stores = Stores(root=root, var=root / "var", remote="../remote")
batch = prepared(stores, period)
die_at(sys.argv[3], int(sys.argv[4]))
print(publish(stores, project(), batch, NOW).id)
"""
PLACES = [
    ("os.replace", 1),  # before DVC's private area has its settings
    ("os.replace", 2),  # the first file lies in the cache as a draft
    ("os.chmod", 4),  # it has its name there and not yet its mode
    ("pillars.data.objects._send", 1),  # all is in the cache, nothing on the remote
    ("os.replace", 5),  # one file of two is on the remote
    ("pillars.data.objects._send", 2),  # the files are on the remote, their listing is not
    ("pillars.data.branch.append", 1),  # all is on the remote, git knows nothing
    ("pillars.data.branch._run", 5),  # git has written objects that nothing names
    ("pillars.data.branch._commit", 1),
]


def start(root: Path, period: str, place: str = "", nth: int = 0) -> subprocess.Popen[str]:
    """Publish a period in a process of its own, which kills itself at the nth call of a function."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("PILLARS_")} | {"PYTHONPATH": os.getcwd()}
    arguments = [sys.executable, "-c", PUBLISH, str(root), period, place, str(nth)]
    return subprocess.Popen(arguments, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def stores_in(folder: Path) -> Stores:
    """The remote's place is written into the branch: relative, so that it is one for all."""
    root = repository(folder / "work")
    return Stores(root=root, var=root / "var", remote="../remote")


def state(stores: Stores) -> dict[str, Any]:
    """All that an undisturbed run leaves: what the versions hold, and objects by name; drafts of the dead left out."""
    found: dict[str, Any] = {"data.dvc": git(stores.root, "log", "-p", "--format=%s", "dvc-data/parcels", "--", "data.dvc")}
    for place in (stores.dvc_cache / "files", stores.root.parent / "remote" / "files"):
        named = [p for p in place.glob("md5/??/*") if len(p.name.removesuffix(".dir")) == 30]
        found |= {str(p.relative_to(stores.root.parent)): (p.read_bytes(), p.stat().st_mode) for p in named}
    return found


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    stores = stores_in(tmp_path_factory.mktemp("undisturbed"))
    publish(stores, P, prepared(stores, "2013-01"), NOW)
    return state(stores)


@pytest.mark.parametrize(("place", "nth"), PLACES)
def test_killed_anywhere_the_same_call_again_ends_the_same(tmp_path: Path, undisturbed: dict[str, Any], place: str, nth: int) -> None:
    stores = stores_in(tmp_path)
    killed = start(stores.root, "2013-01", place, nth)
    killed.communicate(timeout=120)
    assert killed.returncode == -signal.SIGKILL, "the place was not reached"
    assert head(stores, P) is None
    publish(stores, P, prepared(stores, "2013-01"), NOW)
    assert state(stores) == undisturbed


def test_four_at_once_all_land(tmp_path: Path) -> None:
    stores = stores_in(tmp_path)
    months = [f"2013-0{m}" for m in (1, 2, 3, 4)]
    running = [start(stores.root, m) for m in months]
    errors = [p.communicate(timeout=300)[1] for p in running]
    assert [p.returncode for p in running] == [0] * 4, errors
    version = head(stores, P)
    assert version is not None
    assert version.periods == tuple(months)
    assert read(stores, version, "rows", months).num_rows == 160
    assert git(stores.root, "rev-list", "--count", "dvc-data/parcels") == "5"
