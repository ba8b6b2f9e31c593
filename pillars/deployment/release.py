"""A release: one model version as an immutable folder that the serving side can load without any registry."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from pillars.bundle.bundle import Bundle
from pillars.config import Project
from pillars.errors import BundleRefused, StoreUnavailable
from pillars.stores import Stores, locked
from pillars.vocabulary import ModelVersion, Release

DRAFT = ".draft-"  # folders that somebody may have died over


def export(stores: Stores, project: Project, version: ModelVersion, bundle_dir: Path) -> Release:
    """Copy a bundle to `releases/<project>/v<N>-<sha8>/`, load it there, and only then give it its name. A repeat changes nothing.

    A release folder whose bytes changed since is replaced: that is how a refused release is mended.

    Raises:
        BundleRefused: the bundle does not load, or is not the one that was registered; no release was made.
        StoreUnavailable: the disk refuses; no release was made.
        Busy: another run exports or switches this project.
    """
    release = Release(
        project.project, version.version, version.sha256, f"releases/{project.project}/v{version.version}-{version.sha256[:8]}"
    )
    final = stores.var / release.path
    with locked(folder(stores, project.project) / ".lock", f"the releases of {project.project}"):
        _sweep(final.parent)
        if not _loads(stores, release):
            _publish(bundle_dir, final, release)
    return release


def load(stores: Stores, release: Release) -> Bundle:
    """The bundle of a release.

    Raises:
        BundleRefused: a file is missing or changed, the folder holds another model, or its golden rows score differently here.
    """
    return _load(stores.var / release.path, release.sha256)


def folder(stores: Stores, project_name: str) -> Path:
    """Where a project's releases and its traffic policy are."""
    return stores.folder("releases", project_name)


def prune(stores: Stores, project_name: str, kept: set[str], champion: int) -> None:
    """Delete release folders whose path (relative to `var`) is not in `kept` and whose version is below the champion's.

    Later ones are about to be switched to. Call it with the project's lock held.
    """
    for path in folder(stores, project_name).glob("v*-*"):
        if stores.relative(path) not in kept and int(path.name[1:].partition("-")[0]) < champion:
            path.rename(path.with_name(f"{DRAFT}{path.name}"))  # a half deleted folder must not look like a release
    _sweep(folder(stores, project_name))


def _publish(bundle_dir: Path, final: Path, release: Release) -> None:
    draft = final.with_name(f"{DRAFT}{final.name}")
    try:
        shutil.copytree(bundle_dir, draft)
        _load(draft, release.sha256)
        _sync(draft)
        if final.exists():
            final.rename(final.with_name(f"{DRAFT}broken-{final.name}"))
        draft.rename(final)
    except (OSError, shutil.Error) as err:
        if not bundle_dir.is_dir():
            raise BundleRefused(str(bundle_dir), "there is no such folder") from err
        raise StoreUnavailable(str(final), f"cannot be written ({err})", "No release was made; free the disk and run again.") from err
    finally:
        _sweep(final.parent)


def _load(path: Path, sha256: str) -> Bundle:
    bundle = Bundle.load(path)
    if bundle.identity != sha256:
        raise BundleRefused(str(path), f"it holds model {bundle.identity[:8]}, not {sha256[:8]}")
    bundle.check_golden()
    return bundle


def _loads(stores: Stores, release: Release) -> bool:
    try:
        return bool(load(stores, release))
    except BundleRefused:
        return False


def _sweep(releases: Path) -> None:
    """Remove what died half way. Only the holder of the lock makes drafts."""
    for draft in releases.glob(f"{DRAFT}*"):
        shutil.rmtree(draft, ignore_errors=True)


def _sync(directory: Path) -> None:
    """Have the bytes on the disk before the name is."""
    for path in (*directory.rglob("*"), directory):
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
