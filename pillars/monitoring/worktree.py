"""The code of a commit, and what the working tree had beyond it: kept as a patch, brought back into a folder of its own.

All of it by plumbing, with an index and an object store of its own: the user's branch, index, tree and objects stay as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pillars.errors import StoreUnavailable
from pillars.git import run
from pillars.monitoring.lineage import CODE
from pillars.stores import Stores, scratch, write_atomically

LARGEST = 1_000_000  # bytes of a patch; more is no code
UNTRACKED = (
    ".py",
    ".yaml",
    ".yml",
)  # of what git does not follow, code and settings: a data file that lies beside them is not ours to keep
PLAIN = ("--no-color", "--no-ext-diff", "--no-textconv", "--no-renames", "--binary", "--full-index", "--diff-algorithm=myers")
PREFIXES = ("--src-prefix=a/", "--dst-prefix=b/")  # whatever the user has configured: equal changes are equal bytes


def uncommitted(root: Path) -> bytes:
    """What CODE has beyond HEAD, as a patch that git applies; empty when that is nothing, or there is no commit.

    Changes of files that git follows, and new files that are code or settings (`UNTRACKED`). What git ignores is never in it.
    """
    if not has_commit(root, "HEAD"):
        return b""
    with _aside(root) as (git, _):
        git("read-tree", "HEAD")
        known = [name for name in CODE if (root / name).exists() or git("ls-files", "--", name)]
        if known:
            git("add", "-u", "--", *known)
        new = [name for name in git("ls-files", "-z", "--others", "--exclude-standard", "--", *CODE).split(b"\0") if _is_code(name)]
        if new:
            git("add", "--pathspec-from-file=-", "--pathspec-file-nul", given=b"\0".join(b":(literal)" + name for name in new))
        return git("diff", "--cached", *PLAIN, *PREFIXES, "HEAD", "--", *CODE)


def keep(stores: Stores, project: str) -> str:
    """Write the uncommitted changes to `var/lineage`, where they are found by their sha256 (hex), which is returned.

    "" where there are none, or more than `LARGEST` bytes.

    Raises:
        StoreUnavailable: the disk refuses.
    """
    patch = uncommitted(stores.root)
    if not 0 < len(patch) <= LARGEST:
        return ""
    sha256 = hashlib.sha256(patch).hexdigest()
    if kept(stores, project, sha256) is None:
        write_atomically(_kept(stores, project, sha256), patch, private=True)
    return sha256


def kept(stores: Stores, project: str, sha256: str) -> bytes | None:
    """The changes of that name; None where they are gone, or no longer those bytes."""
    file = _kept(stores, project, sha256)
    content = file.read_bytes() if sha256 and file.is_file() else b""
    return content if hashlib.sha256(content).hexdigest() == sha256 else None


def has_commit(root: Path, commit: str) -> bool:
    """Whether the repository around `root` has it: a shallow clone lacks older ones, and those of a deleted branch go with time."""
    return bool(commit) and run(root, ["cat-file", "-e", f"{commit}^{{commit}}"]).returncode == 0


def check_out(root: Path, commit: str, patch: bytes, folder: Path) -> Path:
    """Write the CODE of a commit, with a patch on it where one is given, into an empty folder; where in it `root` would be.

    Raises:
        StoreUnavailable: there is no such commit, or the patch does not fit it.
    """
    with _aside(root) as (git, top):
        git("read-tree", commit)
        if patch:
            git("apply", "--cached", "--whitespace=nowarn", "-", given=patch, at=top)
        names = git("ls-files", "-z", "--", *CODE)
        git("checkout-index", "-z", "--stdin", f"--prefix={folder}/", given=names)
        inside = git("rev-parse", "--show-prefix").decode().strip()
    return folder / inside


def _is_code(name: bytes) -> bool:
    return name.endswith(tuple(suffix.encode() for suffix in UNTRACKED))


def _kept(stores: Stores, project: str, sha256: str) -> Path:
    return stores.folder("lineage", project) / f"{sha256}.patch"


class _Git:
    """Git in `root`, with another index and object store than the repository's own."""

    def __init__(self, root: Path, extra: dict[str, str]) -> None:
        self.root, self.extra = root, extra

    def __call__(self, *arguments: str, given: bytes = b"", at: Path | None = None) -> bytes:
        done = run(at or self.root, [*arguments], given, self.extra)
        if done.returncode:
            said = " ".join(done.stderr.decode(errors="replace").split())[:300] or "git failed without a word"
            raise StoreUnavailable(f"git in {self.root}", said, "Nothing was changed; mend the repository and run again.")
        return done.stdout


@contextmanager
def _aside(root: Path) -> Iterator[tuple[_Git, Path]]:
    """Git for as long as it is entered, and the top of the working tree."""
    plain = _Git(root, {})
    objects = (root / plain("rev-parse", "--git-path", "objects").decode().strip()).resolve()
    top = Path(plain("rev-parse", "--show-toplevel").decode().strip())
    with scratch("worktree") as folder:
        (folder / "objects").mkdir()
        beside = f'"{objects}"' if ":" in str(objects) else str(objects)  # a colon parts several
        yield (
            _Git(
                root,
                {
                    "GIT_INDEX_FILE": str(folder / "index"),
                    "GIT_OBJECT_DIRECTORY": str(folder / "objects"),
                    "GIT_ALTERNATE_OBJECT_DIRECTORIES": beside,
                },
            ),
            top,
        )
