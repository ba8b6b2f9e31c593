"""What is older than its time goes, what somebody needs stays, and a kill in between changes nothing of the end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pillars.config_data import Retention
from pillars.data import branch, dropped, retention, sealing, versions
from pillars.data.comparison import compare
from pillars.data.retention import Plan, beyond
from pillars.data.versions import checkout, head, publish, read, verify
from pillars.errors import Dropped, StoreUnavailable
from pillars.stores import Stores
from pillars.vocabulary import DataVersion
from tests.pillars.data.batches import NOW, git, prepared, project
from tests.pillars.data.test_crash import state, stores_in

MONTHS = ("2013-01", "2013-02", "2013-03", "2013-04")
P = project().model_copy(update={"retention": Retention(collected=1, rows=2)})
RETAIN = """
import sys
from pathlib import Path
from pillars.stores import Stores
from tests.pillars.data.dying import die_at
from tests.pillars.data.test_retention import MONTHS, retain

root = Path(sys.argv[1])
die_at(sys.argv[2], int(sys.argv[3]))
retain(Stores(root=root, var=root / "var", remote="../remote"), ("2013-05", *MONTHS))
"""


def ingest(stores: Stores, period: str, seed: int = 0, given: Any = P) -> DataVersion:
    """A period in the data set, and the files that its collection leaves."""
    name, digest = given.project, f"{seed:016x}"
    for path in (
        f"raw/{name}/{period}/rows-{digest}.parquet",
        f"rejected/{name}/{period}-{digest}/rows.parquet",
        f"quarantine/{name}/{period}-{digest}.parquet",
        f"flagged/{name}/{period}-{digest}.parquet",
    ):
        sealing.write(stores, path, f"{period} {seed}".encode(), seal=True)
    batch = prepared(stores, period, seed)
    staged = stores.var / "staging" / name / f"{period}-{digest}"
    staged.mkdir(parents=True, exist_ok=True)
    (staged / "rows.parquet").write_bytes(b"a copy")
    return publish(stores, given, batch, NOW)


def retain(stores: Stores, periods: tuple[str, ...] = MONTHS, needed: dict[str, str] | None = None, given: Any = P, row: int = 7) -> Plan:
    """As the flow does it, the ledger left out."""
    plan = retention.plan(stores, given, periods, max(periods), needed or {})
    retention.drop(stores, given, plan, NOW)
    return retention.delete(stores, plan, row)


def names_in(stores: Stores) -> set[str]:
    """Objects of cache and remote."""
    places = (stores.dvc_cache, Path(stores.dvc_remote))
    return {f"{p.parent.name}{p.name}" for place in places for p in (place / "files" / "md5").glob("??/*") if len(p.name) == 30}


def md5s(stores: Stores, version: DataVersion, period: str) -> set[str]:
    record = next(r for r in versions.records(stores, version.project) if r.id == version.id)
    return {f.md5 for path, f in record.files.items() if path.endswith(f"{period}.parquet")}


def collected_in(stores: Stores) -> Iterator[str]:
    for folder in (*sealing.FOLDERS, "staging"):
        for file in (stores.var / folder).rglob("*"):
            if file.is_file() and not file.parent.name.endswith("-0"):  # where `prepared` puts its batches
                yield stores.relative(file)


@given(
    st.sets(st.integers(1, 40), min_size=1).map(lambda many: sorted(f"p{i:02}" for i in many)),
    st.data(),
    st.none() | st.integers(0, 50),
)
def test_what_lies_further_back_than_the_limit_is_over(periods: list[str], data: st.DataObject, limit: int | None) -> None:
    newest = data.draw(st.sampled_from(periods))
    over = beyond(periods, newest, limit)
    place = periods.index(newest)
    assert over == (() if limit is None else tuple(p for i, p in enumerate(periods) if place - i > limit))
    assert newest not in over
    assert beyond(reversed(periods), newest, limit) == over


def test_rows_leave_the_data_set_and_their_files_with_the_next_batch(stores: Stores) -> None:
    before = [ingest(stores, month) for month in MONTHS][-1]
    january = md5s(stores, before, "2013-01")
    plan = retain(stores)
    now = head(stores, P)
    assert now is not None
    assert (plan.rows, now.periods, now.parent) == (("2013-01",), MONTHS[1:], before.id)
    assert plan.objects == {}
    assert [(one.version, one.why, one.periods) for one in plan.held] == [(before.id, retention.NEWEST_BATCH, ("2013-01",))]
    assert read(stores, before, "rows", ["2013-01"]).num_rows == 40, "a cycle that has begun goes on"
    next_one = ingest(stores, "2013-05")
    plan = retain(stores, (*MONTHS, "2013-05"))
    assert plan.rows == ("2013-01", "2013-02")
    assert set(plan.objects) == january
    assert [one.periods for one in plan.held] == [("2013-02",)]
    assert not january & names_in(stores)
    newest = head(stores, P)
    assert newest is not None
    assert read(stores, newest, "rows", newest.periods).num_rows == 120
    assert read(stores, next_one, "outcomes", ["2013-02"]).num_rows == 40
    assert "without 2013-02" in git(stores.root, "log", "-1", "--format=%s", "dvc-data/parcels")


def test_what_came_in_goes_by_its_own_limit(stores: Stores) -> None:
    for month in (*MONTHS, "2013-01-b"):  # a name that begins like another
        ingest(stores, month) if month in MONTHS else sealing.write(stores, f"raw/parcels/{month}/rows.parquet", b"x", seal=True)
    retain(stores)
    left = set(collected_in(stores))
    assert {path.split("/")[2][:9].rstrip("-0") for path in left if path.startswith("raw/")} >= {"2013-01-b"}
    assert not [path for path in left if "/2013-02" in path]
    assert not [path for path in left if "/2013-01" in path and "2013-01-b" not in path]
    for month in MONTHS[2:]:
        assert len([path for path in left if f"/{month}" in path]) == 5
    assert not (stores.var / "raw/parcels/2013-01").exists()


@pytest.mark.parametrize("limits", [Retention(), Retention(collected=3, rows=3)])
def test_without_a_limit_or_within_it_nothing_goes(stores: Stores, limits: Retention) -> None:
    for month in MONTHS:
        ingest(stores, month)
    before, files = head(stores, P), set(collected_in(stores))
    plan = retain(stores, given=P.model_copy(update={"retention": limits}))
    assert (plan.collected, plan.rows, plan.files, plan.objects) == ((), (), (), {})
    assert (head(stores, P), set(collected_in(stores))) == (before, files)


def test_what_somebody_needs_stays_until_nobody_does(stores: Stores) -> None:
    learned_on, *_ = [ingest(stores, month) for month in (*MONTHS, "2013-05")]
    periods = (*MONTHS, "2013-05")
    retain(stores, periods)
    ingest(stores, "2013-06")
    plan = retain(stores, (*periods, "2013-06"), {learned_on.id: "v1 answers"})
    assert {(one.version, one.why) for one in plan.held} >= {(learned_on.id, "v1 answers")}
    assert {path.rsplit("/", 1)[1][:7] for path in plan.objects.values()} == {"2013-02"}
    assert read(stores, learned_on, "rows", ["2013-01"]).num_rows == 40
    plan = retain(stores, (*periods, "2013-06"), row=9)
    assert {path.rsplit("/", 1)[1][:7] for path in plan.objects.values()} == {"2013-01"}
    with pytest.raises(Dropped, match="ledger row 9"):
        read(stores, learned_on, "rows", ["2013-01"])


def test_bytes_that_another_project_or_period_has_stay(stores: Stores) -> None:
    letters = P.model_copy(update={"project": "letters"})
    for month in MONTHS:
        ingest(stores, month)
    publish(stores, letters, _as_letters(prepared(stores, "2013-01")), NOW)
    ingest(stores, "2013-05")
    plan = retain(stores, (*MONTHS, "2013-05"))
    assert plan.objects == {}, "the other project's January"
    found = head(stores, letters)
    assert found is not None
    assert read(stores, found, "rows", ["2013-01"]).num_rows == 40


def _as_letters(batch: Any) -> Any:
    from dataclasses import replace

    return replace(batch, project="letters")


def test_who_looks_for_what_is_gone_is_told_why(stores: Stores, tmp_path: Path) -> None:
    first = ingest(stores, "2013-01")
    last = [ingest(stores, month) for month in MONTHS[1:]][-1]
    retain(stores)
    now = ingest(stores, "2013-05")
    retain(stores, (*MONTHS, "2013-05"), row=12)
    said = "dropped by retention on ledger row 12; nothing was changed."
    for look in (
        lambda: read(stores, first, "rows", ["2013-01"]),
        lambda: checkout(stores, last, tmp_path / "out"),
        lambda: verify(stores, last),
        lambda: compare(stores, P, first, first_changed(stores)),
    ):
        with pytest.raises(Dropped) as told:
            look()
        assert str(told.value).endswith(said)
        assert "2013-01.parquet" in str(told.value)
    assert not (tmp_path / "out").exists()
    assert [(c.period, c.kind, c.how, c.removed) for c in compare(stores, P, last, now)][:2] == [
        ("2013-01", "outcomes", "removed", 40),
        ("2013-05", "outcomes", "added", 0),
    ]
    (files,) = versions.gone(stores, "parcels", [first, now]).values()
    assert files == {"parcels/outcomes/2013-01.parquet": 12, "parcels/rows/2013-01.parquet": 12}


def first_changed(stores: Stores) -> DataVersion:
    """A version with another January, made by somebody who has it."""
    return ingest(stores, "2013-01", seed=3)


def test_what_is_made_again_is_read_again(stores: Stores) -> None:
    first = ingest(stores, "2013-01")
    for month in MONTHS[1:]:
        ingest(stores, month)
    retain(stores)
    ingest(stores, "2013-05")
    retain(stores, (*MONTHS, "2013-05"))
    ingest(stores, "2013-01")
    assert read(stores, first, "rows", ["2013-01"]).num_rows == 40
    assert versions.gone(stores, "parcels", [first]) == {}


def test_what_was_published_meanwhile_is_not_deleted(stores: Stores) -> None:
    for month in MONTHS:
        ingest(stores, month)
    retain(stores)
    ingest(stores, "2013-05")
    plan = retention.plan(stores, P, (*MONTHS, "2013-05"), "2013-05", {})
    assert plan.objects
    retention.drop(stores, P, plan, NOW)
    version = ingest(stores, "2013-01")
    assert retention.delete(stores, plan, 3).objects == {}
    assert read(stores, version, "rows", ["2013-01"]).num_rows == 40


def test_a_damaged_note_is_said(stores: Stores) -> None:
    dropped.write(stores, "parcels", ["ab"], 3)
    assert dropped.rows(stores, "parcels") == {"ab": 3}
    dropped.write(stores, "parcels", ["cd"], 4)
    assert dropped.rows(stores, "parcels") == {"ab": 3, "cd": 4}
    (stores.var / "dvc/dropped/parcels.json").write_text("[1]")
    with pytest.raises(StoreUnavailable, match=r"parcels\.json"):
        dropped.rows(stores, "parcels")


PLACES = [
    ("pillars.data.objects.store", 1),  # nothing yet
    ("pillars.data.objects._send", 2),  # the new listing is in the cache
    ("pillars.data.branch.append", 1),  # on the remote, and git knows nothing
    ("pillars.data.retention._delete", 1),  # the version is made, nothing is deleted
    ("pillars.data.retention._delete", 4),  # some files are
    ("pillars.data.dropped.write", 1),  # all files, no object
    ("pillars.data.objects.remove", 1),  # it is noted which objects go
    ("pillars.data.objects._cached", 3),  # on its way through them
    ("os.replace", 2),
]


def world(folder: Path) -> Stores:
    """Five months; January's objects are free to go, as February's batch made the newest version without them."""
    stores = stores_in(folder)
    for month in MONTHS:
        ingest(stores, month)
    retain(stores)
    ingest(stores, "2013-05")
    return stores


def all_of(stores: Stores) -> dict[str, Any]:
    return state(stores) | {"collected": sorted(collected_in(stores)), "gone": dropped.rows(stores, "parcels")}


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    stores = world(tmp_path_factory.mktemp("undisturbed"))
    retain(stores, (*MONTHS, "2013-05"))
    return all_of(stores)


@pytest.mark.parametrize(("place", "nth"), PLACES)
def test_killed_anywhere_the_same_call_again_ends_the_same(tmp_path: Path, undisturbed: dict[str, Any], place: str, nth: int) -> None:
    stores = world(tmp_path)
    env = {k: v for k, v in os.environ.items() if not k.startswith("PILLARS_")} | {"PYTHONPATH": os.getcwd()}
    arguments = [sys.executable, "-c", RETAIN, str(stores.root), place, str(nth)]
    killed = subprocess.run(arguments, env=env, capture_output=True, text=True, timeout=120, check=False)
    assert killed.returncode == -signal.SIGKILL, f"the place was not reached: {killed.stderr}"
    now = head(stores, P)
    assert now is not None
    assert read(stores, now, "rows", now.periods).num_rows == 40 * len(now.periods)
    retain(stores, (*MONTHS, "2013-05"))
    assert all_of(stores) == undisturbed
    retain(stores, (*MONTHS, "2013-05"))
    assert all_of(stores) == undisturbed
    assert branch.tip(stores.root, "parcels")
