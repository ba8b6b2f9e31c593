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
        BundleRefused: the bundle at `bundle_dir` does not load, or is not the one that was registered; no release was made.
        StoreUnavailable: the disk refuses; no release was made.
        Busy: another run exports or switches this project.
    """
    path = f"releases/{project.project}/v{version.version}-{version.sha256[:8]}"
    release = Release(project.project, version.version, version.sha256, path, version.digest)
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
    try:
        return _load(stores.var / release.path, release)
    except BundleRefused as err:
        remedy = f"export it again (pillars deploy {release.project} --version {release.version})"
        raise BundleRefused(err.path, err.problem, remedy) from err


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
        _load(bundle_dir, release)  # before the copy: a refusal names what has to be mended
        shutil.copytree(bundle_dir, draft)
        _load(draft, release)
        _sync(draft)
        if final.exists():
            final.rename(final.with_name(f"{DRAFT}broken-{final.name}"))
        draft.rename(final)
    except (OSError, shutil.Error) as err:
        why = err.args[0][0][2] if isinstance(err, shutil.Error) else err.strerror  # one of many files: source, target, reason
        problem = f"cannot be written ({str(why).split(': ')[0]})"
        raise StoreUnavailable(str(final), problem, "No release was made; free the disk and run again.") from err
    finally:
        _sweep(final.parent)


def _load(path: Path, release: Release) -> Bundle:
    bundle = Bundle.load(path).held_to(release.sha256, release.digest)
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
