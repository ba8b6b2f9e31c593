"""What was not committed comes back byte for byte, and nothing of the user's is touched to keep it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from pillars.errors import StoreUnavailable
from pillars.monitoring import worktree
from pillars.stores import Stores
from tests.pillars.data.batches import git

USER = ("-c", "user.name=A User", "-c", "user.email=user@example.org")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "work"
    for name, content in {
        "pillars/a.py": b"one\n",
        "pillars/gone.py": b"deleted soon\n",
        "projects/table.bin": bytes(range(256)),
        "configs/small.yaml": b"project: small\n",
        ".gitignore": b"*.secret.py\n/var\n",
        "docs/page.md": b"no code\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    git(root, "init", "-q", "-b", "main")
    commit(root)
    return root


def commit(root: Path) -> str:
    git(root, "add", "-A")
    git(root, *USER, "commit", "-q", "-m", "a state")
    return git(root, "rev-parse", "HEAD")


def change(root: Path) -> None:
    """Every kind of change: content, a deletion, bytes, a mode, new code, and what must stay away."""
    (root / "pillars" / "a.py").write_text("two\r\nwithout an end")
    (root / "pillars" / "gone.py").unlink()
    (root / "projects" / "table.bin").write_bytes(bytes(reversed(range(256))))
    (root / "configs" / "small.yaml").chmod(0o755)
    (root / "projects" / "a new [one]").mkdir()
    (root / "projects" / "a new [one]" / "mine é.py").write_text("new\n")
    (root / "projects" / "my.secret.py").write_text("ignored by git\n")
    (root / "projects" / "rows.csv").write_text("somebody's data\n")
    (root / "docs" / "page.md").write_text("changed\n")


def code(root: Path) -> dict[str, tuple[bytes, bool]]:
    return {
        p.relative_to(root).as_posix(): (p.read_bytes(), bool(p.stat().st_mode & 0o100))
        for folder in ("pillars", "projects", "configs")
        for p in (root / folder).rglob("*")
        if p.is_file()
    }


@pytest.mark.parametrize(
    "below", [pytest.param("", id="a repository of its own"), pytest.param("mono/project", id="a folder of a larger one")]
)
def test_a_commit_with_its_patch_is_the_working_trees_code(repository: Path, tmp_path: Path, below: str) -> None:
    root = repository
    if below:
        outer = tmp_path / "outer"
        (outer / below).parent.mkdir(parents=True)
        root = repository.rename(outer / below)
        (root / ".git").rename(outer / ".git")
        (outer / "pillars").mkdir()
        (outer / "pillars" / "another.py").write_text("of another project\n")
        commit(outer)
    head = git(root, "rev-parse", "HEAD")
    change(root)
    patch = worktree.uncommitted(root)
    for name in ("projects/my.secret.py", "projects/rows.csv"):
        assert Path(name).name.encode() not in patch
        (root / name).unlink()
    (tmp_path / "out").mkdir()
    inside = worktree.check_out(root, head, patch, tmp_path / "out")
    assert inside == tmp_path / "out" / below
    assert code(inside) == code(root)
    assert not (inside / "docs").exists()


def test_equal_changes_are_equal_bytes_whatever_git_is_told(repository: Path) -> None:
    change(repository)
    plain = worktree.uncommitted(repository)
    for name, value in {
        "diff.noprefix": "true",
        "diff.mnemonicPrefix": "true",
        "diff.external": "false",
        "diff.algorithm": "histogram",
        "core.abbrev": "5",
        "color.ui": "always",
        "diff.renames": "copies",
    }.items():
        git(repository, "config", name, value)
    assert worktree.uncommitted(repository) == plain


def test_the_users_index_branch_and_objects_stay_as_they_are(repository: Path) -> None:
    change(repository)
    git(repository, "add", "pillars/a.py")
    (repository / "pillars" / "a.py").write_text("three\n")

    def state() -> list[str]:
        return [
            git(repository, "count-objects", "-v"),
            git(repository, "status", "--porcelain", "-uall"),
            git(repository, "rev-parse", "HEAD"),
            hashlib.sha256((repository / ".git" / "index").read_bytes()).hexdigest(),
        ]

    before = state()
    patch = worktree.uncommitted(repository)
    assert b"three" in patch
    assert state() == before


def test_a_clean_tree_one_without_a_commit_and_a_folder_without_git_have_no_patch(repository: Path, tmp_path: Path) -> None:
    assert worktree.uncommitted(repository) == b""
    (tmp_path / "plain" / "pillars").mkdir(parents=True)
    (tmp_path / "plain" / "pillars" / "a.py").write_text("one\n")
    assert worktree.uncommitted(tmp_path / "plain") == b""
    git(tmp_path / "plain", "init", "-q")
    assert worktree.uncommitted(tmp_path / "plain") == b""


def test_a_patch_is_kept_by_its_hash_for_its_owner_alone_and_a_changed_one_is_not_believed(repository: Path) -> None:
    stores = Stores(root=repository, var=repository / "var")
    assert worktree.keep(stores, "small") == ""
    change(repository)
    sha256 = worktree.keep(stores, "small")
    (file,) = (stores.var / "lineage" / "small").iterdir()
    assert (file.name, file.stat().st_mode & 0o077) == (f"{sha256}.patch", 0)
    assert worktree.kept(stores, "small", sha256) == worktree.uncommitted(repository)
    file.write_bytes(file.read_bytes() + b"\n")
    assert worktree.kept(stores, "small", sha256) is None
    assert worktree.keep(stores, "small") == sha256
    assert worktree.kept(stores, "small", sha256) == worktree.uncommitted(repository)
    assert worktree.kept(stores, "small", "") is None


def test_more_than_a_megabyte_is_no_code_and_is_not_kept(repository: Path) -> None:
    stores = Stores(root=repository, var=repository / "var")
    (repository / "pillars" / "large.py").write_text("# padding\n" * 110_000)
    assert worktree.keep(stores, "small") == ""
    assert not list((stores.var).rglob("*.patch"))


def test_a_commit_that_is_not_there_and_a_patch_that_does_not_fit_are_said(repository: Path, tmp_path: Path) -> None:
    assert not worktree.has_commit(repository, "1" * 40)
    assert not worktree.has_commit(repository, "")
    head = git(repository, "rev-parse", "HEAD")
    assert worktree.has_commit(repository, head)
    (repository / "pillars" / "a.py").write_text("two\n")
    patch = worktree.uncommitted(repository).replace(b"-one", b"-other")
    with pytest.raises(StoreUnavailable, match="patch"):
        worktree.check_out(repository, head, patch, tmp_path)
