from __future__ import annotations

import hmac
import json
import os
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from pillars.data import chunks, keyring, sealing
from pillars.errors import DataCorrupt, StoreUnavailable
from pillars.stores import Stores

PATH, SECRET = "raw/parcels/2013-01/rows.parquet", b"Zaphod lives at number 42" * 9


def put(stores: Stores, path: str = PATH, content: bytes = SECRET) -> Path:
    sealing.write(stores, path, content, seal=True)
    return stores.var / path


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=500))
def test_what_is_sealed_opens_again(stores: Stores, content: bytes) -> None:
    file = put(stores, content=content)
    assert sealing.read(stores, PATH) == content
    assert len(content) < 6 or content not in file.read_bytes()[chunks.HEAD :]


def test_equal_content_gives_equal_bytes_and_other_paths_others(stores: Stores) -> None:
    first = put(stores).read_bytes()
    assert put(stores).read_bytes() == first
    assert put(stores, "raw/parcels/2013-02/rows.parquet").read_bytes() != first


def test_what_is_not_sealed_is_read_as_it_is(stores: Stores) -> None:
    sealing.write(stores, PATH, SECRET, seal=False)
    assert (stores.var / PATH).read_bytes() == sealing.read(stores, PATH) == SECRET


@pytest.mark.parametrize("at", [0, 9, 14, 50, -1], ids=["magic", "key", "mac", "content", "tag"])
def test_a_flipped_bit_is_noticed(stores: Stores, at: int) -> None:
    file = put(stores)
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(bytes(content))
    if at == 0:
        assert sealing.read(stores, PATH) != SECRET  # no sealed file any more: its sha256 says so
        return
    with pytest.raises((DataCorrupt, StoreUnavailable), match=PATH):
        sealing.read(stores, PATH)


def as_version_1(stores: Stores, path: str, content: bytes) -> Path:
    """A file as releases before chunks sealed it."""
    ring = keyring.ring(stores)
    key = ring.keys[ring.newest]
    mac = hmac.digest(hmac.digest(key, b"nonce", "sha256"), path.encode() + b"\0" + content, "sha256")[:12]
    head = b"PILLARS\x01" + bytes.fromhex(ring.newest) + mac
    file = stores.var / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(head + AESGCM(hmac.digest(key, b"content", "sha256")).encrypt(mac, content, path.encode()))
    return file


def test_what_an_earlier_release_sealed_is_read_counted_and_sealed_anew(stores: Stores) -> None:
    file = as_version_1(stores, PATH, SECRET)
    assert sealing.read(stores, PATH) == SECRET
    with sealing.open_file(stores, PATH) as content:
        content.seek(7)
        assert content.read(6) == SECRET[7:13]
    assert list(sealing.files(stores)) == [PATH]
    assert sealing.rotate(stores).files == 1
    assert file.read_bytes().startswith(chunks.MAGIC)
    assert sealing.read(stores, PATH) == SECRET
    changed = bytearray(as_version_1(stores, PATH, SECRET).read_bytes())
    changed[30] ^= 1
    file.write_bytes(bytes(changed))
    with pytest.raises(DataCorrupt, match=PATH):
        sealing.read(stores, PATH)


@pytest.mark.parametrize("seal", [True, False])
def test_a_file_or_parts_give_the_bytes_that_their_content_gives(stores: Stores, tmp_path: Path, seal: bool) -> None:
    content = os.urandom(3_000_001)
    (tmp_path / "plain").write_bytes(content)
    sealing.write(stores, PATH, content, seal=seal)
    whole = (stores.var / PATH).read_bytes()
    for plain in (tmp_path / "plain", iter([content[:5], b"", content[5:]])):
        (stores.var / PATH).unlink()
        sealing.write_file(stores, PATH, plain, seal=seal)
        assert (stores.var / PATH).read_bytes() == whole
        assert (stores.var / PATH).stat().st_mode & 0o777 == 0o600
    assert [f.name for f in (stores.var / "raw").rglob("*") if f.is_file()] == ["rows.parquet"]


def test_single_row_groups_are_read_out_of_a_sealed_file(stores: Stores, tmp_path: Path) -> None:
    """pyarrow reads the end and one group, not the whole; DuckDB scans the same reader's batches."""
    numbers = pa.table({"n": np.random.default_rng(0).integers(0, 1 << 60, 800_000)})
    pq.write_table(numbers, tmp_path / "plain", row_group_size=100_000, compression="none")
    sealing.write_file(stores, PATH, tmp_path / "plain", seal=True)
    numbers_read: list[int] = []
    load = chunks.Reader._load

    def noted(self: chunks.Reader, number: int) -> None:
        numbers_read.append(number)
        load(self, number)

    with pytest.MonkeyPatch.context() as patched, sealing.open_file(stores, PATH) as content:
        patched.setattr(chunks.Reader, "_load", noted)
        table = pq.ParquetFile(content).read_row_group(5)
        assert table.equals(numbers.slice(500_000, 100_000))
        total = (stores.var / PATH).stat().st_size // chunks.SEALED + 1
        assert len(set(numbers_read)) < total - 2
    with sealing.open_file(stores, PATH) as content:
        batches = pq.ParquetFile(content).iter_batches(batch_size=50_000)
        reader = pa.RecordBatchReader.from_batches(numbers.schema, batches)  # noqa: F841
        found = duckdb.sql("SELECT count(*), max(n) FROM reader").fetchall()
        assert found == [(800_000, max(numbers["n"].to_pylist()))]


def test_a_sealed_file_that_rots_while_it_is_read_is_said(stores: Stores, tmp_path: Path) -> None:
    pq.write_table(pa.table({"n": np.arange(600_000)}), tmp_path / "plain", compression="none", use_dictionary=False)
    sealing.write_file(stores, PATH, tmp_path / "plain", seal=True)
    with (stores.var / PATH).open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"rot")
    with sealing.open_file(stores, PATH) as content, pytest.raises(DataCorrupt, match=PATH):
        pq.ParquetFile(content).read()


def test_a_plain_file_that_is_not_there_is_said(stores: Stores, tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="nowhere"):
        sealing.write_file(stores, PATH, tmp_path / "nowhere", seal=True)
    assert not (stores.var / PATH).exists()


def test_keys_rotated_while_a_file_is_sealed_seal_it_once_more(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    put(stores)
    before, seal = keyring.ring(stores).newest, chunks.seal

    def overtaken(*given: object) -> None:
        monkeypatch.setattr(chunks, "seal", seal)
        seal(*given)  # type: ignore[arg-type]
        sealing.rotate(stores)

    monkeypatch.setattr(chunks, "seal", overtaken)
    put(stores, "raw/parcels/2013-02/rows.parquet")
    assert sealing.read(stores, "raw/parcels/2013-02/rows.parquet") == SECRET
    assert before not in keyring.ring(stores).keys
    assert not list((stores.var / "raw").rglob(".*"))


def test_a_file_renamed_to_another_is_noticed(stores: Stores) -> None:
    other = "raw/parcels/2013-02/rows.parquet"
    put(stores, other, b"another month")
    os.replace(put(stores), stores.var / other)
    with pytest.raises(DataCorrupt, match="2013-02"):
        sealing.read(stores, other)


def test_only_the_owner_reads(stores: Stores) -> None:
    stores.folder("quarantine").chmod(0o755)
    for seal in (True, False):
        path = f"quarantine/parcels/{seal}.parquet"
        sealing.write(stores, path, SECRET, seal=seal)
        assert (stores.var / path).stat().st_mode & 0o777 == 0o600
    assert (stores.var / "quarantine").stat().st_mode & 0o777 == 0o700
    assert (stores.var / keyring.FILE).stat().st_mode & 0o777 == 0o600


def test_rotation_seals_all_anew_and_drops_the_old_key(stores: Stores) -> None:
    paths = [f"{folder}/parcels/{i}.parquet" for folder in sealing.FOLDERS for i in range(3)]
    before = {path: put(stores, path, path.encode()).read_bytes() for path in paths}
    sealing.write(stores, "raw/open.parquet", b"open", seal=False)
    old = keyring.ring(stores).newest
    done: list[int] = []
    found = sealing.rotate(stores, done.append)
    assert (found.files, found.dropped) == (12, (old,))
    assert done[-1] == 12
    assert list(keyring.ring(stores).keys) == [found.key] != [old]
    for path in paths:
        assert sealing.read(stores, path) == path.encode()
        assert (stores.var / path).read_bytes() != before[path]
    assert (stores.var / "raw/open.parquet").read_bytes() == b"open"
    (stores.var / PATH).parent.mkdir(parents=True, exist_ok=True)
    (stores.var / PATH).write_bytes(before[paths[0]])
    with pytest.raises(StoreUnavailable, match=f"key {old}, which is not on the ring"):
        sealing.read(stores, PATH)


def test_an_interrupted_rotation_goes_on(stores: Stores) -> None:
    paths = [f"raw/parcels/{i}.parquet" for i in range(4)]
    for path in paths:
        put(stores, path)

    def die(done: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sealing.rotate(stores, die)
    begun = keyring.ring(stores)
    assert len(begun.keys) == 2
    assert all(sealing.read(stores, path) == SECRET for path in paths)
    found = sealing.rotate(stores)
    assert (found.key, found.files) == (begun.newest, 2)
    assert all(sealing.read(stores, path) == SECRET for path in paths)


def test_a_rotation_that_cannot_open_a_file_keeps_all_keys(stores: Stores) -> None:
    put(stores)
    bad = put(stores, "raw/parcels/bad.parquet")
    bad.write_bytes(bad.read_bytes()[:-3])
    with pytest.raises(DataCorrupt, match="bad"):
        sealing.rotate(stores)
    assert len(keyring.ring(stores).keys) == 2
    assert sealing.read(stores, PATH) == SECRET


def test_a_ring_of_another_installation_is_said(stores: Stores) -> None:
    put(stores)
    stranger = stores.model_copy(update={"key": SecretStr("ab" * 32)})
    stranger.__dict__.pop("secret", None)
    with pytest.raises(StoreUnavailable, match="another installation's key"):
        sealing.read(stranger, PATH)


@pytest.mark.parametrize("content", [b"", b"{}", b'{"keys": [{"id": "x"}]}', b'{"keys": [{"id": "x", "wrapped": "zz"}]}', b"\xff"])
def test_a_damaged_ring_is_said(stores: Stores, content: bytes) -> None:
    put(stores)
    (stores.var / keyring.FILE).write_bytes(content)
    with pytest.raises(StoreUnavailable, match=r"files\.json"):
        sealing.read(stores, PATH)


def test_no_key_is_on_disk_as_it_is(stores: Stores) -> None:
    put(stores)
    text = (stores.var / keyring.FILE).read_text()
    assert json.loads(text)["keys"]
    assert all(key.hex() not in text for key in keyring.ring(stores).keys.values())
