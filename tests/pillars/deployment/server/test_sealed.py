"""A sealed segment gives every append that was acknowledged, whole, and nothing that somebody changed; its writer cannot read it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import msgspec
import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import settings as hypothetically
from hypothesis import strategies as st

from pillars.deployment.segments import AtRest, Lines, segments
from pillars.deployment.server.log import Log
from pillars.deployment.server.sealed import HEAD, SIZE, TAG, Records, Sealer, public_of
from pillars.deployment.server.settings import Seal, Settings
from tests.pillars.deployment.server.test_process import BODY, HEAVY, Load
from tests.pillars.deployment.server.world import served, write_policy, write_release
from tests.waiting import wait_until

SECRET = bytes(range(32))
ID, NAME = "c0ffee11", "1-2-3.sealed"
SEAL = Seal(ID, public_of(SECRET).hex())
APPENDS = [b'{"id":1}\n', b'{"id":2}\n{"id":3}\n', b"x" * 70_000 + b"\n", b'{"id":5}\n']


def secret(id: str) -> bytes:
    if id != ID:
        raise KeyError(id)
    return SECRET


KEPT = AtRest(lambda path, content: None, lambda path: io.BytesIO(), secret)


def sealed(appends: list[bytes] = APPENDS, name: str = NAME) -> bytes:
    sealer = Sealer(ID, public_of(SECRET), name)
    return sealer.head + b"".join(map(sealer.record, appends))


def ends(appends: list[bytes] = APPENDS) -> list[int]:
    """Where each append ends."""
    found = [HEAD]
    for content in appends:
        found.append(found[-1] + 2 * SIZE + len(content) + TAG)
    return found


def opened(content: bytes, name: str = NAME) -> tuple[list[bytes | None], int]:
    records = Records(io.BytesIO(content), name, secret)
    return list(records), records.cut


def test_what_was_appended_comes_out_in_its_order() -> None:
    assert opened(sealed()) == (APPENDS, 0)
    assert opened(sealed([])) == ([], 0)
    assert not any(content[:8] in sealed() for content in APPENDS)


def test_equal_appends_are_other_bytes_each_time() -> None:
    one, other = sealed([b"a" * 40] * 2), sealed([b"a" * 40] * 2)
    assert len({one[HEAD + 8 : HEAD + 48], one[-40:], other[HEAD + 8 : HEAD + 48], other[-40:]}) == 4


@given(st.integers(0, ends()[-1]))
@hypothetically(deadline=None)
def test_cut_anywhere_it_gives_every_append_before_that(length: int) -> None:
    found, cut = opened(sealed()[:length])
    whole = [n for n, end in enumerate(ends()) if end <= length]
    assert found == APPENDS[: max(len(whole) - 1, 0)]
    assert cut == length - (ends()[whole[-1]] if whole else 0)


@given(st.integers(0, ends()[-1] - 1), st.integers(1, 255))
@hypothetically(deadline=None)
def test_a_changed_byte_is_never_taken_for_content(place: int, flip: int) -> None:
    content = bytearray(sealed())
    content[place] ^= flip
    try:
        found, cut = opened(bytes(content))
    except (KeyError, ValueError):  # another key's id, or no point of the curve
        assert place < HEAD
        return
    assert cut == 0, "it is not taken for an append that a kill interrupted"
    assert None in found
    assert [one for one in found if one is not None] == [one for one in APPENDS if one in found]


def test_records_that_were_moved_repeated_or_put_into_another_segment_are_refused() -> None:
    content, at = sealed([b"a\n", b"b\n", b"c\n"]), ends([b"a\n", b"b\n", b"c\n"])
    parts = [content[start:end] for start, end in pairwise(at)]
    assert opened(content[:HEAD] + parts[1] + parts[0] + parts[2])[0] == [None, None, b"c\n"]
    assert opened(content[:HEAD] + parts[0] + parts[0])[0] == [b"a\n", None]
    assert opened(content, "another.sealed")[0] == [None] * 3
    assert opened(sealed([b"z\n"])[:HEAD] + parts[0])[0] == [None]


def test_zeros_that_a_dying_machine_leaves_are_cut_off_and_rubbish_is_not() -> None:
    assert opened(sealed() + b"\0" * 100) == (APPENDS, 100)
    assert opened(sealed() + b"\0" * 100 + b"x") == ([*APPENDS, None], 0)


def test_whoever_has_the_public_half_alone_reads_nothing() -> None:
    other = X25519PrivateKey.generate().private_bytes_raw()
    assert list(Records(io.BytesIO(sealed()), NAME, lambda _: other)) == [None] * 4
    assert list(Records(io.BytesIO(sealed()), NAME, lambda _: public_of(SECRET))) == [None] * 4


def test_the_log_is_sealed_segment_by_segment_and_its_lines_are_read_back(tmp_path: Path) -> None:
    log = Log(tmp_path / "log", 2_000, 1000, SEAL)
    threads = [
        threading.Thread(target=lambda: [log.write(b'{"x":"Zaphod"}\n' * 2, [b'{"kind":"model"}\n']) for _ in range(100)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    log.close()
    found = segments(tmp_path / "log")
    assert len(found) > 3
    assert not any(b"Zaphod" in path.read_bytes() for path in found)
    assert {path.stat().st_mode & 0o777 for path in found} == {0o600}
    for path in found:
        lines = list(Lines(path, KEPT))
        assert (lines[0], lines.count(b'{"kind":"model"}')) == (b'{"kind":"model"}', 1)
    assert sum(line == b'{"x":"Zaphod"}' for path in found for line in Lines(path, KEPT)) == 800


@pytest.mark.parametrize(
    "wrong", [{"id": "x", "public": "0" * 64}, {"id": ID, "public": "00"}, {"id": ID}, {"id": ID, "public": "0" * 64, "secret": "1"}]
)
def test_a_seal_that_is_none_is_no_setting(wrong: dict[str, str]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(json.dumps({"project": "small", "var": "/", "seal": wrong}).encode(), type=Settings)


def test_a_log_that_cannot_seal_does_not_begin(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="shared"):
        Log(tmp_path / "log", 2_000, 1000, Seal(ID, "00" * 32))  # a point that gives everybody the same key
    assert not (tmp_path / "log").exists()


def test_what_was_acknowledged_is_in_a_sealed_log_after_a_kill_and_nothing_heavy_was_needed(var: Path) -> None:
    write_policy(var, 1, write_release(var, 1))
    with served(var, seal=SEAL) as server:
        with Load(server, clients=2) as load:
            wait_until(lambda: len(load.acknowledged) > 60, 60, 0.05, "answers")
            assert server.ask("POST", "/invocations", BODY)[0] == 200
            maps = Path(f"/proc/{server.process.pid}/maps").read_text()
            assert not [name for name in (*HEAVY, "libarrow") if f"/{name}" in maps]
            for one in psutil.Process(server.process.pid).children(recursive=True):
                one.kill()
            os.kill(server.process.pid, signal.SIGKILL)
            server.process.wait()
    found = segments(var / "served" / "small" / "log")
    assert [path.suffix for path in found] == [".sealed"]
    assert b"carrier" not in found[0].read_bytes()
    ids = {json.loads(line).get("id") for line in Lines(found[0], KEPT) if line is not None}
    assert set(load.acknowledged) <= ids


def test_no_heavy_module_is_imported_by_sealing() -> None:
    code = (
        "import sys; from pillars.deployment.server import lean; lean.keep_out(); import pillars.deployment.server.app, "
        f"pillars.deployment.server.sealed\nprint([n for n in {HEAVY!r} if sys.modules.get(n)])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
