"""A key that cannot be made is not said to be one that cannot be read."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from pillars import keys
from pillars.errors import StoreUnavailable


@pytest.mark.parametrize(
    ("number", "reason"),
    [
        pytest.param(errno.ENOSPC, "No space left on device", id="full"),
        pytest.param(errno.EROFS, "Read-only file system", id="read-only"),
        pytest.param(errno.EACCES, "Permission denied", id="unwritable"),
    ],
)
@pytest.mark.parametrize("refused", ["open", "fsync", "link"])
def test_a_key_that_cannot_be_made_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, reason: str, refused: str) -> None:
    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, refused, refuse)
    with pytest.raises(StoreUnavailable) as caught:
        keys.kept(tmp_path / "secret", sealed=tmp_path / "ledger.anchor")
    assert str(caught.value).startswith(f"{tmp_path / 'secret'}: cannot be made ({reason}). Free the disk, or make the folder writable")
    assert not list(tmp_path.iterdir())


def test_a_key_that_cannot_be_read_says_so(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    with pytest.raises(StoreUnavailable, match="cannot be read"):
        keys.kept(tmp_path / "secret", sealed=tmp_path / "ledger.anchor")


def test_what_a_kill_left_of_a_key_is_gone_when_the_key_is_read(tmp_path: Path) -> None:
    key = keys.kept(tmp_path / "secret", sealed=tmp_path / "ledger.anchor")
    os.link(tmp_path / "secret", tmp_path / ".secret-4711-0123abcd")
    assert keys.kept(tmp_path / "secret", sealed=tmp_path / "ledger.anchor") == key
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]
