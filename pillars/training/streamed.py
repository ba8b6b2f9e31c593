"""Rows to fit on that are never in memory together: read a period at a time, their numbers kept in a folder as long as a fit needs them."""

from __future__ import annotations

import hashlib
import weakref
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa

from pillars.bundle.encoder import Encoder
from pillars.config import Project
from pillars.errors import StoreUnavailable, TooFewRows
from pillars.stores import Stores, scratch
from pillars.training.rows import Labelled, Read, Rows, gather, newest
from pillars.training.splits import Part

SCRATCH = "fit"  # what `stores.scratch` calls the folders, in var/scratch


@dataclass(frozen=True, eq=False)
class Streamed:
    """A part of the labelled rows, by piece: a period each, or the one stretch of a period that is cut.

    y: (n,), as in `Labelled`, of all pieces. digest: that of the same rows in memory. encoder: learned from all of them. words: for each
    piece and category column its values, by which the piece's codes in `folder` go. The folder goes when nobody holds these rows any more.
    """

    read: Read
    part: Part
    y: np.ndarray
    digest: str
    encoder: Encoder
    sizes: tuple[int, ...]
    folder: Path
    words: tuple[tuple[tuple[str, ...], ...], ...] = field(repr=False)
    weights: None = None  # all rows count alike: the YAML is refused otherwise

    def pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Each piece as the encoder gives it, float32, shape (m, features), and its y (m,).

        Raises:
            StoreUnavailable: the folder was taken away, or cannot be read.
        """
        numbers, start = len(self.encoder.numeric), 0
        for place, size in enumerate(self.sizes):
            encoded = _loaded(self.folder / f"{place}.npy")
            for column, (name, words) in enumerate(zip(self.encoder.categorical, self.words[place], strict=True), start=numbers):
                code_of = self.encoder.codes[name]
                table = np.array([0, *(code_of.get(word, 0) for word in words)], dtype=np.float32)
                encoded[:, column] = table[encoded[:, column].astype(np.int64)]
            yield encoded, self.y[start : start + size]
            start += size

    def newest(self, count: int) -> Rows:
        """The rows of the newest periods that have `count` together, in memory and as they were read; all where there are fewer."""
        if self.part.cuts:
            return gather(self.read, self.part)
        rows, first = 0, len(self.sizes)
        while first and rows < count:
            first -= 1
            rows += self.sizes[first]
        return gather(self.read, Part(self.part.periods[first:]))


def newest_of(rows: Rows | Streamed, count: int) -> Rows:
    """The last `count` rows, in memory. Those of streamed rows have a digest of their own: fits on them are others."""
    if not isinstance(rows, Streamed):
        return newest(rows, count)
    found = newest(rows.newest(count), count)
    return replace(found, digest=hashlib.sha256(f"in memory {found.digest}".encode()).hexdigest())


def streamed(stores: Stores, project: Project, read: Read, part: Part) -> Streamed:
    """Read the rows of a part once, a period at a time.

    Raises:
        TooFewRows: as `rows.gather`.
        StoreUnavailable: the disk refuses.
    """
    features, counts = project.features, [Counter[str]() for _ in project.features.categorical]
    within = stores.folder("scratch")
    with ExitStack() as stack:
        folder = stack.enter_context(scratch(SCRATCH, within))
        y, digests, words = list[np.ndarray](), list[str](), list[tuple[tuple[str, ...], ...]]()
        for place, piece in enumerate(_read(read, part)):
            encoded, its_words, its_counts = _spooled(piece, features.numeric, features.categorical)
            _save(folder / f"{place}.npy", encoded)
            for all_rows, own in zip(counts, its_counts, strict=True):
                all_rows.update(own)
            y, digests, words = [*y, piece.y], [*digests, piece.digest], [*words, its_words]
        if not sum(map(len, y)):
            raise TooFewRows(part.periods[-1], "no row with a known outcome")
        found = Streamed(
            read=read,
            part=part,
            y=np.concatenate(y),
            digest=digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest(),
            encoder=_encoder(project, counts),
            sizes=tuple(map(len, y)),
            folder=folder,
            words=tuple(words),
        )
        weakref.finalize(found, stack.pop_all().close)
    return found


def _read(read: Read, part: Part) -> Iterator[Labelled]:
    if part.cuts:
        yield gather(read, part)
        return
    for period in part.periods:
        yield read((period,))


def _spooled(
    piece: Labelled, numeric: Sequence[str], categorical: Sequence[str]
) -> tuple[np.ndarray, tuple[tuple[str, ...], ...], list[dict[str, int]]]:
    """Float32 (m, features): numbers as the encoder gives them, categories as places among the piece's own values from 1 on, 0 for null.

    With the values of each category column, and how many rows have each. Places are whole below 2**24.
    """
    encoded = np.empty((len(piece.y), len(numeric) + len(categorical)), dtype=np.float32)
    if numeric:
        encoded[:, : len(numeric)] = Encoder(tuple(numeric), (), {}).encode(piece.columns)
    words, counts = list[tuple[str, ...]](), list[dict[str, int]]()
    for column, name in enumerate(categorical, start=len(numeric)):
        coded = pa.array(piece.columns[name], pa.string()).dictionary_encode()
        places = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False) + 1
        words.append(tuple(coded.dictionary.to_pylist()))
        counts.append(dict(zip(words[-1], np.bincount(places, minlength=len(words[-1]) + 1)[1:].tolist(), strict=True)))
        encoded[:, column] = places
    return encoded, tuple(words), counts


def _encoder(project: Project, counts: Sequence[Counter[str]]) -> Encoder:
    """What `Encoder.fit` learns from the same rows."""
    features, codes = project.features, {}
    for name, rows in zip(features.categorical, counts, strict=True):
        known = sorted(word for word, count in rows.items() if count >= features.min_category_rows)
        codes[name] = {word: code for code, word in enumerate(known, start=1)}
    return Encoder(features.numeric, features.categorical, codes)


def _save(path: Path, encoded: np.ndarray) -> None:
    try:
        np.save(path, encoded, allow_pickle=False)
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was fitted; free the disk and run again.", "written") from err


def _loaded(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except OSError as err:
        raise StoreUnavailable.refused(str(path), err, "Nothing was fitted; run again.", "read") from err
