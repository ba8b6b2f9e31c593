"""`pillars keys`: which there are, rotation, and a person's key destroyed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from pillars.data import keyring, sealing, subjects
from pillars.stores import Stores
from tests.bad_input.door import say
from tests.pillars.data.batches import CANARY, project, repository

PATHS = [f"raw/parcels/2013-0{month}/rows.parquet" for month in (1, 2, 3)]


@pytest.fixture
def stores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stores:
    """An installation with three sealed files and the project of parcels, whose subject is the person."""
    root = repository(tmp_path / "work")
    monkeypatch.setenv("PILLARS_ROOT", str(root))
    monkeypatch.delenv("PILLARS_VAR")
    stores = Stores()
    for path in PATHS:
        sealing.write(stores, path, CANARY.encode(), seal=True)
    file = stores.config_file("parcels")
    file.parent.mkdir(exist_ok=True)
    said = project().model_dump(mode="json", exclude_defaults=True) | {"privacy": {"subject": "person"}}
    file.write_text(yaml.safe_dump(said, sort_keys=False))
    return stores


def test_keys_are_shown_by_their_ids_only(stores: Stores) -> None:
    told = json.loads(say("keys", "show", "--json").out)
    ring = keyring.ring(stores)
    assert told["file_keys"] == [{"id": ring.newest, "seals": True, "files": 3}]
    said = say("keys", "show").out
    assert f"{ring.newest}           3 files, seals what comes" in said
    assert ring.keys[ring.newest].hex() not in said
    assert stores.secret.hex() not in said


def test_an_installation_without_sealed_files_says_so_and_makes_no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PILLARS_ROOT", str(repository(tmp_path / "other")))
    monkeypatch.delenv("PILLARS_VAR")
    assert "none: no project has personal or sensitive columns yet" in say("keys", "show").out
    assert not (Stores().var / keyring.FILE).exists()


def test_rotation_leaves_one_new_key_and_every_file_readable(stores: Stores) -> None:
    before = keyring.ring(stores).newest
    told = json.loads(say("keys", "rotate", "--json").out)
    assert (told["files"], told["dropped"]) == (3, [before])
    assert list(keyring.ring(stores).keys) == [told["key"]]
    assert all(sealing.read(stores, path) == CANARY.encode() for path in PATHS)


def test_files_whose_key_is_gone_are_told(stores: Stores) -> None:
    old = keyring.ring(stores).newest
    (stores.var / keyring.FILE).unlink()
    assert f"NOT on the ring: {old}, 3 files that nobody can read" in say("keys", "show").out
    refused = say("keys", "rotate")
    assert refused.exit_code != 0
    assert f"is sealed with key {old}, which is not on the ring" in refused.err


def test_a_persons_key_is_destroyed_once_and_named_nowhere(stores: Stores, tmp_path: Path) -> None:
    subjects.keys_of(stores, "parcels", [CANARY])
    who = tmp_path / "who.txt"
    who.write_text(f"{CANARY}\n")
    told = say("keys", "destroy", "parcels", "--from", str(who), "--yes", "--json")
    assert json.loads(told.out) == {"project": "parcels", "asked": 1, "destroyed": 1, "destroyed_ever": 1}
    again = say("keys", "destroy", "parcels", "--from", str(who), "--yes")
    assert again.exit_code == 0
    assert "0 of 1" in again.out
    assert CANARY not in told.out + told.err + again.out + again.err


def test_nothing_is_destroyed_unasked_or_where_rows_are_nobodys(stores: Stores, tmp_path: Path) -> None:
    subjects.keys_of(stores, "parcels", [CANARY])
    who = tmp_path / "who.txt"
    who.write_text(f"{CANARY}\n")
    assert say("keys", "destroy", "parcels", "--from", str(who)).exit_code == 1
    file = stores.config_file("parcels")
    file.write_text(yaml.safe_dump({k: v for k, v in yaml.safe_load(file.read_text()).items() if k != "privacy"}))
    refused = say("keys", "destroy", "parcels", "--from", str(who), "--yes")
    assert refused.exit_code == 2
    assert "privacy.subject" in refused.err
    assert subjects.destroyed(stores, "parcels") == 0


def test_the_key_of_a_data_set_is_told_and_outlives_a_rotation(stores: Stores) -> None:
    key = keyring.data_key(stores, "parcels")
    assert say("keys", "rotate").exit_code == 0
    assert json.loads(say("keys", "show", "--json").out)["data_keys"] == [{"project": "parcels", "id": key.id}]
    assert f"data key {key.id}    seals the data set of parcels" in say("keys", "show").out
    assert keyring.data_key(stores, "parcels") == key


def test_one_sealed_file_is_opened_for_its_owner_alone(stores: Stores, tmp_path: Path) -> None:
    said = say("data", "open", str(stores.var / PATHS[0]), "--to", str(tmp_path / "out"), "--json")
    assert json.loads(said.out)["key"] == keyring.ring(stores).newest
    assert (tmp_path / "out").read_bytes() == CANARY.encode()
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o600
    again = say("data", "open", str(stores.var / PATHS[0]), "--to", str(tmp_path / "out"))
    assert (again.exit_code, "is there already" in again.err) == (2, True)
    moved = (stores.var / PATHS[1]).rename(tmp_path / "elsewhere")
    assert say("data", "open", str(moved), "--to", str(tmp_path / "other")).exit_code == 5
    assert not (tmp_path / "other").exists()
