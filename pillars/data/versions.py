"""A project's data set in versions: each a commit on the git branch `dvc-data/<project>` that names files by hash.

Order of a publication: write, push, verify, then commit; so git never names data that the remote lacks. Killed anywhere, the same
call again ends in the same state: files are content-addressed, and the commit is one compare-and-set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa

from pillars.config import Project
from pillars.data import branch, objects
from pillars.data.parquet import read_parquet
from pillars.data.record import File, Record, differences, kind_of, message, parse, path_of, period_of, render, with_files, without_parent
from pillars.errors import Busy, SourceBroken, StoreUnavailable, UnknownName
from pillars.stores import Stores, write_atomically
from pillars.vocabulary import DataVersion, Prepared

ATTEMPTS = 20  # commits lost to others in a row before we give up; others are clones of one repository, for a project has one writer


def publish(stores: Stores, project: Project, prepared: Prepared, now: datetime) -> DataVersion:
    """Make the version that has the batch's rows and outcomes in it; the newest version where it has them already.

    A period that comes again with other bytes is replaced in the new version; older versions keep what they had.
    Files of other periods stay as they are. Where none of them is held any more (a fresh clone, a removed `var`) the data set starts over.

    Raises:
        SourceBroken: the batch was rejected.
        StoreUnavailable: no git repository, a disk or remote that refuses, or files of other periods that are lost in part.
        Busy: others keep publishing first.
    """
    if prepared.kept_at:
        raise SourceBroken(project.source.name, prepared.period, f"its batch was rejected ({prepared.validation.decision.reason})")
    files, paths = _files(stores, prepared)
    name = project.project
    with objects.writing(stores, name):
        for _ in range(ATTEMPTS):
            parent = branch.tip(stores.root, name)
            before = _record(stores, name, parent)
            gone = _gone(stores, name, before, files)
            after = _next(name, before, files, gone, project.source.name)
            lost = gone - {after.id} if after is before else ()  # the listing itself is made again
            objects.store(stores, name, {path: f.md5 for path, f in after.files.items()}, paths, without=lost)
            if parent is not None and after is before:
                return _version(name, parent, after)
            commit = branch.append(stores.root, name, parent, render(after), message(name, before, after), now, _setup(stores))
            if commit is not None:
                return _version(name, commit, after)
    raise Busy(branch.name(name), 0, "others who publish to it")


def head(stores: Stores, project: Project) -> DataVersion | None:
    """The newest version; None before the first."""
    commit = branch.tip(stores.root, project.project)
    record = _record(stores, project.project, commit)
    return _version(project.project, commit, record) if commit and record else None


def history(stores: Stores, project: Project) -> list[DataVersion]:
    """All versions, newest first."""
    commit = branch.tip(stores.root, project.project)
    found = branch.texts(stores.root, commit) if commit else []
    return [_version(project.project, c, parse(text, _name(project.project, c))) for c, text in found]


def find(stores: Stores, project: Project, version_id: str) -> DataVersion:
    """The version of an id, or of the beginning of one (8 characters or more); the newest of equal ones.

    Raises:
        UnknownName: there is none, or the beginning fits several.
    """
    known = history(stores, project)
    fits = [v for v in known if v.id == version_id or (len(version_id) >= 8 and v.id.startswith(version_id))]
    if len({v.id for v in fits}) != 1:
        raise UnknownName("data version", version_id, [v.id for v in known])
    return fits[0]


def named(stores: Stores, project: Project, version_id: str, commit: str) -> DataVersion | None:
    """The version of an id: on the branch, or by its commit, which the branch may have left behind. None where it was dropped.

    Raises:
        StoreUnavailable: this repository has neither the branch nor the commit.
    """
    found = next((v for v in history(stores, project) if v.id == version_id), None)
    if found is not None:
        return found
    text = branch.text(stores.root, commit) if commit else None
    record = parse(text, _name(project.project, commit)) if text is not None else None
    if record is not None and record.id == version_id:
        return _version(project.project, commit, record)
    if branch.tip(stores.root, project.project) is None:
        remedy = f"Fetch it (git fetch origin {branch.name(project.project)}:{branch.name(project.project)}), or restore a backup."
        raise StoreUnavailable(branch.name(project.project), "is not in this repository", remedy)
    return None


def gone(stores: Stores, version: DataVersion, through: str) -> tuple[str, ...]:
    """Files of a version's periods, up to and with `through`, that neither cache nor remote has. Raises: StoreUnavailable."""
    files = {path: f.md5 for path, f in _recorded(stores, version).files.items() if period_of(path) <= through}
    lost = objects.lost(stores, version.project, set(files.values()))
    return tuple(sorted(path for path, md5 in files.items() if md5 in lost))


def read(
    stores: Stores, version: DataVersion, kind: Literal["rows", "outcomes"], periods: Sequence[str], columns: Sequence[str] | None = None
) -> pa.Table:
    """Rows or outcomes of some periods of a version, one after the other in the order asked for, each file checked against its hash.

    All their columns, or those of `columns` that they have.

    Raises:
        UnknownName: the version has no such period.
        DataCorrupt: neither cache nor remote has the bytes.
        StoreUnavailable: the version's commit is gone, or the remote does not answer.
    """
    record = _recorded(stores, version)
    files = {period_of(path): path for path in record.files if kind_of(path) == kind}
    for period in periods:
        if period not in files:
            raise UnknownName(f"period with {kind}", period, sorted(files))
    asked = list(periods) or sorted(files)[:1]
    contents = ((files[p], objects.load(stores, version.project, record.files[files[p]].md5, files[p])) for p in asked)
    table = pa.concat_tables([read_parquet(content, name, columns) for name, content in contents], promote_options="permissive")
    return table if periods else table.slice(0, 0)


def contents(stores: Stores, version: DataVersion) -> dict[str, str]:
    """Content address of each period that has rows: the md5s of its files.

    Raises:
        StoreUnavailable: the version's commit is gone.
    """
    files = _recorded(stores, version).files
    return {p: " ".join(f"{kind_of(path)} {f.md5}" for path, f in sorted(files.items()) if period_of(path) == p) for p in version.periods}


def with_outcomes(stores: Stores, version: DataVersion) -> tuple[str, ...]:
    """Periods of a version that have outcomes, sorted. Raises: StoreUnavailable."""
    return tuple(sorted(period_of(path) for path in _recorded(stores, version).files if kind_of(path) == "outcomes"))


def source(stores: Stores, version: DataVersion) -> str:
    """Where a version's newest batch came from. Raises: StoreUnavailable."""
    return _recorded(stores, version).source


def checkout(stores: Stores, version: DataVersion, folder: Path, through: str | None = None) -> tuple[Path, ...]:
    """Write a version's files into a folder, each hashed on its way; those that are there already with their bytes stay as they are.

    All of them, or those of periods up to and with `through`.

    Returns:
        The paths of all of them.

    Raises:
        DataCorrupt: neither cache nor remote has a file's bytes.
        StoreUnavailable: other bytes lie where a file belongs, or a disk or the remote refuses.
    """
    paths = []
    files = {path: f for path, f in _recorded(stores, version).files.items() if through is None or period_of(path) <= through}
    if strange := [path for path, f in files.items() if objects.md5_of(folder / path) not in ("", f.md5)]:
        remedy = "Nothing was written. Name an empty folder, or take the file away."
        raise StoreUnavailable(str(folder / strange[0]), "is there already, with other bytes than this version's", remedy)
    for path, f in files.items():
        if objects.md5_of(folder / path) != f.md5:
            write_atomically(folder / path, objects.load(stores, version.project, f.md5, path))
        paths.append(folder / path)
    return tuple(paths)


def verify(stores: Stores, version: DataVersion) -> tuple[objects.Damage, ...]:
    """Both copies of all of a version's files, as `objects.verify`, its listing among them.

    Raises:
        StoreUnavailable: the version's commit is gone, or the remote does not answer.
    """
    files = _recorded(stores, version).files
    return objects.verify(stores, version.project, {path: f.md5 for path, f in files.items()} | {"listing": version.id})


def changes(stores: Stores, old: DataVersion | None, new: DataVersion) -> dict[str, str]:
    """Files that differ between two versions, and how: added, changed or removed."""
    return differences(_recorded(stores, old) if old else None, _recorded(stores, new))


def pin(stores: Stores, project_name: str) -> str:
    """Text of a `data.dvc` that names the newest version's data; equal for equal data, whatever versions led to it.

    Raises:
        UnknownName: nothing was published yet.
    """
    record = _record(stores, project_name, branch.tip(stores.root, project_name))
    if record is None:
        raise UnknownName("data version", "newest", [])
    return render(without_parent(record))


def _files(stores: Stores, prepared: Prepared) -> tuple[dict[str, File], dict[str, Path]]:
    """The batch's files as the data set names them, and where their bytes lie now, by md5."""
    parts = [("rows", prepared.period, prepared.rows_path, prepared.rows)]
    if prepared.outcomes_path and prepared.outcomes_period:
        parts.append(("outcomes", prepared.outcomes_period, prepared.outcomes_path, prepared.outcomes))
    files: dict[str, File] = {}
    paths: dict[str, Path] = {}
    for kind, period, relative, rows in parts:
        path = stores.var / relative
        md5 = objects.md5_of(path)
        if not md5:
            raise StoreUnavailable(relative, "is not there", "Prepare the batch again; nothing was published.")
        files[path_of(prepared.project, kind, period)] = File(md5, rows, path.stat().st_size)
        paths[md5] = path
    return files, paths


def _gone(stores: Stores, project: str, before: Record | None, files: Mapping[str, File]) -> set[str]:
    """Objects of the newest version, apart from the batch's own, that neither cache nor remote holds any more."""
    if before is None:
        return set()
    own = {f.md5 for f in files.values()}
    return objects.lost(stores, project, {before.id, *(f.md5 for path, f in before.files.items() if path not in files)} - own)


def _next(project: str, before: Record | None, files: Mapping[str, File], gone: set[str], source: str) -> Record:
    """The version with `files` in it: `before` itself where it has them already."""
    if before is None:
        return with_files(None, files, source)
    others = {f.md5 for path, f in before.files.items() if path not in files} - {f.md5 for f in files.values()}
    if others and gone >= others | {before.id}:
        return with_files(None, files, source)
    after = with_files(before, files, source)
    if after.files == before.files:
        return before
    if missing := [path for path, f in before.files.items() if f.md5 in gone and path not in files]:
        lost = ", ".join(missing[:3]) + (f" and {len(missing) - 3} more" if len(missing) > 3 else "")
        remedy = f"Nothing was published. Bring them back with `pillars data rebuild {project}`, or restore cache or remote from a backup."
        raise StoreUnavailable(branch.name(project), f"neither cache nor remote has {lost}", remedy)
    return after


def _record(stores: Stores, project: str, commit: str | None) -> Record | None:
    text = branch.text(stores.root, commit) if commit else None
    return parse(text, _name(project, commit or "")) if text is not None else None


def _recorded(stores: Stores, version: DataVersion) -> Record:
    """What a version holds: from its commit, or another of the branch with the same data."""
    record = _record(stores, version.project, version.commit)
    if record is not None and record.id == version.id:
        return record
    tip = branch.tip(stores.root, version.project)
    for commit, text in branch.texts(stores.root, tip) if tip else []:
        record = parse(text, _name(version.project, commit))
        if record.id == version.id:
            return record
    remedy = f"Fetch the branch (git fetch origin {branch.name(version.project)}) or rebuild the data set."
    raise StoreUnavailable(branch.name(version.project), f"has no version {version.id}", remedy)


def _name(project: str, commit: str) -> str:
    return f"{branch.name(project)}@{commit[:8]}:data.dvc"


def _version(project: str, commit: str, record: Record) -> DataVersion:
    return DataVersion(project, record.id, commit, record.parent, record.rows, record.bytes, record.periods)


def _setup(stores: Stores) -> dict[str, str]:
    """Files of the branch's first commit: with them `dvc get URL data --rev BRANCH` finds the remote. A remote that is a folder is named
    by its absolute path, for DVC resolves a relative one inside its own clone; in this repository `.dvc/config` of the working tree wins.
    """
    config = "[core]\n    analytics = false\n    remote = local\n" + objects.remote_config(stores)
    return {".dvc/config": config, ".dvcignore": "", ".gitignore": "/data\n"}
