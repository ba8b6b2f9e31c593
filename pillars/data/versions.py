"""A project's data set in versions: each a commit on the git branch `dvc-data/<project>` that names files by hash.

Order of a publication: write, push, verify, then commit; so git never names data that the remote lacks. Killed anywhere, the same
call again ends in the same state: files are content-addressed, and the commit is one compare-and-set.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import pyarrow as pa

from pillars.config import Project
from pillars.data import at_rest, branch, dropped, keyring, objects
from pillars.data.parquet import parquet_pieces, read_parquet
from pillars.data.record import (
    File,
    Record,
    differences,
    kind_of,
    message,
    parse,
    path_of,
    period_of,
    render,
    whole,
    with_files,
    without_parent,
    without_periods,
)
from pillars.errors import Busy, Dropped, SourceBroken, StoreUnavailable, UnknownName
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
            _refuse_other_keys(name, after, files)
            lost = gone - {after.id} if after is before else ()  # the listing itself is made again
            objects.store(stores, name, {path: f.md5 for path, f in after.files.items()}, paths, without=lost)
            if parent is not None and after is before:
                return _version(name, parent, after)
            commit = branch.append(stores.root, name, parent, render(after), message(name, before, after), now, _setup(stores))
            if commit is not None:
                return _version(name, commit, after)
    raise Busy(branch.name(name), 0, "others who publish to it")


def without(stores: Stores, project: Project, periods: Sequence[str], now: datetime) -> DataVersion | None:
    """Make the version that has neither rows nor outcomes of some periods; the newest version where it has none of them, None before the
    first. Older versions keep what they had.

    Raises:
        StoreUnavailable: no git repository, a disk or remote that refuses, or files of other periods that are lost.
        Busy: others keep publishing first.
    """
    name = project.project
    with objects.writing(stores, name):
        for _ in range(ATTEMPTS):
            parent = branch.tip(stores.root, name)
            if parent is None or (before := _record(stores, name, parent)) is None:
                return None
            after = without_periods(before, periods)
            if after is before:
                return _version(name, parent, before)
            objects.store(stores, name, {path: f.md5 for path, f in after.files.items()}, {})
            commit = branch.append(stores.root, name, parent, render(after), message(name, before, after), now, _setup(stores))
            if commit is not None:
                return _version(name, commit, after)
    raise Busy(branch.name(name), 0, "others who publish to it")


def records(stores: Stores, project: str) -> list[Record]:
    """What all versions of a project hold, newest first. Raises: StoreUnavailable."""
    tip = branch.tip(stores.root, project)
    return [parse(text, _name(project, commit)) for commit, text in branch.texts(stores.root, tip)] if tip else []


def counts(stores: Stores, version: DataVersion) -> dict[str, int]:
    """Rows of each of a version's files, by its path in `data/`; no file is opened. Raises: StoreUnavailable."""
    return {path: f.rows for path, f in _recorded(stores, version).files.items()}


def gone(stores: Stores, project: str, among: Sequence[DataVersion]) -> dict[str, dict[str, int]]:
    """Files that retention deleted, path to ledger row, by the id of the version that had them. Raises: StoreUnavailable."""
    if not (told := dropped.rows(stores, project)):
        return {}
    files = {version.id: _recorded(stores, version).files for version in among}
    lost = objects.lost(stores, project, {f.md5 for each in files.values() for f in each.values()} & told.keys())
    found = {name: {path: told[f.md5] for path, f in each.items() if f.md5 in lost} for name, each in files.items()}
    return {name: each for name, each in found.items() if each}


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
    """The version of an id, of the beginning of one (8 characters or more; the newest of equal ones), or of a tag.

    Raises:
        UnknownName: there is none, or the beginning fits several.
    """
    known = history(stores, project)
    fits = [v for v in known if v.id == version_id or (len(version_id) >= 8 and v.id.startswith(version_id))]
    if len({v.id for v in fits}) == 1:
        return fits[0]
    tags = branch.tags(stores.root, project.project)
    if version_id in tags and (tagged := at(stores, project.project, tags[version_id].commit)):
        return tagged
    raise UnknownName("data version", version_id, [*tags, *(v.id for v in known)])


def at(stores: Stores, project: str, commit: str) -> DataVersion | None:
    """The version that a commit is; None where it is none."""
    record = _record(stores, project, commit)
    return _version(project, commit, record) if record else None


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


def lost(stores: Stores, version: DataVersion, through: str) -> tuple[str, ...]:
    """Files of a version's periods, up to and with `through`, that neither cache nor remote has. Raises: StoreUnavailable."""
    files = {path: f.md5 for path, f in _recorded(stores, version).files.items() if period_of(path) <= through}
    absent = objects.lost(stores, version.project, set(files.values()))
    return tuple(sorted(path for path, md5 in files.items() if md5 in absent))


def read(
    stores: Stores, version: DataVersion, kind: Literal["rows", "outcomes"], periods: Sequence[str], columns: Sequence[str] | None = None
) -> pa.Table:
    """Rows or outcomes of some periods of a version, one after the other in the order asked for, each file checked against its hash.

    All their columns, or those of `columns` that they have.

    Raises:
        UnknownName: the version has no such period.
        DataCorrupt: neither cache nor remote has the bytes.
        StoreUnavailable: the version's commit is gone, or the remote does not answer, or the key of a sealed file is not here.
    """
    record = _recorded(stores, version)
    files = {period_of(path): path for path in record.files if kind_of(path) == kind}
    for period in periods:
        if period not in files:
            raise UnknownName(f"period with {kind}", period, sorted(files))
    asked = list(periods) or sorted(files)[:1]
    contents = ((files[p], _content(stores, version, record.files[files[p]].md5, files[p])) for p in asked)
    table = pa.concat_tables([read_parquet(content, name, columns) for name, content in contents], promote_options="permissive")
    return table if periods else table.slice(0, 0)


def pieces(stores: Stores, version: DataVersion, kind: Literal["rows", "outcomes"], period: str, rows: int) -> Iterator[pa.Table]:
    """What `read` gives of one period, `rows` at a time; one empty piece where it has none. In memory are the file's bytes, and a piece.

    Raises:
        UnknownName, DataCorrupt, StoreUnavailable: as `read`.
    """
    record = _recorded(stores, version)
    files = {period_of(path): path for path in record.files if kind_of(path) == kind}
    if period not in files:
        raise UnknownName(f"period with {kind}", period, sorted(files))
    path = files[period]
    content = _content(stores, version, record.files[path].md5, path)
    return parquet_pieces(content, path, rows)


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


def origin(stores: Stores, version: DataVersion) -> tuple[str, str]:
    """Where a version's newest batch came from; in one line, what it changed (what it holds, where an older release wrote it).

    Raises:
        StoreUnavailable: the version's commit is gone.
    """
    record = _recorded(stores, version)
    return record.source, record.desc or whole(record)


def checkout(stores: Stores, version: DataVersion, folder: Path, through: str | None = None, *, plain: bool = False) -> tuple[Path, ...]:
    """Write a version's files into a folder, each hashed on its way; those that are there already with their bytes stay as they are.
    Sealed files stay sealed, as `dvc get` gives them; where `plain` they are opened, and only their owner can read them.

    All of them, or those of periods up to and with `through`.

    Returns:
        The paths of all of them.

    Raises:
        DataCorrupt: neither cache nor remote has a file's bytes.
        Dropped: retention deleted some; nothing was written.
        StoreUnavailable: other bytes lie where a file belongs, or a disk or the remote refuses, or the key of a sealed file is not here.
    """
    paths = []
    files = {path: f for path, f in _recorded(stores, version).files.items() if through is None or period_of(path) <= through}
    _refuse_dropped(stores, version)
    if plain and any(f.sealed for f in files.values()):
        return _checkout_plain(stores, version, files, folder)
    if strange := [path for path, f in files.items() if objects.md5_of(folder / path) not in ("", f.md5)]:
        remedy = "Nothing was written. Name an empty folder, or take the file away."
        raise StoreUnavailable(str(folder / strange[0]), "is there already, with other bytes than this version's", remedy)
    for path, f in files.items():
        if objects.md5_of(folder / path) != f.md5:
            write_atomically(folder / path, objects.load(stores, version.project, f.md5, path))
        paths.append(folder / path)
    return tuple(paths)


def _checkout_plain(stores: Stores, version: DataVersion, files: Mapping[str, File], folder: Path) -> tuple[Path, ...]:
    for path, f in files.items():
        content = _content(stores, version, f.md5, path)
        there = objects.md5_of(folder / path)
        if there not in ("", hashlib.md5(content, usedforsecurity=False).hexdigest()):
            remedy = "Name an empty folder, or take the file away."
            raise StoreUnavailable(str(folder / path), "is there already, with other bytes than this version's", remedy)
        if not there:
            write_atomically(folder / path, content, private=True)
    return tuple(folder / path for path in files)


def verify(stores: Stores, version: DataVersion) -> tuple[objects.Damage, ...]:
    """Both copies of all of a version's files, as `objects.verify`, its listing among them.

    Raises:
        Dropped: retention deleted some of them.
        StoreUnavailable: the version's commit is gone, or the remote does not answer.
    """
    files = _recorded(stores, version).files
    _refuse_dropped(stores, version)
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
        files[path_of(prepared.project, kind, period)] = File(md5, rows, path.stat().st_size, at_rest.key_of(path))
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


def _refuse_other_keys(project: str, after: Record, files: Mapping[str, File]) -> None:
    """A version whose files are sealed with several keys was made where one of them was lost: what it seals could never be read."""
    own = {f.sealed for f in files.values() if f.sealed}
    strange = [(path, f.sealed) for path, f in after.files.items() if f.sealed and own and f.sealed not in own]
    if strange:
        path, key = strange[0]
        raise StoreUnavailable(
            branch.name(project),
            f"{path} is sealed with key {key}, which is not on the ring (var/{keyring.FILE})",
            "Nothing was published. Bring the ring back from a backup; if it is lost, so are these rows: move the branch away "
            f"(git branch -m {branch.name(project)} lost/{project}), then pillars data rebuild {project}.",
        )


def _refuse_dropped(stores: Stores, version: DataVersion) -> None:
    for path, row in gone(stores, version.project, [version]).get(version.id, {}).items():
        raise Dropped(f"{path} of version {version.id[:12]}", row)


def _content(stores: Stores, version: DataVersion, md5: str, name: str) -> bytes:
    """A file's content, whether it is sealed or not."""
    return at_rest.unsealed(stores, objects.load(stores, version.project, md5, name), name)


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
