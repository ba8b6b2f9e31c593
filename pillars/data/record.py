"""`data.dvc`: a data version as DVC writes it, with its files in `outs[0].meta`, where DVC lets us keep what we like.

Beside it stand DVC's own `desc`, `type` and `labels`, for whoever has `dvc` or `git` alone. None of it is in the version's id.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace

import yaml

from pillars.errors import DataCorrupt

TYPE = "dataset"  # DVC's word for the kind of an artifact


@dataclass(frozen=True)
class File:
    """One file of a data set: `md5` names its bytes. `sealed` is the id of the key that they are sealed with, empty where they are not."""

    md5: str
    rows: int
    bytes: int
    sealed: str = ""


@dataclass(frozen=True)
class Record:
    """A data version's content: files by their path in `data/`, and where they came from. Nothing in it depends on a clock."""

    files: Mapping[str, File]
    parent: str | None  # id of the version it was made from
    source: str
    desc: str = ""  # what it changed, in one line; empty in versions of releases that did not write it
    labels: tuple[str, ...] = ()  # project, newest period with rows, and `revision` where a period came again

    @property
    def id(self) -> str:
        """DVC's name of the folder, `<md5>.dir`: md5 over its sorted list of paths and md5s, as `dvc_data.hashfile.tree` writes it."""
        listed = [{"md5": f.md5, "relpath": path} for path, f in sorted(self.files.items())]
        return hashlib.md5(json.dumps(listed, sort_keys=True).encode(), usedforsecurity=False).hexdigest() + ".dir"

    @property
    def rows(self) -> int:
        """Rows of all periods."""
        return sum(f.rows for path, f in self.files.items() if kind_of(path) == "rows")

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(f.bytes for f in self.files.values())

    @property
    def periods(self) -> tuple[str, ...]:
        """Periods that have rows, sorted."""
        return tuple(sorted(period_of(path) for path in self.files if kind_of(path) == "rows"))


def path_of(project: str, kind: str, period: str) -> str:
    """Where a period's file lies in `data/`."""
    return f"{project}/{kind}/{period}.parquet"


def kind_of(path: str) -> str:
    """`rows` or `outcomes`."""
    return path.split("/")[1]


def period_of(path: str) -> str:
    """The period that a file is of."""
    return path.rsplit("/", 1)[1].removesuffix(".parquet")


def with_files(record: Record | None, files: Mapping[str, File], source: str) -> Record:
    """The version that follows `record` when `files` are put into it, and says so."""
    before = {} if record is None else record.files
    after = Record(dict(sorted({**before, **files}.items())), None if record is None else record.id, source)
    changed = differences(record, after)
    said = ", ".join(_said(path, before.get(path), after.files[path]) for path in changed)
    revision = ("revision",) if "changed" in changed.values() else ()
    return replace(after, desc=f"{_project(after)}: {said}; now {_extent(after)}", labels=(*_labels(after), *revision))


def without_periods(record: Record, periods: Collection[str]) -> Record:
    """The version that follows `record` when retention takes some periods out of it, and says so; itself where it has none of them."""
    files = {path: f for path, f in record.files.items() if period_of(path) not in periods}
    went = sorted({period_of(path) for path in record.files} - {period_of(path) for path in files})
    if not went:
        return record
    after = Record(files, record.id, record.source)
    said = went[0] if len(went) == 1 else f"{len(went)} periods to {went[-1]}"
    return replace(after, desc=f"{_project(record)}: without {said}, by retention; now {_extent(after)}", labels=_labels(after))


def without_parent(record: Record) -> Record:
    """The same data whatever led to it."""
    return replace(record, parent=None, desc=whole(record), labels=_labels(record))


def whole(record: Record) -> str:
    """What a version holds, in one line."""
    return f"{_project(record)}: {_extent(record)}"


def _said(path: str, before: File | None, after: File) -> str:
    again = f" again, {before.rows:,} before" if before else ""
    return f"{kind_of(path)} of {period_of(path)} ({after.rows:,}{again})"


def _extent(record: Record) -> str:
    periods = record.periods
    span = f" {periods[0]} to {periods[-1]}" if len(periods) > 1 else f" {periods[0]}" if periods else "s"
    return f"{len(periods)} period{'s' if len(periods) > 1 else ''}{span}, {record.rows:,} rows, from {' '.join(record.source.split())}"


def _labels(record: Record) -> tuple[str, ...]:
    return (_project(record), *record.periods[-1:])


def _project(record: Record) -> str:
    return next(iter(record.files), "").split("/")[0]


def differences(old: Record | None, new: Record) -> dict[str, str]:
    """Files that differ between two versions, and how: added, changed or removed."""
    before = {} if old is None else old.files
    found = {path: "changed" if path in before else "added" for path, f in new.files.items() if before.get(path) != f}
    return found | {path: "removed" for path in before if path not in new.files}


def message(project: str, before: Record | None, after: Record) -> str:
    """What a version changes, for `git log`."""
    changed = differences(before, after)
    title = ", ".join(f"{kind_of(p)} of {period_of(p)}" for p, how in changed.items() if how != "removed")
    title = title or f"without {', '.join(sorted({period_of(p) for p in changed}))}"
    lines = [f"{how} {path}" + (f" ({after.files[path].rows} rows)" if path in after.files else "") for path, how in changed.items()]
    return f"{project}: {title}\n\n" + "\n".join(lines) + "\n"


def render(record: Record) -> str:
    """Text of `data.dvc`, equal for equal records."""
    meta = {
        "parent": record.parent,
        "source": record.source,
        "rows": record.rows,
        "periods": list(record.periods),
        "files": {path: {"md5": f.md5, "rows": f.rows, "bytes": f.bytes, **_seal(f)} for path, f in sorted(record.files.items())},
    }
    out = {"md5": record.id, "size": record.bytes, "nfiles": len(record.files), "hash": "md5", "path": "data"}
    said = {"desc": record.desc, "type": TYPE, "labels": [_Text(label) for label in record.labels]} if record.desc else {}
    return dump({"outs": [out | said | {"meta": meta}]})


def dump(content: Mapping[str, object]) -> str:
    """Text of a `.dvc` file; what is one line stays one, however long."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, width=math.inf)


class _Text(str):
    """Text in quotes: DVC reads YAML 1.2, where a bare 1e3 is a number, and refuses a label that is one."""


class _Dumper(yaml.SafeDumper):
    """PyYAML's, which quotes by YAML 1.1."""


_Dumper.add_representer(_Text, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", str(text), style="'"))


def _seal(file: File) -> dict[str, str]:
    return {"sealed": file.sealed} if file.sealed else {}


def parse(text: str, name: str) -> Record:
    """The record in a `data.dvc` called `name`.

    Raises:
        DataCorrupt: it was written by other hands, or its files are not those that its id names.
    """
    try:
        out = yaml.safe_load(text)["outs"][0]
        meta = out["meta"]
        files = {
            str(path): File(str(f["md5"]), int(f["rows"]), int(f["bytes"]), str(f.get("sealed", ""))) for path, f in meta["files"].items()
        }
        labels = tuple(map(str, out.get("labels") or ()))
        record = Record(files, meta["parent"], str(meta["source"]), str(out.get("desc") or ""), labels)
        named = str(out["md5"])
    except (yaml.YAMLError, KeyError, TypeError, IndexError, ValueError, AttributeError) as err:
        raise DataCorrupt(name, "that of a data version", f"other content ({type(err).__name__})") from err
    if record.id != named:
        raise DataCorrupt(name, named, record.id)
    return record
