from __future__ import annotations

import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from pillars.data import subjects
from pillars.data.collection import collect
from pillars.data.privacy import protect
from pillars.errors import StoreUnavailable
from pillars.stores import Stores
from tests.pillars.data.batches import CANARY, Memory, changed, project, rows, table_at

PRIVATE = {"subject": "person"}
COLUMNS = {"mail": {"type": "text", "class": "personal"}}


def private(**more: object):
    return project(columns=COLUMNS).model_validate(project(columns=COLUMNS).model_dump() | {"privacy": PRIVATE | more})


def with_mail(period: str = "2013-01"):
    table = rows(period)
    return table.append_column("mail", table.column("person"))


def pseudonyms_of(stores: Stores, period: str = "2013-01"):
    found = collect(stores, private(), Memory({period: with_mail(period)}), period)
    return table_at(stores, found.rows_path)


def test_keys_stay_and_differ_by_person_and_project(stores: Stores) -> None:
    first = subjects.keys_of(stores, "parcels", ["Ada", "Bob"])
    assert subjects.keys_of(stores, "parcels", ["Bob", "Ada"]) == first
    assert first["Ada"] != first["Bob"]
    assert subjects.keys_of(stores, "letters", ["Ada"])["Ada"] != first["Ada"]


def test_more_persons_than_one_query_takes_have_keys(stores: Stores) -> None:
    names = [f"Person {i}" for i in range(3 * subjects.ASKED + 1)]
    assert len(set(subjects.keys_of(stores, "parcels", names).values())) == len(names)


def test_a_destroyed_key_never_comes_back(stores: Stores) -> None:
    before = subjects.keys_of(stores, "parcels", ["Ada", "Bob"])
    assert subjects.destroy(stores, "parcels", "Ada")
    assert not subjects.destroy(stores, "parcels", "Ada"), "twice"
    after = subjects.keys_of(stores, "parcels", ["Ada", "Bob"])
    assert (after["Ada"] == before["Ada"], after["Bob"] == before["Bob"]) == (False, True)
    assert (subjects.destroyed(stores, "parcels"), subjects.destroyed(stores, "letters")) == (1, 0)


def test_the_salt_of_a_destroyed_key_is_overwritten(stores: Stores) -> None:
    names = [f"Person {i}" for i in range(50)]
    subjects.keys_of(stores, "parcels", names)
    with subjects._opened(stores) as file:
        salts = {row[0]: row[1] for row in file.execute("SELECT id, salt FROM subject")}
    gone = salts[subjects._id(stores, "parcels", "Person 7")]
    assert gone in (stores.var / subjects.FILE).read_bytes()
    subjects.destroy(stores, "parcels", "Person 7")
    assert gone not in (stores.var / subjects.FILE).read_bytes()


def test_the_file_names_nobody_and_is_its_owners_alone(stores: Stores) -> None:
    subjects.keys_of(stores, "parcels", [CANARY])
    path = stores.var / subjects.FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert CANARY.encode() not in path.read_bytes()
    assert os.listdir(path.parent).count("subjects.db-journal") == 0


def test_many_at_once_agree_on_a_persons_key(stores: Stores) -> None:
    names = [f"Person {i}" for i in range(20)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: subjects.keys_of(stores, "parcels", names), range(16)))
    assert all(one == found[0] for one in found)


def test_what_is_no_file_of_keys_is_named(stores: Stores) -> None:
    (stores.folder("keys") / "subjects.db").write_bytes(b"rubbish " * 200)
    with pytest.raises(StoreUnavailable, match=r"subjects.db: is no store of keys"):
        subjects.keys_of(stores, "parcels", ["Ada"])


def test_a_persons_rows_are_linked_until_the_key_is_destroyed(stores: Stores) -> None:
    old, same = pseudonyms_of(stores), pseudonyms_of(stores, "2013-02")
    assert old["person"][0] == same["person"][0]
    assert subjects.destroy(stores, "parcels", CANARY)
    new = pseudonyms_of(stores)
    assert new["person"][0] != old["person"][0]
    assert new["mail"][0] != old["mail"][0], "all that is known of a person is under the person's key"
    assert new.slice(1).equals(old.slice(1)), "nobody else's"


def test_a_batch_says_how_many_keys_were_gone(stores: Stores) -> None:
    source = Memory({"2013-01": with_mail()})
    assert collect(stores, private(), source, "2013-01").keys_destroyed == 0
    subjects.destroy(stores, "parcels", CANARY)
    assert collect(stores, private(), source, "2013-01").keys_destroyed == 1


def test_rows_of_nobody_are_under_the_installations_key() -> None:
    table = changed(with_mail(), "person", 3, None)
    keys = protect(private(), table, bytes(32), lambda names: {name: name.encode().ljust(32) for name in names})
    plain = protect(project(columns=COLUMNS), table, bytes(32))
    assert keys["mail"][3] == plain["mail"][3]
    assert keys["person"][3].as_py() is None
    assert keys["mail"][4] != plain["mail"][4]
