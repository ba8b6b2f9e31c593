"""No byte that the loop writes names a person: canary values in personal columns, every feature on, then every file is searched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pytest

from pillars.data.searching import holds
from tests.bad_input.parcels import CONFIG, rows, write_config
from tests.clone import make_clone

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

PERSON, MAIL, STRANGER = "Zaphod Beeblebrox", "zaphod@heart-of-gold.example", "Tricia McMillan"  # the last in a column nobody declared
ILLNESS = "spaceman's-lumbago"  # sensitive: in the data set it stays, as declared
MONTHS, REFUSED = ("2013-01", "2013-02", "2013-03"), "2013-04"
DATA = ("var/dvc/", "var/staging/", "data/")  # the data set itself
COMMANDS = (
    ("run", "parcels"),
    ("ingest", "parcels", REFUSED),  # has a column that nobody declared
    ("data", "show", "parcels"),
    ("data", "diff", "parcels"),
    ("data", "audit", "parcels"),
    ("data", "source", "parcels"),
    ("data", "quarantine", "list", "parcels"),
    ("data", "expectations", "propose", "parcels"),
    ("monitor", "parcels", "2013-02"),
    ("reproduce", "--all", "parcels"),
    ("keys", "rotate"),
    ("status", "parcels"),
    ("scan", "--json"),
)


def table_of(period: str) -> pa.Table:
    """A month as one table; one row of a canary goes to quarantine."""
    table = rows(period, 200)
    weights = table.column("weight_kg").to_pylist()
    weights[1] = 90.0
    many = range(table.num_rows)
    table = table.set_column(table.schema.get_field_index("weight_kg"), "weight_kg", pa.array(weights))
    table = table.append_column("person", pa.array([PERSON if i < 3 else f"Person {i}" for i in many]))
    table = table.append_column("mail", pa.array([MAIL if i < 3 else None for i in many]))
    table = table.append_column("illness", pa.array([ILLNESS if i < 3 else "none" for i in many]))
    table = table.append_column("zip", pa.array([f"0213{i % 4}" for i in many]))
    late = pa.array([weight > 20 for weight in weights])  # something to learn, or no model is promoted
    table = table.append_column("late", late).append_column("delay_min", pa.array([0.0] * table.num_rows))
    return table.append_column("friend", pa.array([STRANGER] * table.num_rows)) if period == REFUSED else table


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, subprocess.CompletedProcess[str]]]:
    """A clone that has been through the loop with everything on, and what the commands said."""
    root = make_clone(tmp_path_factory.mktemp("canary") / "project")
    (root / "inbox").mkdir()
    for period in MONTHS:
        pa.csv.write_csv(table_of(period), root / "inbox" / f"{period}.csv")
    columns = CONFIG["columns"] | {
        "person": {"type": "text", "class": "personal"},
        "mail": {"type": "text", "class": "personal"},
        "illness": {"type": "category", "class": "sensitive", "nullable": False},
        "zip": {"type": "category", "role": ["feature"]},
        "stops": {"type": "int", "role": ["feature"], "repair": {"clip": [0, 3]}},
        "weight_kg": {"type": "float", "role": ["feature"], "outliers": {"rule": "iqr", "times": 0.1}},
    }
    write_config(
        root,
        "parcels",
        source={"file": "inbox/*.csv", "batches": {"by": "file"}, "licence": "a test's"},
        columns=columns,
        features=CONFIG["features"] | {"categorical": ["carrier", "zip"]},
        expectations=CONFIG["expectations"] | {"coverage": {"segments": ["carrier"], "floor": 3}},
        privacy={"subject": "person", "k": 3, "quasi": {"zip": [4, 3]}},
        monitoring={"drift": {"structural": ["weight_kg", "zip"]}},
    )
    home = root.parent / "home"
    home.mkdir()
    environ = {"HOME": str(home), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "COLUMNS": "140", "PYTHONPATH": str(root)}
    environ |= {"TMPDIR": str(root.parent / "tmp"), "PILLARS_LARGE_ROWS": "50"}  # every batch in pieces, too
    (root.parent / "tmp").mkdir()
    said = {}
    for command in COMMANDS:
        if command[0] == "ingest":
            pa.csv.write_csv(table_of(REFUSED), root / "inbox" / f"{REFUSED}.csv")
        done = subprocess.run(
            [sys.executable, "-m", "flows", *command],
            cwd=root,
            env=environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=400,
        )
        said[" ".join(command[:2])] = done
    return root, said


def written(root: Path) -> Iterator[tuple[str, bytes]]:
    """Every file of the clone, the user's home and the folder of temporary files, but what the user put there."""
    for file in sorted(root.parent.rglob("*")):
        path = file.relative_to(root).as_posix() if file.is_relative_to(root) else f"../{file.relative_to(root.parent)}"
        if file.is_file() and not file.is_symlink() and not path.startswith("inbox/"):
            yield path, file.read_bytes()


def test_the_loop_went_through_with_everything_on(used: tuple[Path, dict[str, subprocess.CompletedProcess[str]]]) -> None:
    root, said = used
    assert said["run parcels"].returncode == 0, said["run parcels"].stderr
    assert "rejected/parcels/2013-04" in said["ingest parcels"].stdout, said["ingest parcels"].stderr
    assert said["keys rotate"].returncode == 0, said["keys rotate"].stderr
    for folder in ("raw", "rejected", "quarantine", "flagged", "predictions", "mlflow", "prefect", "reports", "dvc", "keys"):
        assert any(path.startswith(f"var/{folder}/") for path, _ in written(root)), folder


def test_no_byte_names_a_person(used: tuple[Path, dict[str, subprocess.CompletedProcess[str]]]) -> None:
    root, said = used
    found = [(path, value) for path, content in written(root) for value in (PERSON, MAIL, STRANGER) if holds(content, value)]
    assert not found
    spoken = [
        (command, value) for command, done in said.items() for value in (PERSON, MAIL, STRANGER) if value in done.stdout + done.stderr
    ]
    assert not spoken


def test_what_is_sensitive_is_in_the_data_set_alone(used: tuple[Path, dict[str, subprocess.CompletedProcess[str]]]) -> None:
    root, said = used
    found = [path for path, content in written(root) if holds(content, ILLNESS)]
    assert found, "the search sees into the data set"
    assert not [path for path in found if not path.startswith(DATA)]
    assert not [command for command, done in said.items() if ILLNESS in done.stdout + done.stderr]


def test_no_byte_holds_a_secret_and_nobody_else_may_read_what_came_in(
    used: tuple[Path, dict[str, subprocess.CompletedProcess[str]]],
) -> None:
    scanned = json.loads(used[1]["scan --json"].stdout)
    assert (scanned["findings"], scanned["rights"]) == ([], [])
    assert used[1]["scan --json"].returncode == 0
