"""The data set on disk: sealed with its project's own key where `privacy.encrypt` says so, else as it is.

What is written here is read with `sealing`: a sealed file says by which key.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from pillars.config import Project
from pillars.data import chunks, keyring, sealing
from pillars.errors import StoreUnavailable
from pillars.stores import Stores, replacing


def write(stores: Stores, project: Project, path: str, content: bytes) -> None:
    """Replace the file `path` (under `var`). Equal content of a project is equal bytes, under whatever path.

    Raises:
        StoreUnavailable: the disk refuses; the old content is intact. Or the ring of keys cannot be read.
    """
    _replace(stores, project, path, io.BytesIO(content))


def write_file(stores: Stores, project: Project, path: str, plain: Path | Iterable[bytes]) -> None:
    """As `write`, of content that need not fit in memory: a file, which stays where it is, or parts that follow one another.

    Raises:
        StoreUnavailable: `plain` is not there or changed meanwhile, or as in `write`; the old content is intact.
    """
    with sealing.given(stores, path, plain) as content:
        _replace(stores, project, path, content)


def unsealed(stores: Stores, content: bytes, name: str) -> bytes:
    """The content in the bytes of a file called `name`; the bytes themselves where they are not sealed.

    Raises:
        StoreUnavailable: their key is not on the ring.
        DataCorrupt: they are not what their seal says.
    """
    with sealing.opened(stores, io.BytesIO(content), name) as found:
        return found.read()


def key_of(file: Path) -> str:
    """Id of the key that a file is sealed with; empty where it is not. Raises: StoreUnavailable."""
    try:
        with file.open("rb") as handle:
            head = handle.read(chunks.HEAD)
    except OSError as err:
        raise StoreUnavailable.refused(str(file), err, "Nothing was changed.", "read") from err
    return chunks.key_id(head) if head.startswith(chunks.MAGIC) else ""


def _replace(stores: Stores, project: Project, path: str, content: BinaryIO) -> None:
    if not project.privacy.encrypt:
        with replacing(stores.var / path) as out:
            sealing.copy(content, out)
        return
    key = keyring.data_key(stores, project.project)
    with replacing(stores.var / path, private=True) as out:
        sealing.seal(key, sealing.name_of_data(project.project), content, out, path)
