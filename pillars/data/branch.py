"""The git door: a project's data versions as commits on `dvc-data/<project>`, and tags on them, made by plumbing.

The user's branch, index and working tree are never touched: blobs, trees and commits are written as objects, and one
`update-ref` with the expected old value makes them a version, or fails because somebody was first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from pillars.errors import StoreUnavailable
from pillars.git import run as _run

NOBODY = "0" * 40  # the old value of a branch that must not exist yet
WRITER = {"NAME": "Five Pillars", "EMAIL": "five-pillars@localhost"}


def name(project: str) -> str:
    """Branch of a project."""
    return f"dvc-data/{project}"


def tip(root: Path, project: str) -> str | None:
    """Newest commit of a project's branch; where only `origin` has the branch, origin's; None when there is none.

    Raises:
        StoreUnavailable: `root` is in no git repository.
    """
    for ref in (f"refs/heads/{name(project)}", f"refs/remotes/origin/{name(project)}"):
        if found := _refs(root, ref):
            return found
    return None


def text(root: Path, commit: str, file: str = "data.dvc") -> str | None:
    """A file of a commit; None when there is no such commit or file."""
    done = _run(root, ["cat-file", "blob", f"{commit}:{file}"])
    return done.stdout.decode() if done.returncode == 0 else None


def texts(root: Path, commit: str, file: str = "data.dvc") -> list[tuple[str, str]]:
    """A file of every commit that changed it, up to `commit`: commit and content, newest first."""
    commits = _git(root, "log", "--format=%H", commit, "--", file).decode().split()
    answer = _git(root, "cat-file", "--batch", given="".join(f"{c}:{file}\n" for c in commits).encode())
    found = []
    for each in commits:
        head, answer = answer.split(b"\n", 1)
        if head.endswith(b" missing"):  # a commit that removed it
            continue
        size = int(head.split()[-1])
        found.append((each, answer[:size].decode()))
        answer = answer[size + 1 :]
    return found


def times(root: Path, commit: str) -> dict[str, int]:
    """When each commit up to `commit` was made: seconds since 1970."""
    lines = _git(root, "log", "--format=%H %ct", commit).decode().splitlines()
    return {each: int(at) for each, _, at in (line.partition(" ") for line in lines)}


def tips(root: Path) -> dict[str, str]:
    """All data branches of this repository with their newest commits; none where `root` is in no repository."""
    done = _run(root, ["for-each-ref", "--format=%(refname:lstrip=2) %(objectname)", f"refs/heads/{name('*')}"])
    lines = done.stdout.decode().splitlines() if done.returncode == 0 else []
    return dict(line.split(" ", 1) for line in lines)


@dataclass(frozen=True)
class Tag:
    """A git tag: its own object, the commit it is on, when it was made (seconds since 1970), what it says in one line."""

    object: str
    commit: str
    at: int
    text: str


def tags(root: Path, project: str | None = None) -> dict[str, Tag]:
    """Tags on a project's versions by name (`golden`); of all projects, by their whole names (`dvc-data/flights/golden`).

    One that somebody made by hand counts, annotated or not. None of all projects where `root` is in no repository.

    Raises:
        StoreUnavailable: of one project, where `root` is in none.
    """
    where, within = (f"refs/tags/{name(project)}/",) * 2 if project else (f"refs/tags/{name('')}", "refs/tags/")
    parts = ("refname", "objectname", "*objectname", "creatordate:unix", "contents:subject")
    done = _run(root, ["for-each-ref", f"--format={'%00'.join(f'%({part})' for part in parts)}", where])
    if done.returncode and project:
        raise _unavailable(root, done.stderr.decode())
    found = {}
    for line in done.stdout.decode(errors="replace").split("\n")[:-1]:
        ref, own, inner, at, said = line.split("\0")
        found[ref.removeprefix(within)] = Tag(own, inner or own, int(at or 0), said if inner else "")
    return found


def tag(root: Path, project: str, label: str, commit: str, said: str, now: datetime, old: Tag | None) -> bool:
    """Put an annotated tag on a commit, in place of `old`, which must still be there; False when it is not.

    Raises:
        StoreUnavailable: git refuses to write.
    """
    full = f"{name(project)}/{label}"
    who = f"{WRITER['NAME']} <{WRITER['EMAIL']}> {int(now.timestamp())} +0000"
    content = f"object {commit}\ntype commit\ntag {full}\ntagger {who}\n\n{said}\n"
    made = _git(root, "mktag", given=content.encode()).decode().strip()
    return _moved(root, project, label, old, f"refs/tags/{full}", made, old.object if old else NOBODY)


def untag(root: Path, project: str, label: str, old: Tag) -> bool:
    """Take a tag away, which must still be as it was; False when it is not. Raises: StoreUnavailable."""
    return _moved(root, project, label, old, "-d", f"refs/tags/{name(project)}/{label}", old.object)


def bundle(root: Path, branches: Sequence[str]) -> bytes:
    """Branches with all their history, and all tags on data versions, as a git bundle. Raises: StoreUnavailable."""
    marks = f"--glob=refs/tags/{name('*')}"  # not by name: one that is taken away meanwhile is no error
    return _git(root, "bundle", "create", "--quiet", "-", *(f"refs/heads/{one}" for one in branches), marks)


def bundled_tags(content: bytes) -> dict[str, str]:
    """Tags in a bundle, with the objects that they name, as its head lists them."""
    lines = content.split(b"\n\n", 1)[0].decode().splitlines()[1:]
    refs = [line.split(" ", 1) for line in lines if line[:1] not in "-@"]
    return {ref.removeprefix("refs/tags/"): own for own, ref in refs if ref.startswith("refs/tags/")}


def unbundle(root: Path, file: Path, branches: Mapping[str, str], marks: Mapping[str, str]) -> None:
    """Make branches and tags from a bundle; one that is there as it is in the bundle stays. Raises: StoreUnavailable."""
    _git(root, "bundle", "unbundle", str(file.resolve()))
    for kind, refs in (("heads", branches), ("tags", marks)):
        for one, own in refs.items():
            _git(root, "update-ref", f"refs/{kind}/{one}", own)


def append(root: Path, project: str, parent: str | None, content: str, message: str, now: datetime, setup: Mapping[str, str]) -> str | None:
    """Commit `content` as `data.dvc` on top of `parent`, which must still be the newest commit; None when it is not.

    Without a parent the branch begins with a commit that holds the files of `setup` (path to content) and nothing else.

    Raises:
        StoreUnavailable: git refuses to write.
    """
    who = {f"GIT_{role}_{k}": v for role in ("AUTHOR", "COMMITTER") for k, v in WRITER.items()}
    when = {f"GIT_{role}_DATE": f"{int(now.timestamp())} +0000" for role in ("AUTHOR", "COMMITTER")}
    below = parent
    if below is None:
        below = _commit(root, _folder(root, setup), None, f"Begin the data set of {project}", who | when)
    blob = _write(root, content)
    kept = [line for line in _git(root, "ls-tree", below).decode().splitlines() if not line.endswith("\tdata.dvc")]
    tree = _tree(root, [*kept, f"100644 blob {blob}\tdata.dvc"])
    commit = _commit(root, tree, below, message, who | when)
    ref = f"refs/heads/{name(project)}"
    old = _refs(root, ref) or NOBODY
    if old not in (NOBODY, parent) or (old == NOBODY and tip(root, project) != parent):
        return None
    return commit if _run(root, ["update-ref", ref, commit, old]).returncode == 0 else None


def _moved(root: Path, project: str, label: str, old: Tag | None, *operands: str) -> bool:
    """One `update-ref` of a tag; False when somebody else changed it first."""
    done = _run(root, ["update-ref", *operands])
    if done.returncode and tags(root, project).get(label) == old:
        raise _unavailable(root, done.stderr.decode())
    return done.returncode == 0


def _refs(root: Path, ref: str) -> str | None:
    done = _run(root, ["rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"])
    if done.returncode > 1:
        raise _unavailable(root, done.stderr.decode())
    return done.stdout.decode().strip() or None


def _write(root: Path, content: str) -> str:
    return _git(root, "hash-object", "-w", "--stdin", given=content.encode()).decode().strip()


def _folder(root: Path, files: Mapping[str, str]) -> str:
    """A tree of files, at most one folder deep."""
    lines: list[str] = []
    inner: dict[str, list[str]] = {}
    for path, content in files.items():
        folder, _, file = path.rpartition("/")
        (inner.setdefault(folder, []) if folder else lines).append(f"100644 blob {_write(root, content)}\t{file}")
    lines += [f"040000 tree {_tree(root, within)}\t{folder}" for folder, within in inner.items()]
    return _tree(root, lines)


def _tree(root: Path, lines: list[str]) -> str:
    return _git(root, "mktree", given="".join(f"{line}\n" for line in lines).encode()).decode().strip()


def _commit(root: Path, tree: str, parent: str | None, message: str, who: Mapping[str, str]) -> str:
    above = ["-p", parent] if parent else []
    return _git(root, "commit-tree", tree, *above, given=message.encode(), extra=who).decode().strip()


def _git(root: Path, *arguments: str, given: bytes = b"", extra: Mapping[str, str] | None = None) -> bytes:
    done = _run(root, list(arguments), given, extra)
    if done.returncode:
        raise _unavailable(root, done.stderr.decode())
    return done.stdout


def _unavailable(root: Path, said: str) -> StoreUnavailable:
    problem = " ".join(said.split())[:300] or "git failed without a word"
    if "not a git repository" in said:
        return StoreUnavailable(
            str(root), "is in no git repository, where data versions are kept", f"Run `git init` in {root}; nothing was changed."
        )
    return StoreUnavailable(f"git in {root}", problem, "The data set is as it was; mend the repository and run again.")
