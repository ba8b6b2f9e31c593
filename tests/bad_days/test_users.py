"""A second user in the first one's clone, and one who has no name: refused in a sentence, or served like anybody."""

from __future__ import annotations

import grp
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from pillars.data import modes, sealing
from pillars.data.parquet import parquet_bytes
from pillars.monitoring.ledger import Ledger
from pillars.stores import Stores
from tests.bad_days.world import NEXT, fingerprint, perform, record, refuses
from tests.proofs.stage import Stage

pytestmark = [pytest.mark.flow, pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")]

NOBODY, NAMELESS = 65534, 54321
READERS = grp.getgrgid(1)


def be(user: int, *groups: int) -> Callable[[], None]:
    """Become a user, for a forked process."""

    def become() -> None:
        os.setgroups(groups)
        os.setgid(user)
        os.setuid(user)
        os.environ |= {"HOME": "/nowhere", "TMPDIR": "/tmp", "DVC_GLOBAL_CONFIG_DIR": "/nowhere", "DVC_SYSTEM_CONFIG_DIR": "/nowhere"}
        tempfile.tempdir = None  # asked for anew: the folder of the tests is the first user's
        for name in ("USER", "LOGNAME", "LNAME", "USERNAME"):
            os.environ.pop(name, None)

    return become


@pytest.fixture
def open_clone(stage: Stage) -> Iterator[Stage]:
    """The clone where others may go through the folders above it, as in a shared home."""
    closed = [p for p in stage.root.parents if p.stat().st_uid == 0 and not p.stat().st_mode & 0o001]
    modes = {p: p.stat().st_mode for p in closed}
    for path, mode in modes.items():
        path.chmod(mode | 0o011)
    yield stage
    for path, mode in modes.items():
        path.chmod(mode)


@pytest.mark.parametrize("arguments", [["status", "small"], ["ingest", "small", NEXT], ["rollback", "small"]], ids=lambda a: a[0])
def test_a_second_user_is_told_whose_key_it_is(open_clone: Stage, arguments: list[str]):
    before = fingerprint(open_clone.root)
    refuses(perform(open_clone, *arguments, before=be(NOBODY)), 6, "var/keys", "Permission denied", "the user who made it", "Nothing")
    assert fingerprint(open_clone.root) == before


def test_a_second_user_who_was_given_the_key_is_told_of_the_rights(open_clone: Stage):
    before, key = fingerprint(open_clone.root), (open_clone.root / "var" / "keys" / "secret").read_text()

    def with_key() -> None:
        os.environ["PILLARS_KEY"] = key
        be(NOBODY)()

    refuses(perform(open_clone, "status", "small", before=with_key), 6, "ledger.lock", "Permission denied", "Nothing was changed")
    assert fingerprint(open_clone.root) == before


@pytest.fixture
def read_by_a_group(open_clone: Stage) -> Iterator[Stage]:
    """The clone whose raw and quarantined rows a group may read, with a sealed file of a month in quarantine."""
    stores = Stores(root=open_clone.root, var=open_clone.root / "var", readers=READERS.gr_name)
    rows = pa.table({"flight": [7, 8], "reasons": [["distance is no float"], ["distance is no float"]]})
    sealing.write(stores, "quarantine/small/2013-09-0123456789ab.parquet", parquet_bytes(rows), seal=True)
    os.environ["PILLARS_READERS"] = READERS.gr_name
    modes.mend(stores)
    yield open_clone
    del os.environ["PILLARS_READERS"]


SHOW = ("data", "quarantine", "show", "small", "2013-09")


def test_a_reader_sees_what_is_set_aside_and_nothing_that_is_closed(read_by_a_group: Stage):
    done = perform(read_by_a_group, *SHOW, before=be(NOBODY, READERS.gr_gid))
    assert done.code == 0, done.said
    assert "2013-09: 2 of 2 rows" in done.said
    assert "distance is no float" in done.said
    for closed in ("keys", "keys/secret", "prefect"):
        path = read_by_a_group.root / "var" / closed
        assert not in_the_shoes_of(be(NOBODY, READERS.gr_gid), lambda path=path: os.access(path, os.R_OK)), closed  # type: ignore[misc]
    refuses(perform(read_by_a_group, "rollback", "small", before=be(NOBODY, READERS.gr_gid)), 6, "Permission denied", "Nothing")


@pytest.mark.parametrize("groups", [(), (12,)], ids=["no group", "another group"])
def test_who_may_not_read_what_is_set_aside_is_told_who_may(read_by_a_group: Stage, groups: tuple[int, ...]):
    before = fingerprint(read_by_a_group.root)
    done = perform(read_by_a_group, *SHOW, before=be(NOBODY, *groups))
    refuses(done, 8, "you may not read var/quarantine", f"its owner and the group {READERS.gr_name} may", "Nothing was read or changed")
    assert fingerprint(read_by_a_group.root) == before


def test_without_readers_what_came_in_is_its_owners_alone(open_clone: Stage):
    refuses(perform(open_clone, *SHOW, before=be(NOBODY)), 8, "you may not read var/quarantine", "its owner alone may")


def test_who_was_refused_is_on_record_where_that_can_be_written(read_by_a_group: Stage):
    """Of an installation whose record others may write, with its key, and whose rows they may not read."""
    var = read_by_a_group.root / "var"
    key = (var / "keys" / "secret").read_text()
    var.chmod(0o777)
    for file in var.glob("ledger*"):
        file.chmod(0o666)

    def with_key() -> None:
        os.environ["PILLARS_KEY"] = key
        be(NOBODY)()

    refuses(perform(read_by_a_group, *SHOW, before=with_key), 8, "you may not read var/quarantine")
    (entry,) = Ledger(Stores(root=read_by_a_group.root, var=var)).entries("small", "access")
    assert (entry.outcome, entry.inputs["what"], entry.actor) == ("refuse", "var/quarantine", "nobody")


def test_who_was_refused_is_in_the_systems_log(read_by_a_group: Stage):
    place = Path("/dev/log")
    if place.exists():
        pytest.skip("this machine has a log of its own")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as log:
        log.bind(str(place))
        place.chmod(0o666)
        log.settimeout(30)
        try:
            refuses(perform(read_by_a_group, *SHOW, before=be(NOBODY)), 8, "you may not read var/quarantine")
            said = log.recv(4096).decode()
        finally:
            place.unlink()
    assert "nobody (uid 65534) was refused to read var/quarantine of small" in said


def in_the_shoes_of(become: Callable[[], None], question: Callable[[], bool]) -> bool:
    """The answer that another user gets."""
    if (pid := os.fork()) == 0:
        try:
            become()
            os._exit(0 if question() else 1)
        finally:
            os._exit(2)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert code in (0, 1)
    return code == 0


def test_a_user_without_a_name_or_home_works_in_a_clone_of_their_own(open_clone: Stage):
    """As in a container that runs under any number."""
    for path in (open_clone.root, *open_clone.root.rglob("*")):
        os.chown(path, NAMELESS, NAMELESS, follow_symlinks=False)
    done = perform(open_clone, "ingest", "small", NEXT, before=be(NAMELESS))
    assert done.code == 0, done.said
    assert record(open_clone.root)[-1].startswith("ingest accept")
