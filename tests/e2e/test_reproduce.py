"""A model of persons is made again after one of them was forgotten, and a reproduction that was killed leaves nothing that disturbs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.csv
import pytest

from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.bad_input.parcels import CONFIG, rows, write_config
from tests.clone import make_clone
from tests.waiting import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


def start(root: Path, *arguments: str, **settings: str) -> subprocess.Popen[str]:
    """The command in a process of its own, with a temporary folder of its own."""
    home, temporary = root.parent / "home", root.parent / "tmp"
    home.mkdir(exist_ok=True)
    temporary.mkdir(exist_ok=True)
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(root), "TMPDIR": str(temporary)}
    return subprocess.Popen(
        [sys.executable, "-m", "flows", *arguments],
        cwd=root,
        env=environ | settings,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def say(root: Path, *arguments: str, **settings: str) -> str:
    process = start(root, *arguments, **settings)
    out, err = process.communicate(timeout=500)
    assert process.returncode == 0, out + err
    return out


@pytest.fixture(scope="module")
def parcels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone whose parcels belong to persons, with two months in it."""
    root = make_clone(tmp_path_factory.mktemp("persons") / "project")
    (root / "inbox").mkdir()
    for month in ("2013-01", "2013-02"):
        table = rows(month, 200)
        heavy = pa.array([(weight or 0) > 20 for weight in table.column("weight_kg").to_pylist()])
        table = table.append_column("person", pa.array([f"Person {i % 50}" for i in range(200)]))
        table = table.append_column("late", heavy).append_column("delay_min", pa.array([0.0] * 200))
        pa.csv.write_csv(table, root / "inbox" / f"{month}.csv")
    columns = CONFIG["columns"] | {"person": {"type": "text", "class": "personal"}}
    batches = {"file": "inbox/*.csv", "batches": {"by": "file"}}
    write_config(root, "parcels", source=batches, columns=columns, privacy={"subject": "person"})
    say(root, "replay", "parcels")
    return root


def verdicts(said: str) -> list[str]:
    return [one["verdict"] for one in json.loads(said)]


def test_a_person_whose_key_was_destroyed_is_no_reason_for_other_bytes(parcels: Path) -> None:
    (parcels.parent / "who.txt").write_text("Person 7\n")
    assert json.loads(say(parcels, "keys", "destroy", "parcels", "--from", "../who.txt", "--yes", "--json"))["destroyed"] == 1
    for threads in ("1", "2"):
        found = verdicts(say(parcels, "reproduce", "--all", "parcels", "--json", PILLARS_THREADS=threads))
        assert found
        assert set(found) == {"IDENTICAL"}


def test_killed_while_it_fits_it_takes_its_process_along_and_the_next_one_clears_up(parcels: Path) -> None:
    before = len(ledger(parcels).entries("parcels", "reproduce"))
    command = start(parcels, "reproduce", "newest", "parcels")
    fitting: list[psutil.Process] = []
    others: list[psutil.Process] = []

    def found() -> bool:
        for one in psutil.Process(command.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):  # it has ended meanwhile
                (fitting if "driver.py" in " ".join(one.cmdline()) else others).append(one)
        return bool(fitting) or command.poll() is not None

    wait_until(found, deadline_s=200, what="the process that fits")
    assert command.poll() is None
    os.kill(command.pid, signal.SIGKILL)
    wait_until(lambda: not fitting[0].is_running(), deadline_s=60, what="the end of the process that fits")
    for server in others:  # Prefect's own, which holds on to the command's output
        with suppress(psutil.NoSuchProcess):
            server.kill()
    command.communicate()
    (left,) = (parcels.parent / "tmp").glob("pillars-reproduce-*")
    os.utime(left, (0, 0))  # as if it had been a minute ago
    assert len(ledger(parcels).entries("parcels", "reproduce")) == before
    at_once = [start(parcels, "reproduce", "newest", "parcels", "--json") for _ in range(2)]
    for one in at_once:
        out, err = one.communicate(timeout=500)
        assert one.returncode == 0, err
        assert verdicts(out) == ["IDENTICAL"]
    assert not list((parcels.parent / "tmp").glob("pillars-reproduce-*"))
    assert ledger(parcels).verify() > before


def ledger(root: Path) -> Ledger:
    return Ledger(Stores(root=root, var=root / "var"))
