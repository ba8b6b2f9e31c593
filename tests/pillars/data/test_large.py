"""A batch that is read, checked and written in pieces becomes what it would become in memory: the same verdict, the same files."""

from __future__ import annotations

import os
import shutil
import signal
from dataclasses import asdict
from itertools import count
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings

from pillars.config import Project
from pillars.data import engines, spilled
from pillars.data.cleaning import prepare
from pillars.errors import DataCorrupt
from pillars.stores import Stores
from tests.pillars.data.batches import COLUMNS, changed, collected, outcomes, project, rows
from tests.pillars.data.dying import dying
from tests.pillars.data.test_properties import RULES, spoiled, wrongs

GOOD = rows("2013-01", 300)
STRANGE = GOOD.append_column("gift", pa.array(["ribbon"] * 300))
TWICE = pa.concat_tables([GOOD, GOOD.slice(2, 5), changed(GOOD, "weight_kg", list(range(300)), 3.5).slice(2, 3)])
WORDS = GOOD.set_column(2, "weight_kg", pa.array(["heavy" if i in (7, 8) else f"{i % 40}.5" for i in range(300)]))
TEXT = pa.table({name: pa.array([None if v is None else str(v) for v in GOOD.column(name).to_pylist()]) for name in GOOD.column_names})
QUASI: dict[str, Any] = {"privacy": {"k": 3, "quasi": {"weight_kg": [5, 10, 20]}}}
FILE: dict[str, Any] = {"source": {"file": "parcels.csv", "batches": {"by": "time"}}}
REPAIRED: dict[str, Any] = {
    "columns": COLUMNS
    | {
        "weight_kg": {"type": "float", "role": ["feature"], "repair": {"clip": [2, 35], "null_as": [3.5]}, "outliers": {"times": 0.2}},
        "carrier": {"type": "category", "role": ["feature"], "repair": {"case": "lower", "values": {"c": "A", "b": "B", "a": "A"}}},
    }
}


@pytest.fixture(autouse=True)
def _small_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    for module, name, size in ((engines, "PIECE", 64), (engines, "FEW", 16), (spilled, "PIECE", 48)):
        monkeypatch.setattr(module, name, size)


def asking(**sections: Any) -> Project:
    return Project.model_validate(project().model_dump(mode="json", exclude_defaults=True) | sections)


def files(stores: Stores) -> dict[str, bytes]:
    """All that was written, by path."""
    found = (p for p in stores.var.rglob("*") if p.is_file() and "keys" not in p.parts)
    return {p.relative_to(stores.var).as_posix(): p.read_bytes() for p in found}


def both(folder: Path, given: Project, table: pa.Table, results: pa.Table | None = None) -> tuple[tuple[Any, dict[str, bytes]], ...]:
    """What becomes of a batch in memory, and in pieces."""
    found = []
    for way, large in (("whole", 1_000_000), ("pieces", 1)):
        if found:  # the same keys seal the same bytes
            shutil.copytree(folder / "whole/var/keys", folder / "pieces/var/keys")
        stores = Stores(root=folder / way, var=Path("var"), large_rows=large)
        found.append((asdict(prepare(stores, given, collected(stores, given, table, results))), files(stores)))
    return tuple(found)


@pytest.mark.parametrize(
    ("given", "table"),
    [
        pytest.param(project(), GOOD, id="good"),
        pytest.param(project(), changed(changed(GOOD, "carrier", [3, 99], "Z"), "weight_kg", [4, 99, 250], -1.0), id="failing rows"),
        pytest.param(project(), TWICE, id="twice"),
        pytest.param(project(duplicates={"keep": "last"}), TWICE, id="the last wins"),
        pytest.param(project(duplicates={"keep": "greatest", "of": "weight_kg"}), TWICE, id="the greatest wins"),
        pytest.param(project(), changed(GOOD, "weight_kg", [5, 290], float("inf")), id="infinite"),
        pytest.param(project(), changed(GOOD, "at", [5, 290], None), id="no key"),
        pytest.param(project(), STRANGE, id="an undeclared column"),
        pytest.param(project(), GOOD.drop_columns(["carrier"]), id="a missing column"),
        pytest.param(project(), WORDS, id="another type"),
        pytest.param(project(), GOOD.set_column(4, "stops", pa.array([0.0] * 200 + [1.5] * 100)), id="no integers in the end"),
        pytest.param(project(), GOOD.set_column(2, "weight_kg", pa.nulls(300)), id="a column without values"),
        pytest.param(project(min_rows=301), GOOD, id="too few"),
        pytest.param(asking(**FILE), TEXT, id="text"),
        pytest.param(asking(**FILE), changed(TEXT, "weight_kg", [3, 200], "heavy"), id="text that is no number"),
        pytest.param(asking(**REPAIRED), GOOD, id="repairs and outliers"),
        pytest.param(asking(**QUASI), GOOD, id="groups of k"),
        pytest.param(asking(privacy=QUASI["privacy"] | {"subject": "person"}), GOOD, id="groups of k persons"),
    ],
)
def test_in_pieces_it_is_what_it_is_in_memory(given: Project, table: pa.Table, tmp_path: Path) -> None:
    whole, pieces = both(tmp_path, given, table)
    assert pieces[0] == whole[0]
    assert sorted(pieces[1]) == sorted(whole[1])
    assert [name for name in whole[1] if whole[1][name] != pieces[1][name]] == []


def test_outcomes_without_a_row_are_found_in_pieces_too(tmp_path: Path) -> None:
    late = changed(outcomes(GOOD), "parcel", [4, 5], 9999).slice(2, 200)
    whole, pieces = both(tmp_path, project(), changed(GOOD, "carrier", [7, 8], "Z"), late)
    assert whole[0]["quarantine_path"]
    assert pieces == whole


@settings(max_examples=12, deadline=None)
@given(wrong=wrongs, rules=RULES)
def test_whatever_is_wrong_with_it(
    wrong: list[tuple[str, int, Any]], rules: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    table = spoiled(wrong)
    whole, pieces = both(tmp_path_factory.mktemp("batch"), project(**rules), table)
    assert pieces == whole


def test_nothing_of_the_pieces_is_left(tmp_path: Path) -> None:
    _, (_, written) = both(tmp_path, project(), GOOD)
    assert {name.split("/")[0] for name in written} == {"raw", "staging", "reports"}
    assert not [path for path in (tmp_path / "pieces/var/staging").iterdir() if path.name.startswith("pillars-batch")]


def test_a_changed_byte_of_a_large_batch_is_found_before_it_is_read(tmp_path: Path) -> None:
    stores = Stores(root=tmp_path, var=Path("var"), large_rows=1)
    came = collected(stores, project(), GOOD)
    path = stores.var / came.rows_path
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(bytes(content))
    with pytest.raises(DataCorrupt):
        prepare(stores, project(), came)


CRASHED = changed(TWICE, "carrier", [3, 99], "Z")


def attempt(root: Path, nth: int = 0) -> tuple[int, int]:
    """Collect and prepare a batch in pieces, in a child that kills itself at the nth file or folder that becomes visible.

    Returns:
        The signal that ended it, or 0; and how many files and folders there were.
    """
    told, say = os.pipe()
    if (child := os.fork()) == 0:
        calls = count(1)
        os.replace, os.mkdir = dying(os.replace, nth, calls), dying(os.mkdir, nth, calls)
        failed = True
        try:
            stores = Stores(root=root, var=Path("var"), large_rows=1)
            prepare(stores, project(duplicates={"keep": "last"}), collected(stores, project(), CRASHED))
            os.write(say, str(next(calls) - 1).encode())
            failed = False
        finally:
            os._exit(int(failed))
    os.close(say)
    _, status = os.waitpid(child, 0)
    with os.fdopen(told) as heard:
        points = int(heard.read() or 0)
    assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, points


@pytest.mark.slow
def test_killed_anywhere_the_same_again_ends_the_same(tmp_path: Path) -> None:
    import great_expectations.expectations  # once, and not in every child

    assert great_expectations.expectations
    whole = tmp_path / "undisturbed"
    _, points = attempt(whole)
    assert points > 10
    for nth in range(1, points + 1):
        root = tmp_path / str(nth)
        shutil.copytree(whole / "var/keys", root / "var/keys")
        killed, _ = attempt(root, nth)
        assert attempt(root)[0] == 0
        assert killed in (0, signal.SIGKILL)  # keys are there already: a few points fewer
        written = {name: content for name, content in files(Stores(root=root, var=Path("var"))).items() if "/pillars-" not in name}
        assert written == files(Stores(root=whole, var=Path("var"))), nth
