"""An installation out of a backup: verified first, then placed as a whole."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pillars.data import branch
from pillars.errors import ArchiveRefused, StoreUnavailable
from pillars.monitoring.ledger import Ledger
from pillars.recovery import archive, inventory
from pillars.recovery.archive import Manifest
from pillars.recovery.backup import BUNDLE
from pillars.recovery.rebasing import rebase
from pillars.stores import Stores, locked

UNTOUCHED = "Nothing was changed."


@dataclass(frozen=True)
class Restored:
    """What was restored: rows of a ledger that holds, data branches and tags, configs that were written, paths that lead here now."""

    created: str
    members: int
    bytes: int
    ledger_rows: int
    branches: tuple[str, ...]
    tags: tuple[str, ...]
    configs: tuple[str, ...]
    paths: int
    elsewhere: tuple[str, ...]


def restore(stores: Stores, path: Path, watch: Callable[[str, int, int], object] = lambda *_: None) -> Restored:
    """Verify a backup, then place it: `var` (absent or empty before), configs, data branches and tags. Killed anywhere, the same call again
    ends in the same state, and until its end `var` stays empty. `watch` is told the step, bytes done, and of how many.

    Raises:
        ArchiveRefused: the backup is damaged, or not what it says.
        StoreUnavailable: `var` is not empty, a config, branch or tag is there with other content, or the disk refuses.
        LedgerBroken: the ledger in it does not hold, or was sealed with another key.
        Busy: somebody else is restoring.
    """
    manifest = _read(path, watch)
    draft = stores.var.with_name(f".{stores.var.name}.restoring")
    with locked(stores.var.with_name(f".{stores.var.name}.restoring.lock"), "this place", wait_s=5):
        _refuse_used(stores)
        configs = _new_configs(stores, path, manifest)
        _refuse_other_refs(stores, manifest)
        try:
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir(parents=True, mode=0o700)
            archive.extract(path, manifest, draft, _step(watch, "restore", manifest.bytes))
            paths = _rebase(stores, manifest, draft / "var")
            rows = _ledger_rows(stores, draft / "var")
            if manifest.branches or manifest.tags:
                branch.unbundle(stores.root, draft / BUNDLE, manifest.branches, manifest.tags)
            stores.configs.mkdir(parents=True, exist_ok=True)
            for name in configs:
                shutil.copyfile(draft / "configs" / name, stores.configs / name)
            _place(stores, draft / "var")
        except OSError as err:
            raise StoreUnavailable.refused(str(stores.var), err, "It is empty as before; free the disk and run again.", "filled") from err
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    return Restored(
        manifest.created,
        len(manifest.members),
        manifest.bytes,
        rows,
        tuple(sorted(manifest.branches)),
        tuple(sorted(manifest.tags)),
        tuple(configs),
        paths,
        manifest.elsewhere,
    )


def check(path: Path, watch: Callable[[str, int, int], object] = lambda *_: None) -> Manifest:
    """Read all of a backup and compare every byte with its manifest. Raises: ArchiveRefused, StoreUnavailable."""
    return _read(path, watch)


def _read(path: Path, watch: Callable[[str, int, int], object]) -> Manifest:
    size = path.stat().st_size if path.is_file() else 0
    return archive.read(path, _step(watch, "verify", size))


def _step(watch: Callable[[str, int, int], object], what: str, total: int) -> archive.Watch:
    done = 0

    def count(size: int) -> None:
        nonlocal done
        done += size
        watch(what, done, max(done, total))

    return count


def _refuse_used(stores: Stores) -> None:
    if found := next((file for file in stores.var.rglob("*") if not file.is_dir()), None):
        remedy = f"{UNTOUCHED} Name an empty place (PILLARS_VAR), or move this one away."
        raise StoreUnavailable(str(stores.var), f"is not empty ({found.relative_to(stores.var)})", remedy)


def _new_configs(stores: Stores, path: Path, manifest: Manifest) -> list[str]:
    """Names of the configs that are not there yet."""
    names = [name.removeprefix("configs/") for name in manifest.members if name.startswith("configs/")]
    if deep := [name for name in names if "/" in name]:
        raise ArchiveRefused(path.name, f"configs/{deep[0]} leads into a folder")
    there = [name for name in names if (stores.configs / name).exists()]
    for name in there:
        if archive.sha256_of(stores.configs / name) != manifest.members[f"configs/{name}"].sha256:
            remedy = f"{UNTOUCHED} Move it away, or make it the one of the backup (tar -xOf FILE configs/{name})."
            raise StoreUnavailable(f"configs/{name}", "is there with other content than the backup's", remedy)
    return sorted(set(names) - set(there))


def _refuse_other_refs(stores: Stores, manifest: Manifest) -> None:
    for name, tip in branch.tips(stores.root).items():
        if manifest.branches.get(name, tip) != tip:
            remedy = f"{UNTOUCHED} Rename it (git branch -m {name} ...) or restore into another clone."
            raise StoreUnavailable(name, f"is there, at {tip[:8]} and not {manifest.branches[name][:8]}", remedy)
    for name, tag in branch.tags(stores.root).items():
        if manifest.tags.get(name, tag.object) != tag.object:
            raise StoreUnavailable(f"tag {name}", "is there, and not the backup's", f"{UNTOUCHED} Take it away (git tag -d {name}).")


def _rebase(stores: Stores, manifest: Manifest, var: Path) -> int:
    places = {manifest.var: str(stores.var), manifest.root: str(stores.root)}
    changed = 0
    for name in ("mlflow/mlflow.db", "prefect/prefect.db"):
        if (var / name).exists():
            try:
                changed += rebase(var / name, places)
            except sqlite3.DatabaseError as err:
                raise ArchiveRefused(name, f"it is no database ({err})") from err
    return changed


def _ledger_rows(stores: Stores, var: Path) -> int:
    """Rows of the restored ledger, which holds."""
    if not (var / inventory.LEDGER[0]).exists():
        return 0
    return Ledger(stores.model_copy(update={"var": var, "ledger_uri": ""})).verify()


def _place(stores: Stores, draft: Path) -> None:
    """`draft` under the name of `var`, whose empty folders go first."""
    for folder in sorted((f for f in stores.var.rglob("*")), reverse=True):
        folder.rmdir()
    if stores.var.exists():
        stores.var.rmdir()
    stores.var.parent.mkdir(parents=True, exist_ok=True)
    draft.mkdir(exist_ok=True)
    draft.chmod(0o700)
    os.rename(draft, stores.var)
