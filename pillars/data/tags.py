"""Names that people give data versions: git tags on their commits, so that `dvc` and `git` alone know them, too."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from pillars.data import branch, versions
from pillars.errors import Busy, TagRefused, UnknownName
from pillars.stores import Stores
from pillars.vocabulary import DataTag, DataVersion

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
LIKE_AN_ID = re.compile(r"[0-9a-f]{8,}(\.dir)?")
TAKEN = ("newest",)
LONGEST = 500  # characters of a text
ATTEMPTS = 20  # changes by others in a row before we give up


def tags(stores: Stores, project: str) -> list[DataTag]:
    """All names of a project's versions, sorted. Raises: DataCorrupt."""
    found = ((name, tag, versions.at(stores, project, tag.commit)) for name, tag in branch.tags(stores.root, project).items())
    return [_told(name, tag, version) for name, tag, version in found if version]


def put(stores: Stores, version: DataVersion, name: str, text: str, now: datetime, *, force: bool = False) -> DataTag:
    """Give a version a name. One that it has stays as it is, but for another text; without a text, what it says stays.

    Raises:
        TagRefused: it is no name, or that of another version (with `force` it moves).
        StoreUnavailable: git refuses to write.
        Busy: others keep changing it first.
    """
    _check(name, said := " ".join(text.split()))
    for _ in range(ATTEMPTS):
        old = branch.tags(stores.root, version.project).get(name)
        there = versions.at(stores, version.project, old.commit) if old else None
        commit = version.commit
        if old and there and there.id == version.id:
            if said in ("", old.text):
                return _told(name, old, there)
            commit = there.commit
        elif old and not force:
            what = there.id if there else f"commit {old.commit[:12]}"
            raise TagRefused(name, f"it is the name of {what} already; --force moves it")
        if branch.tag(stores.root, version.project, name, commit, said, now, old):
            return DataTag(version.project, name, version.id, commit, _iso(int(now.timestamp())), said)
    raise Busy(f"tag {name}", 0, "others who change it")


def remove(stores: Stores, project: str, name: str, version: DataVersion | None = None) -> DataTag:
    """Take a name away, from this version alone where one is given; what it was.

    Raises:
        UnknownName: nothing has that name.
        TagRefused: it is the name of another version.
        StoreUnavailable: git refuses to write.
        Busy: others keep changing it first.
    """
    for _ in range(ATTEMPTS):
        known = branch.tags(stores.root, project)
        if name not in known:
            raise UnknownName("tag", name, list(known))
        there = versions.at(stores, project, known[name].commit)
        if version and (there is None or there.id != version.id):
            raise TagRefused(name, f"it is the name of {there.id if there else 'no version'}, not of {version.id}")
        if branch.untag(stores.root, project, name, known[name]):
            return _told(name, known[name], there or DataVersion(project, "", known[name].commit, None, 0, 0, ()))
    raise Busy(f"tag {name}", 0, "others who change it")


def _check(name: str, text: str) -> None:
    if not NAME.fullmatch(name) or ".." in name or name.endswith((".", ".lock")):
        raise TagRefused(name, "a name has letters, digits, and . _ - between them, 64 at most")
    if name in TAKEN or LIKE_AN_ID.fullmatch(name):
        raise TagRefused(name, f"it would be taken for {'the newest version' if name in TAKEN else 'the id of a version'}")
    if not text.isprintable() or len(text) > LONGEST:
        raise TagRefused(name, f"its text has more than {LONGEST} characters, or some that cannot be printed")


def _told(name: str, tag: branch.Tag, version: DataVersion) -> DataTag:
    return DataTag(version.project, name, version.id, version.commit, _iso(tag.at), tag.text)


def _iso(at: int) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()
