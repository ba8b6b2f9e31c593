"""With `privacy.encrypt` on, rows lie nowhere in the open: values that nobody protected are planted, then every byte is searched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from tests.bad_input.parcels import CONFIG, rows, write_config
from tests.clone import make_clone
from tests.conftest import free_port
from tests.e2e.test_canary import holds, written

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

NOTE, LABEL, CITY = "Slartibartfast", "Magrathea", "Betelgeuse"  # in a column of no role, in the key, in a feature
OPENLY = ("var/candidates/", "var/releases/", "var/mlflow/artifacts/")  # bundles: categories of features, a few golden rows
FOR_PEOPLE = ("var/reports/", "var/report/", "var/evidently/")  # what is drawn of features


def table_of(period: str) -> pa.Table:
    """A month as one table; two rows go to quarantine."""
    table = rows(period, 200)
    many = range(table.num_rows)
    weights = [90.0 if i < 2 else weight for i, weight in enumerate(table.column("weight_kg").to_pylist())]
    table = table.set_column(table.schema.get_field_index("weight_kg"), "weight_kg", pa.array(weights))
    table = table.set_column(table.schema.get_field_index("note"), "note", pa.array([f"{NOTE} {i}" for i in many]))
    table = table.append_column("label", pa.array([f"{LABEL} {i}" for i in many]))
    table = table.append_column("city", pa.array([CITY if i % 3 else "Sirius" for i in many]))
    late = pa.array([weight > 20 for weight in weights])
    return table.append_column("late", late).append_column("delay_min", pa.array([0.0] * table.num_rows))


def pillars(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """The command, in the clone."""
    environ = {"HOME": str(root.parent / "home"), "PATH": os.environ["PATH"], "LANG": "C.UTF-8", "PYTHONPATH": str(root)}
    environ |= {"TMPDIR": str(root.parent / "tmp"), "COLUMNS": "140"}
    line = [sys.executable, "-m", "flows", *command]
    return subprocess.run(line, cwd=root, env=environ, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=400)


def served(root: Path) -> str:
    """Answer two requests by a server that is killed then; the id of the first row."""
    environ = {"HOME": str(root.parent / "home"), "PATH": os.environ["PATH"], "PYTHONPATH": str(root)}
    command = [sys.executable, "-m", "flows", "serve", "parcels", "--port", str(free_port()), "--json"]
    with (root.parent / "serve.log").open("wb") as errors:
        process = subprocess.Popen(command, cwd=root, env=environ, stdout=subprocess.PIPE, stderr=errors, stdin=subprocess.DEVNULL)
    assert process.stdout is not None
    try:
        url = json.loads(process.stdout.readline())["url"]
        row = {"at": "2013-04-01T00:00:00", "parcel": 1, "label": f"{LABEL} 1", "city": CITY, "carrier": "A", "weight_kg": 2.5, "stops": 1}
        body = json.dumps({"dataframe_records": [row] * 2}).encode()
        for _ in range(2):
            asked = urllib.request.Request(f"{url}/invocations", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(asked, timeout=60) as answer:
                told = json.loads(answer.read())
    finally:
        process.kill()
        process.communicate()
    return f"{told['request_id']}-0"


@pytest.fixture(scope="module")
def used(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone that has been through the loop, with two months of it, a rotation, an audit and a checkout."""
    root = make_clone(tmp_path_factory.mktemp("encrypted") / "project")
    for folder in (root / "inbox", root.parent / "home", root.parent / "tmp"):
        folder.mkdir()
    for period in ("2013-01", "2013-02", "2013-03"):
        pa.csv.write_csv(table_of(period), root / "inbox" / f"{period}.csv")
    write_config(
        root,
        "parcels",
        source={"file": "inbox/*.csv", "batches": {"by": "file"}, "licence": "a test's"},
        columns=CONFIG["columns"]
        | {
            "label": {"type": "text", "role": ["key"], "nullable": False},
            "city": {"type": "category", "role": ["feature"]},
        },
        features=CONFIG["features"] | {"categorical": ["carrier", "city"]},
        privacy={"encrypt": True},
    )
    for command in (("run", "parcels"), ("data", "audit", "parcels"), ("keys", "rotate"), ("data", "checkout", "parcels")):
        done = pillars(root, *command)
        assert done.returncode in ((0, 1) if "audit" in command else (0,)), f"{command} {done.stdout} {done.stderr}"
    for step in (("compact", "parcels"), ("keys", "rotate")):  # Parquet of the first, and what is left of the second
        id = served(root)
        done = pillars(root, *step)
        assert done.returncode == 0, f"{step} {done.stdout} {done.stderr}"
        why = pillars(root, "why", id, "parcels", "--recompute")
        assert "EQUAL, bit by bit" in why.stdout, why.stderr
    return root


def test_no_row_is_written_in_the_open(used: Path) -> None:
    files = dict(written(used))
    for folder in (
        "raw",
        "quarantine",
        "staging",
        "dvc/cache",
        "dvc/remote",
        "predictions",
        "judged",
        "checkouts",
        "mlflow",
        "releases",
        "served/parcels/log",
        "served/parcels/rows",
    ):
        assert any(path.startswith(f"var/{folder}/") for path in files), folder
    assert not [path for path, content in files.items() if holds(content, NOTE) or holds(content, LABEL)]


def test_a_value_of_a_feature_is_in_bundles_and_on_pages_alone(used: Path) -> None:
    found = [path for path, content in written(used) if holds(content, CITY)]
    assert [path for path in found if path.startswith(OPENLY)], "the search sees into bundles"
    assert not [path for path in found if not path.startswith((*OPENLY, *FOR_PEOPLE))]


def test_what_dvc_gives_is_sealed_and_opened_by_the_command(used: Path) -> None:
    target = used.parent / "got"
    done = subprocess.run(
        [sys.executable, "-m", "dvc", "get", str(used), "data", "--rev", "dvc-data/parcels", "-o", str(target)],
        env={**os.environ, "HOME": str(used.parent / "home")},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    file = target / "parcels" / "rows" / "2013-02.parquet"
    assert not holds(file.read_bytes(), NOTE)
    moved = file.rename(used.parent / "anything")
    told = json.loads(pillars(used, "data", "open", str(moved), "--to", str(used.parent / "open.parquet"), "--json").stdout)
    assert told["bytes"] == (used.parent / "open.parquet").stat().st_size
    table = pq.read_table(used.parent / "open.parquet")
    assert table.column("note")[5].as_py().startswith(NOTE)
    again = pillars(used, "data", "open", str(moved), "--to", str(used.parent / "open.parquet"))
    assert (again.returncode, again.stdout) == (2, "")
    twice = pillars(used, "data", "open", str(used.parent / "open.parquet"))
    assert (twice.returncode, "is not sealed" in twice.stderr) == (2, True)
    for left in (moved, used.parent / "open.parquet"):
        left.unlink()


def test_a_second_run_changes_nothing(used: Path) -> None:
    before = json.loads(pillars(used, "data", "show", "parcels", "--json").stdout)
    assert pillars(used, "run", "parcels").returncode == 0
    assert json.loads(pillars(used, "data", "show", "parcels", "--json").stdout) == before
    rebuilt = pillars(used, "data", "rebuild", "parcels")
    assert rebuilt.returncode == 0, rebuilt.stderr
    assert json.loads(pillars(used, "data", "show", "parcels", "--json").stdout)["id"] == before["id"]
