"""A data set that is sealed keeps all that one in the open keeps, and shows nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from pillars.data import at_rest, branch, chunks, keyring, sealing
from pillars.data.auditing import examine
from pillars.data.cleaning import prepare
from pillars.data.comparison import compare
from pillars.data.parquet import read_parquet
from pillars.data.versions import changes, checkout, head, publish, read, verify
from pillars.errors import DataCorrupt, StoreUnavailable
from pillars.recovery.backup import backup
from pillars.recovery.restore import restore
from pillars.stores import Stores
from pillars.vocabulary import DataVersion
from tests.pillars.data.batches import NOW, collected, outcomes, prepared, project, repository, rows

OPEN = project()
P = OPEN.model_copy(update={"privacy": OPEN.privacy.model_copy(update={"encrypt": True})})
RING = f"var/{keyring.FILE}"


def ingest(stores: Stores, period: str, seed: int = 0, given: object = P) -> DataVersion:
    return publish(stores, given, prepared(stores, period, seed, of=given), NOW)  # type: ignore[arg-type]


def objects_of(stores: Stores) -> Iterator[Path]:
    for base in (stores.dvc_cache, Path(stores.dvc_remote)):
        yield from (f for f in base.rglob("*") if f.is_file() and len(f.name) == 30)


def test_every_file_of_the_data_set_is_sealed_and_read(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    found = [*objects_of(stores), *(stores.var / "staging").rglob("*.parquet")]
    assert len(found) == 6, "rows and outcomes: staged, in the cache, on the remote"
    assert all(f.read_bytes().startswith(chunks.MAGIC) for f in found)
    assert read(stores, version, "rows", ["2013-01"]).equals(rows("2013-01").drop_columns(["person"]))
    assert read(stores, version, "outcomes", ["2013-01"]).num_rows == 40
    assert read(stores, version, "rows", ["2013-01"], ["carrier"]).column_names == ["carrier"]


def test_equal_rows_are_an_equal_version_and_a_rotation_changes_none(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    ring = keyring.ring(stores)
    assert ingest(stores, "2013-01") == version
    sealing.rotate(stores)
    after = keyring.ring(stores)
    assert after.newest != ring.newest
    assert after.data == ring.data
    assert after.data["parcels"].secret.hex() not in (stores.var / keyring.FILE).read_text()
    assert ingest(stores, "2013-01") == version
    assert read(stores, version, "rows", ["2013-01"]).num_rows == 40


def test_made_again_from_nothing_but_the_keys_it_is_the_same(stores: Stores) -> None:
    first = [ingest(stores, p).id for p in ("2013-01", "2013-02")]
    for folder in ("dvc", "staging"):
        shutil.rmtree(stores.var / folder)
    again = [ingest(Stores(root=stores.root, var=stores.var), p).id for p in ("2013-01", "2013-02")]
    assert again == first


def test_another_project_has_another_key(stores: Stores) -> None:
    other = P.model_copy(update={"project": "letters"})
    for given in (P, other):
        at_rest.write(stores, given, f"staging/{given.project}", b"the same")
    one, two = ((stores.var / f"staging/{name}").read_bytes() for name in ("parcels", "letters"))
    assert chunks.key_id(one) != chunks.key_id(two)
    assert sealing.read(stores, "staging/parcels") == sealing.read(stores, "staging/letters") == b"the same"


def test_switched_on_later_it_seals_what_comes_and_reads_what_was(stores: Stores, tmp_path: Path) -> None:
    old = ingest(stores, "2013-01", given=OPEN)
    new = ingest(stores, "2013-02")
    assert read(stores, new, "rows", ["2013-01", "2013-02"]).num_rows == 80
    assert sorted(changes(stores, old, new)) == ["parcels/outcomes/2013-02.parquet", "parcels/rows/2013-02.parquet"]
    files = checkout(stores, new, tmp_path / "sealed")
    assert [f.read_bytes()[:4] for f in files] == [b"PAR1", b"PILL"] * 2
    off = ingest(stores, "2013-03", given=OPEN)
    assert read(stores, off, "rows", off.periods).num_rows == 120


def test_a_checkout_is_sealed_or_on_demand_plain(stores: Stores, tmp_path: Path) -> None:
    version = ingest(stores, "2013-01")
    sealed, plain = checkout(stores, version, tmp_path / "s"), checkout(stores, version, tmp_path / "p", plain=True)
    assert all(f.read_bytes().startswith(chunks.MAGIC) for f in sealed)
    assert read_parquet(plain[1]).equals(read(stores, version, "rows", ["2013-01"]))
    assert {f.stat().st_mode & 0o777 for f in plain} == {0o600}
    assert checkout(stores, version, tmp_path / "p", plain=True) == plain
    plain[0].write_bytes(b"mine")
    with pytest.raises(StoreUnavailable, match="other bytes"):
        checkout(stores, version, tmp_path / "p", plain=True)


def test_both_copies_are_hashed_and_mended_as_they_lie(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    rotten = next(iter(objects_of(stores)))
    rotten.chmod(0o644)
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"?")
    (damage,) = verify(stores, version)
    assert (damage.place, damage.mended) == ("cache", True)
    assert verify(stores, version) == ()
    assert read(stores, version, "rows", ["2013-01"]).num_rows == 40


def test_versions_are_compared_and_audited_by_their_rows(stores: Stores) -> None:
    before, after = ingest(stores, "2013-01"), ingest(stores, "2013-01", seed=1)
    (change,) = [c for c in compare(stores, P, before, after) if c.kind == "rows"]
    assert (change.how, change.before, change.after) == ("changed", 40, 40)
    assert compare(stores, P, after, after) == ()
    assert examine(stores, P, after, "2013-01").rows == 40


def test_cleaning_seals_what_it_leaves_and_what_came_in(stores: Stores) -> None:
    columns = {"person": {"type": "text"}}  # nothing personal is declared: it is the option that seals
    plain = project(columns=columns)
    given = plain.model_copy(update={"privacy": plain.privacy.model_copy(update={"encrypt": True})})
    table = rows("2013-01")
    ready = prepare(stores, given, collected(stores, given, table, outcomes(table)))
    assert ready.rows == 40
    written = [f for folder in ("raw", "staging") for f in (stores.var / folder).rglob("*.parquet")]
    assert len(written) == 4
    assert all(f.read_bytes().startswith(chunks.MAGIC) for f in written)


def test_without_its_ring_nothing_is_read_and_nothing_published(stores: Stores, tmp_path: Path) -> None:
    version = ingest(stores, "2013-01")
    key = keyring.ring(stores).data["parcels"].id
    shutil.move(stores.var / keyring.FILE, tmp_path / "ring")
    with pytest.raises(StoreUnavailable, match=rf"parcels/rows/2013-01\.parquet: is sealed with key {key}, which is not on the ring"):
        read(stores, version, "rows", ["2013-01"])
    with pytest.raises(StoreUnavailable, match=rf"sealed with key {key}.*git branch -m dvc-data/parcels lost/parcels") as said:
        ingest(stores, "2013-02")
    assert "Nothing was published" in str(said.value)
    assert head(stores, P) == version
    shutil.move(tmp_path / "ring", stores.var / keyring.FILE)
    assert ingest(stores, "2013-02").periods == ("2013-01", "2013-02")


def test_the_way_out_of_a_lost_ring_is_the_one_that_is_named(stores: Stores) -> None:
    ingest(stores, "2013-01")
    (stores.var / keyring.FILE).unlink()
    branch._git(stores.root, "branch", "-m", "dvc-data/parcels", "lost/parcels")
    version = ingest(stores, "2013-01")
    assert read(stores, version, "rows", ["2013-01"]).num_rows == 40


def test_where_all_was_removed_the_data_set_starts_over(stores: Stores) -> None:
    ingest(stores, "2013-01")
    shutil.rmtree(stores.var)
    fresh = Stores(root=stores.root, var=stores.var)
    version = ingest(fresh, "2013-02")
    assert (version.periods, version.parent) == (("2013-02",), None)


def test_many_at_once_make_one_key(stores: Stores) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: keyring.data_key(stores, "parcels").id, range(16)))
    assert len(set(found)) == 1


def test_a_ring_without_data_keys_is_one_of_an_earlier_release(stores: Stores) -> None:
    keyring.ring(stores)
    assert "data" not in json.loads((stores.var / keyring.FILE).read_text())
    assert keyring.ring(stores).data == {}
    keyring.data_key(stores, "parcels")
    said = json.loads((stores.var / keyring.FILE).read_text())
    assert [one["project"] for one in said["data"]] == ["parcels"]
    said["data"][0]["by"] = "00000000"
    (stores.var / keyring.FILE).write_text(json.dumps(said))
    with pytest.raises(StoreUnavailable, match="is no ring of keys"):
        keyring.ring(stores)


def test_a_large_file_is_sealed_from_parts(stores: Stores) -> None:
    at_rest.write_file(stores, P, "staging/parcels/big", (bytes([i]) * 500_000 for i in range(6)))
    at_rest.write(stores, P, "staging/parcels/same", b"".join(bytes([i]) * 500_000 for i in range(6)))
    assert (stores.var / "staging/parcels/big").read_bytes() == (stores.var / "staging/parcels/same").read_bytes()
    with sealing.open_file(stores, "staging/parcels/big") as content:
        content.seek(2_499_999)
        assert content.read(2) == b"\x04\x05"


def test_a_changed_file_is_refused_by_its_hash_and_by_its_seal(stores: Stores) -> None:
    version = ingest(stores, "2013-01")
    for f in objects_of(stores):
        f.chmod(0o644)
        f.write_bytes(f.read_bytes()[:-1] + b"?")
    with pytest.raises(DataCorrupt, match=r"2013-01\.parquet"):
        read(stores, version, "rows", ["2013-01"])
    file = next((stores.var / "staging").rglob("rows.parquet"))
    with pytest.raises(DataCorrupt, match="that its seal says"):
        at_rest.unsealed(stores, file.read_bytes()[:-1] + b"?", "rows")


def test_a_backup_has_the_key_and_the_rows_are_read_elsewhere(stores: Stores, tmp_path: Path) -> None:
    version = ingest(stores, "2013-01")
    backup(stores, tmp_path / "all.tar", NOW)
    root = repository(tmp_path / "elsewhere")
    there = Stores(root=root, var=root / "var")
    restore(there, tmp_path / "all.tar")
    assert head(there, P) == version
    assert isinstance(read(there, version, "rows", ["2013-01"]), pa.Table)
    assert publish(there, P, prepared(there, "2013-01", of=P), NOW) == version
