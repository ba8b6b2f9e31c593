from __future__ import annotations

import errno
import fcntl
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pillars.deployment.segments import Lines, in_the_open
from pillars.deployment.segments import segments as segment_files
from pillars.deployment.server.log import Log
from pillars.deployment.server.sealed import public_of
from pillars.deployment.server.settings import Seal
from pillars.stores import Stores
from tests.waiting import wait_until

HEAD = b'{"kind":"model"}\n'


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    found = Log(tmp_path / "log", segment_bytes=200, segment_s=1000)
    yield found
    found.close()


def segments(log: Log) -> list[Path]:
    return sorted(log.folder.glob("*.jsonl"))


def is_locked(path: Path) -> bool:
    with path.open("rb") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_nothing_is_there_before_the_first_line(log: Log) -> None:
    assert list(log.folder.iterdir()) == []


def test_a_line_is_in_the_file_when_write_returns(log: Log) -> None:
    log.write(b'{"id":1}\n', [HEAD])
    assert segments(log)[0].read_bytes() == HEAD + b'{"id":1}\n'
    assert segments(log)[0].stat().st_mode & 0o777 == 0o600


def test_each_segment_says_once_what_its_models_are(log: Log) -> None:
    for n in range(30):
        log.write(b'{"id":%d}\n' % n, [HEAD])
    assert len(segments(log)) > 1
    assert all(path.read_bytes().count(HEAD) == 1 for path in segments(log))
    assert sum(path.read_bytes().count(b'"id"') for path in segments(log)) == 30


def test_a_segment_is_locked_as_long_as_it_is_written(log: Log) -> None:
    for n in range(30):
        log.write(b'{"id":%d}\n' % n, [HEAD])
    assert is_locked(segments(log)[-1])
    wait_until(lambda: not is_locked(segments(log)[0]), 10, 0.05, "the first segment to be closed")
    log.close()
    assert not is_locked(segments(log)[-1])


def test_an_old_segment_is_closed_by_itself(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 1 << 20, segment_s=0.1)
    log.write(b"{}\n", [])
    wait_until(lambda: not is_locked(segments(log)[0]), 10, 0.05, "the segment to be closed")
    log.close()


def test_many_threads_write_whole_lines(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 2_000, 1000)
    threads = [threading.Thread(target=lambda: [log.write(b'{"x":"%s"}\n' % (b"y" * 50), [HEAD]) for _ in range(200)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    lines = b"".join(path.read_bytes() for path in segments(log)).splitlines()
    assert lines.count(b'{"x":"%s"}' % (b"y" * 50)) == 1600


def test_a_disk_that_refuses_a_sealed_append_leaves_what_was_before_it_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = bytes(range(32))
    log = Log(tmp_path / "log", 1 << 20, 1000, Seal("c0ffee11", public_of(secret).hex()))
    log.write(b'{"id":1}\n', [HEAD])
    real, left = os.write, [20]

    def write(fd: int, content: bytes) -> int:
        if not left[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        left[0] -= (taken := real(fd, bytes(content)[: left[0]]))
        return taken

    with monkeypatch.context() as patch:
        patch.setattr("pillars.deployment.server.log.os.write", write)
        with pytest.raises(OSError, match="No space"):
            log.write(b'{"id":2}\n', [HEAD])
    log.write(b'{"id":3}\n', [HEAD])
    log.close()
    kept = replace(in_the_open(Stores(root=tmp_path, var=tmp_path)), secret=lambda _: secret)
    read = [Lines(path, kept) for path in segment_files(log.folder)]
    assert [list(lines) for lines in read] == [[HEAD[:-1], b'{"id":1}'], [HEAD[:-1], b'{"id":3}']]
    assert [lines.cut for lines in read] == [0, 0]  # what was begun is taken off again


def test_a_disk_that_refuses_is_an_error_and_the_next_segment_is_whole(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    log.write(b'{"id":1}\n', [HEAD])
    real, full = os.write, [True]

    def write(fd: int, content: bytes) -> int:
        if full[0] and len(content) > 4:
            return real(fd, bytes(content)[:4])  # the disk takes a part
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(fd, content)

    with monkeypatch.context() as patch:
        patch.setattr("pillars.deployment.server.log.os.write", write)
        with pytest.raises(OSError, match="No space"):
            log.write(b'{"id":222222222}\n'[:6], [])
        full[0] = False
        log.write(b'{"id":3}\n', [HEAD])
    assert [path.read_bytes() for path in segments(log)] == [HEAD + b'{"id":1}\n', HEAD + b'{"id":3}\n']  # nothing of who got 503
