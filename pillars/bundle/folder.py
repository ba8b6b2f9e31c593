"""A bundle's folder: written as a whole or not at all, and read only when every byte is the one that was written."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from ..errors import BundleRefused, StoreUnavailable

FORMAT = 1
MANIFEST = "manifest.json"
PARTS = ("encoder.json", "calibration.json", "decision.json", "schema.json", "golden.json")
BOOSTER = re.compile(r"booster-(0|[1-9][0-9]{0,2})\.ubj")


def canonical(content: Any) -> bytes:
    """JSON with sorted keys and no blanks: equal contents have equal bytes."""
    return json.dumps(content, sort_keys=True, separators=(",", ":"), allow_nan=False).encode()


def sha256(content: bytes) -> str:
    """Hex."""
    return hashlib.sha256(content).hexdigest()


def booster_names(files: Iterable[str]) -> list[str]:
    """`booster-0.ubj`, `booster-1.ubj`, ... in the order of their numbers."""
    return sorted((name for name in files if BOOSTER.fullmatch(name)), key=lambda name: int(name[8:-4]))


def manifest_of(head: Mapping[str, Any], files: Mapping[str, bytes]) -> bytes:
    """The manifest's bytes: `head`, the format, the hash of every file, and the hash of itself without that hash."""
    content = {**head, "format": FORMAT, "files": {name: sha256(files[name]) for name in sorted(files)}}
    return canonical({**content, "digest": sha256(canonical(content))})


def write(path: Path, manifest: bytes, files: Mapping[str, bytes]) -> None:
    """Write the folder beside its place and rename it. The same bundle written twice changes nothing; one that was damaged is replaced.

    Raises:
        BundleRefused: another bundle is there.
        StoreUnavailable: the disk refuses; no bundle is at `path`.
    """
    whole = _whole(path)
    if whole == (json.loads(manifest), dict(files)):
        return
    if whole is not None:
        raise BundleRefused(str(path), "another bundle is at this place, and bundles are never changed")
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        _drop_drafts_of_the_dead(path)
        draft.mkdir(parents=True)
        for name, content in {**files, MANIFEST: manifest}.items():
            with (draft / name).open("wb") as handle:
                handle.write(content)
                handle.flush()
                os.fsync(handle.fileno())
        _take_place(draft, path)
    except OSError as err:
        shutil.rmtree(draft, ignore_errors=True)
        if _whole(path):  # somebody was first: the same bytes, or refused
            return write(path, manifest, files)
        raise StoreUnavailable.refused(str(path), err, "No bundle is there; free the disk and run again.", "written") from err


def read(path: Path) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The manifest and all other files, each verified against its hash.

    Raises:
        BundleRefused: something is missing, extra, changed, not a plain file, or of a format this code does not know.
    """
    files = _plain_files(path)
    manifest = _checked_manifest(path, files.pop(MANIFEST, None))
    names = manifest["files"]
    if problems := [f"{name} is missing" for name in names if name not in files] + [
        f"{name} is extra" for name in files if name not in names
    ]:
        raise BundleRefused(str(path), ", ".join(sorted(problems)))
    if problems := [f"{name} was changed" for name in sorted(files) if sha256(files[name]) != names[name]]:
        raise BundleRefused(str(path), ", ".join(problems))
    return manifest, files


def _plain_files(path: Path) -> dict[str, bytes]:
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
        if odd := [entry.name for entry in entries if not entry.is_file(follow_symlinks=False)]:
            raise BundleRefused(str(path), f"{', '.join(odd)}: not a plain file")
        return {entry.name: Path(entry.path).read_bytes() for entry in entries}
    except OSError as err:
        raise BundleRefused(str(path), f"cannot be read ({err.strerror})") from err


def _checked_manifest(path: Path, content: bytes | None) -> dict[str, Any]:
    if content is None:
        raise BundleRefused(str(path), f"{MANIFEST} is missing")
    try:
        manifest = json.loads(content)
        body = {key: value for key, value in manifest.items() if key != "digest"}
        intact = canonical(manifest) == content and manifest["digest"] == sha256(canonical(body))
        version, names = manifest["format"], set(manifest["files"])
    except (ValueError, KeyError, TypeError, AttributeError) as err:
        raise BundleRefused(str(path), f"{MANIFEST} was changed: it is no manifest") from err
    if not intact:
        raise BundleRefused(str(path), f"{MANIFEST} was changed")
    if version != FORMAT:
        raise BundleRefused(str(path), f"format {version} is unknown, this code reads format {FORMAT}")
    boosters = booster_names(names)
    if names != {*PARTS, *boosters} or not boosters or boosters != [f"booster-{i}.ubj" for i in range(len(boosters))]:
        raise BundleRefused(str(path), f"its files are not those of a bundle ({', '.join(sorted(names))})")
    return manifest


def _whole(path: Path) -> tuple[dict[str, Any], dict[str, bytes]] | None:
    try:
        return read(path)
    except BundleRefused:
        return None


def clear(path: Path) -> None:
    """Take away a folder that is no bundle any more, or not the one it should be; under another name first, so that no half of it stays."""
    if path.is_dir():
        aside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        path.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)


def _take_place(draft: Path, path: Path) -> None:
    """Rename a draft to `path`. What is no bundle makes way; a bundle that another writer has finished meanwhile stays: an OSError."""
    try:
        os.rename(draft, path)
    except OSError:
        if _whole(path) is None:
            clear(path)
        os.rename(draft, path)


def _drop_drafts_of_the_dead(path: Path) -> None:
    """Remove what killed writers of the same bundle left; a living writer's draft stays."""
    for draft in path.parent.glob(f".{path.name}.*.*"):
        if not Path(f"/proc/{draft.name.split('.')[-2]}").exists():
            shutil.rmtree(draft, ignore_errors=True)
