"""A second user in the first one's clone, and one who has no name: refused in a sentence, or served like anybody."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator

import pytest

from tests.bad_days.world import NEXT, fingerprint, perform, record, refuses
from tests.proofs.stage import Stage

pytestmark = [pytest.mark.flow, pytest.mark.skipif(os.getuid() != 0, reason="only root becomes another user")]

NOBODY, NAMELESS = 65534, 54321


def be(user: int) -> Callable[[], None]:
    """Become a user, for a forked process."""

    def become() -> None:
        os.setgroups([])
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
    refuses(
        perform(open_clone, *arguments, before=be(NOBODY)), 6, "var/keys/secret", "Permission denied", "the user who made it", "Nothing"
    )
    assert fingerprint(open_clone.root) == before


def test_a_second_user_who_was_given_the_key_is_told_of_the_rights(open_clone: Stage):
    before, key = fingerprint(open_clone.root), (open_clone.root / "var" / "keys" / "secret").read_text()

    def with_key() -> None:
        os.environ["PILLARS_KEY"] = key
        be(NOBODY)()

    refuses(perform(open_clone, "status", "small", before=with_key), 6, "ledger.lock", "Permission denied", "Nothing was changed")
    assert fingerprint(open_clone.root) == before


def test_a_user_without_a_name_or_home_works_in_a_clone_of_their_own(open_clone: Stage):
    """As in a container that runs under any number."""
    for path in (open_clone.root, *open_clone.root.rglob("*")):
        os.chown(path, NAMELESS, NAMELESS, follow_symlinks=False)
    done = perform(open_clone, "ingest", "small", NEXT, before=be(NAMELESS))
    assert done.code == 0, done.said
    assert record(open_clone.root)[-1].startswith("ingest accept")
