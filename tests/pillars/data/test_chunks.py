"""Claims of the sealed format, with chunks of 64 bytes so that every border is near; a few hold at its real size, too."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pillars.data import chunks
from pillars.data.chunks import Broken, Key, Moving, Reader

KEY, NAME = Key("0a0b0c0d", bytes(range(32))), "raw/parcels/2013-01/rows.parquet"
SMALL = 64
SIZES = st.integers(0, 5 * SMALL + 1) | st.sampled_from([n * SMALL + d for n in range(1, 5) for d in (-1, 0, 1)])


@pytest.fixture(autouse=True)
def _small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if not request.node.name.startswith("test_of_real_size"):
        monkeypatch.setattr(chunks, "CHUNK", SMALL)
        monkeypatch.setattr(chunks, "SEALED", SMALL + chunks.TAG)


many = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def content_of(size: int, seed: int = 0) -> bytes:
    return bytes((i * 7 + i // SMALL + seed) % 251 for i in range(size))


def sealed(content: bytes, key: Key = KEY, name: str = NAME) -> bytes:
    out = io.BytesIO()
    chunks.seal(key, name, io.BytesIO(content), out)
    return out.getvalue()


def opened(content: bytes, key: Key = KEY, name: str = NAME) -> bytes:
    with io.BufferedReader(Reader(io.BytesIO(content), key, name), 16) as plain:
        return plain.read()


def parts(content: bytes) -> list[bytes]:
    """The sealed chunks without the head."""
    body, step = content[chunks.HEAD :], SMALL + chunks.TAG
    return [body[at : at + step] for at in range(0, len(body), step)]


@many
@given(size=SIZES)
def test_what_is_sealed_opens_again(size: int) -> None:
    content = content_of(size)
    assert opened(sealed(content)) == content


@many
@given(size=SIZES, cuts=st.lists(st.integers(0, 400), max_size=8))
def test_equal_content_is_equal_bytes_however_it_comes(tmp_path: Path, size: int, cuts: list[int]) -> None:
    content, out = content_of(size), io.BytesIO()
    ends = [0, *sorted(min(cut, size) for cut in cuts), size]
    given_in = (content[a:b] for a, b in itertools.pairwise(ends))
    with chunks.passing(given_in, tmp_path) as plain:
        chunks.seal(KEY, NAME, plain, out)
    assert out.getvalue() == sealed(content)
    assert not list(tmp_path.iterdir())


@many
@given(size=SIZES)
def test_other_content_name_or_key_is_other_bytes(size: int) -> None:
    content = content_of(size + 1)
    heads = {
        sealed(content)[12 : chunks.HEAD],
        sealed(content[:-1] + bytes([content[-1] ^ 1]))[12 : chunks.HEAD],
        sealed(content, name=NAME + "x")[12 : chunks.HEAD],
        sealed(content, key=Key(KEY.id, bytes(32)))[12 : chunks.HEAD],
    }
    assert len(heads) == 4


@many
@given(size=SIZES, data=st.data())
def test_a_flipped_bit_is_refused(size: int, data: st.DataObject) -> None:
    changed = bytearray(sealed(content_of(size)))
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(Broken):
        opened(bytes(changed))


@pytest.mark.parametrize("size", [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * SMALL])
def test_cut_off_at_any_byte_it_is_refused_before_one_is_read(size: int) -> None:
    whole = sealed(content_of(size))
    for length in range(len(whole)):
        with pytest.raises(Broken):
            Reader(io.BytesIO(whole[:length]), KEY, NAME)


@many
@given(size=SIZES, more=st.binary(min_size=1, max_size=3 * SMALL))
def test_made_longer_it_is_refused(size: int, more: bytes) -> None:
    with pytest.raises(Broken):
        opened(sealed(content_of(size)) + more)


@many
@given(chunks_in=st.integers(2, 6), last=st.integers(1, SMALL), order=st.data())
@example(chunks_in=2, last=SMALL, order=None)  # two equally long ones change places
def test_chunks_removed_repeated_or_in_another_order_are_refused(chunks_in: int, last: int, order: st.DataObject | None) -> None:
    whole = sealed(content_of((chunks_in - 1) * SMALL + last))
    known = parts(whole)
    places = [1, 0] if order is None else order.draw(st.lists(st.integers(0, chunks_in - 1), min_size=1, max_size=chunks_in + 2))
    if places == list(range(chunks_in)):
        return
    with pytest.raises(Broken):
        opened(whole[: chunks.HEAD] + b"".join(known[at] for at in places))


@many
@given(size=st.integers(SMALL + 1, 4 * SMALL), at=st.integers(0, 3))
def test_a_chunk_of_another_file_is_refused(size: int, at: int) -> None:
    one, other = (sealed(content_of(size, seed)) for seed in (0, 1))
    mine, theirs = parts(one), parts(other)
    at %= len(mine)
    with pytest.raises(Broken):
        opened(one[: chunks.HEAD] + b"".join([*mine[:at], theirs[at], *mine[at + 1 :]]))


@pytest.mark.parametrize("given_as", [{"name": "raw/other"}, {"key": Key(KEY.id, bytes(32))}, {"key": Key("ffffffff", KEY.secret)}])
def test_another_name_or_key_opens_nothing(given_as: dict[str, object]) -> None:
    with pytest.raises(Broken):
        opened(sealed(content_of(100)), **given_as)  # type: ignore[arg-type]


@many
@given(size=SIZES, moves=st.lists(st.tuples(st.integers(0, 6 * SMALL), st.integers(-1, 3 * SMALL)), max_size=12))
def test_any_place_is_read_as_of_a_plain_file(size: int, moves: list[tuple[int, int]]) -> None:
    content = content_of(size)
    plain = io.BytesIO(content)
    with io.BufferedReader(Reader(io.BytesIO(sealed(content)), KEY, NAME), 16) as found:
        for place, length in moves:
            assert found.seek(place) == plain.seek(place)
            assert found.read(length) == plain.read(length)
            assert found.tell() == plain.tell()
        for back in (0, 1, SMALL):
            if back <= size:
                assert found.seek(-back, io.SEEK_END) == plain.seek(-back, io.SEEK_END)
                assert found.read() == plain.read()


def test_content_that_changes_while_it_is_sealed_is_refused() -> None:
    class Growing(io.BytesIO):
        asked = 0

        def seek(self, offset: int, whence: int = 0, /) -> int:
            self.asked += 1
            if self.asked == 2:
                self.getbuffer()[0] ^= 1
            return super().seek(offset, whence)

    with pytest.raises(Moving):
        chunks.seal(KEY, NAME, Growing(content_of(100)), io.BytesIO())


def test_an_iterator_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def failing() -> Iterator[bytes]:
        yield content_of(200)
        raise RuntimeError("the source is gone")

    with pytest.raises(RuntimeError), chunks.passing(failing(), tmp_path):
        pass
    assert not list(tmp_path.iterdir())


def test_what_passes_lies_on_the_disk_sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts: list[BinaryIO] = []
    make = chunks.tempfile.TemporaryFile

    def noted(**options: Path) -> BinaryIO:
        drafts.append(make(**options))
        return drafts[0]

    monkeypatch.setattr(chunks.tempfile, "TemporaryFile", noted)
    secret = b"Zaphod Beeblebrox lives at number 42" * 9
    with chunks.passing([secret], tmp_path) as plain:
        drafts[0].seek(0)
        written = drafts[0].read()
        assert plain.read() == secret
    assert len(written) > len(secret)
    assert b"Zaphod" not in written


@pytest.mark.parametrize("size", [chunks.CHUNK - 1, chunks.CHUNK, chunks.CHUNK + 1, 3 * chunks.CHUNK])
def test_of_real_size(size: int) -> None:
    content = content_of(1024) * (size // 1024 + 1)
    content = content[:size]
    whole = sealed(content)
    assert len(whole) == chunks.HEAD + size + chunks.TAG * -(-size // chunks.CHUNK)
    with io.BufferedReader(Reader(io.BytesIO(whole), KEY, NAME), chunks.CHUNK) as plain:
        assert plain.read() == content
        plain.seek(chunks.CHUNK - 10)
        assert plain.read(20) == content[chunks.CHUNK - 10 : chunks.CHUNK + 10]
    with suppress(Broken):
        Reader(io.BytesIO(whole[:-1]), KEY, NAME)
        raise AssertionError
