"""A disk that became read-only: one sentence, and everything is there when it is mended."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from tests.bad_days.world import NEXT, Disk, ahead_of, fingerprint, record, refuses

pytestmark = [pytest.mark.flow]


def test_on_a_read_only_disk_every_verb_says_so(disk: Callable[[int], Disk]):
    small = disk(64)
    before = fingerprint(small.seen)
    small.read_only(True)
    for arguments in (["status", "small"], ["ingest", "small", NEXT], ["rollback", "small"], ["run", "small"], ["reset", "small", "--yes"]):
        refuses(small.perform(*arguments), 6, "Read-only file system", "Nothing was changed", "run again")
    assert fingerprint(small.seen) == before
    small.read_only(False)
    assert small.perform("status", "small").code == 0
    assert small.perform("ingest", "small", NEXT).code == 0


def test_a_disk_that_becomes_read_only_while_a_cycle_works(disk: Callable[[int], Disk]):
    small = disk(64)
    before = small.ask(record)
    turn = partial(ahead_of, "pillars.data.versions.publish", partial(small.read_only, True))
    refuses(small.perform("ingest", "small", NEXT, before=turn), 6, "Read-only file system")
    small.read_only(False)
    assert small.ask(record) == before
    assert small.perform("ingest", "small", NEXT).code == 0
