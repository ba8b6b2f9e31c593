"""A search for values in all that was written, however they are written and packed: of secrets by `pillars scan`, of persons by a test."""

from __future__ import annotations

import base64
import html
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from pillars import git
from pillars.data import tokens, unpacking
from pillars.data.unpacking import Piece
from pillars.stores import Stores

UNSEEN = "could not be searched"  # the kind of a finding: a search that was silent about it would promise too much
KEPT_HERE = ("var/keys/secret",)  # where the installation's key belongs
BRANCHES = ("refs/heads/dvc-data", "refs/remotes/*/dvc-data")


@dataclass(frozen=True)
class Finding:
    """A secret where none may be; never with its value.

    `file` is relative to the project's folder (`var/...`), or a data branch and a path in it. `place` says where in it: a line, a byte, a
    column, a member of an archive. `kind` says what it is: the value of a setting that is named, or the form of a well-known token.
    `waived` is the reason why it may stay, empty where nobody gave one.
    """

    file: str
    place: str
    kind: str
    waived: str = ""


def forms(value: str | bytes) -> frozenset[bytes]:
    """How a value may be written: plain, wide, escaped, in hex, and in base64 wherever it begins."""
    if isinstance(value, bytes):
        plain, found = value, set()
    else:
        plain = value.encode()
        found = {value.encode("utf-16-le"), value.encode("utf-16-be"), quote(value, safe="").encode(), value.replace(" ", "%20").encode()}
        found |= {html.escape(value).encode(), json.dumps(value)[1:-1].encode(), value.replace("'", "&#39;").encode()}
        found |= {json.dumps(value)[1:-1].replace("'", "\\u0027").encode(), repr(value)[1:-1].encode()}
    found |= {plain, plain.hex().encode(), plain.hex().upper().encode()}
    for lead in range(3):  # without the characters that neighbours have a part in
        middle = base64.b64encode(b"." * lead + plain)[4 if lead else 0 :]
        whole = middle[: len(middle) - (4 if (lead + len(plain)) % 3 else 0)]
        found |= {whole, whole.replace(b"+", b"-").replace(b"/", b"_")}
    return frozenset(form for form in found if len(form) >= min(len(plain), 8))


def holds(content: bytes, value: str | bytes, file: Path | None = None) -> bool:
    """Whether a value is in these bytes, or in what they unpack to. Raises: TooMuch."""
    wanted = forms(value)
    return any(form in piece.content for piece in unpacking.pieces(content, file) for form in wanted)


def look(stores: Stores, secrets: Mapping[str | bytes, str]) -> Iterator[Finding]:
    """Everything that is a secret by its value or by its form: in `var`, in tracked files of the working tree, on the data branches.

    `secrets` are values by which they are known, and the names of where they come from.
    """
    wanted = {form: name for value, name in secrets.items() for form in forms(value)}
    for name, file in places(stores):
        try:
            content = file.read_bytes()
        except OSError as err:
            yield Finding(name, "", f"{UNSEEN}: {err.strerror or type(err).__name__}")
            continue
        yield from _in_file(name, content, file, {} if name in KEPT_HERE else wanted)
    for name, content in _on_branches(stores.root):
        yield from _in_file(name, content, None, wanted)


def places(stores: Stores) -> Iterator[tuple[str, Path]]:
    """Name and path of each file of `var`, then of each tracked file of the working tree; no link is followed."""
    for folder, folders, files in os.walk(stores.var):
        folders.sort()
        closed = [name for name in folders if not os.access(Path(folder) / name, os.R_OK | os.X_OK)]  # reading it says so
        for file in (Path(folder) / name for name in sorted([*files, *closed])):
            if not file.is_symlink() and (file.is_file() or file.is_dir()):
                yield f"var/{file.relative_to(stores.var).as_posix()}", file
    for name in filter(None, git.told(stores.root, "ls-files", "-z").decode(errors="surrogateescape").split("\0")):
        file = stores.root / name
        if file.is_file() and not file.is_symlink():
            yield name, file


def _in_file(name: str, content: bytes, file: Path | None, wanted: Mapping[bytes, str]) -> Iterator[Finding]:
    """What a file holds; a secret of one kind is told once for each place inside."""
    told: set[tuple[str, str]] = set()
    try:
        for piece in unpacking.pieces(content, file):
            for kind, at in _in_piece(piece, wanted):
                if (piece.where, kind) not in told:
                    told.add((piece.where, kind))
                    yield Finding(name, piece.where or _line(content, at), kind)
    except unpacking.TooMuch:
        yield Finding(name, "", f"{UNSEEN}: it unpacks to more than {unpacking.MOST_BYTES >> 20:,} MB, or too deep")


def _in_piece(piece: Piece, wanted: Mapping[bytes, str]) -> Iterator[tuple[str, int]]:
    for form, kind in wanted.items():
        if (at := piece.content.find(form)) >= 0:
            yield f"value of {kind}", at
    for kind, at, _ in tokens.found(piece.content):
        yield kind, at


def _line(content: bytes, at: int) -> str:
    return f"byte {at}" if b"\0" in content[:8192] else f"line {content.count(10, 0, at) + 1}"  # 10: a line's end


def _on_branches(root: Path) -> Iterator[tuple[str, bytes]]:
    """Files and commits of the data branches, all of their history."""
    refs = git.told(root, "for-each-ref", "--format=%(refname:short)", *BRANCHES).decode().split()
    seen: set[str] = set()
    for ref in refs:
        for line in git.told(root, "rev-list", "--objects", ref).decode(errors="surrogateescape").splitlines():
            name, _, path = line.partition(" ")
            if name not in seen:
                seen.add(name)
                kind = git.told(root, "cat-file", "-t", name).decode().strip()
                if kind != "tree":
                    yield f"{ref}:{path or 'commit'} ({name[:8]})", git.told(root, "cat-file", kind, name)


def left(findings: Iterable[Finding]) -> list[Finding]:
    """Those that nobody gave a reason for."""
    return [one for one in findings if not one.waived]
