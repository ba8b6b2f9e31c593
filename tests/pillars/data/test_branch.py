from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pillars.data import branch
from pillars.errors import StoreUnavailable
from tests.pillars.data.batches import NOW, git, repository

SETUP = {".dvc/config": "[core]\n", ".gitignore": "/data\n"}


def append(root: Path, parent: str | None, content: str) -> str | None:
    return branch.append(root, "parcels", parent, content, f"say {content}", NOW, SETUP)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return repository(tmp_path / "work")


def test_the_first_commit_stands_on_a_root_of_its_own(root: Path) -> None:
    first = append(root, None, "one")
    assert git(root, "rev-list", "dvc-data/parcels").split()[0] == first
    assert git(root, "ls-tree", "-r", "--name-only", "dvc-data/parcels~1").split() == [".dvc/config", ".gitignore"]
    assert git(root, "rev-list", "--count", "dvc-data/parcels") == "2"
    assert git(root, "merge-base", "--all", "main", "main") != git(root, "rev-list", "--max-parents=0", "dvc-data/parcels")


def test_later_commits_change_one_file(root: Path) -> None:
    first = append(root, None, "one")
    second = append(root, first, "two")
    assert git(root, "diff", "--name-only", f"{second}~1", str(second)) == "data.dvc"
    assert branch.text(root, str(second)) == "two"
    assert branch.texts(root, str(second)) == [(second, "two"), (first, "one")]


def test_who_comes_second_does_not_commit(root: Path) -> None:
    first = append(root, None, "one")
    second = append(root, first, "two")
    assert append(root, first, "other") is None
    assert append(root, None, "other") is None
    assert branch.tip(root, "parcels") == second


def test_a_branch_that_appears_in_between_is_not_replaced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = branch._run

    def others_first(at: Path, arguments: list[str], *rest: object) -> branch.Done:
        if arguments[0] == "update-ref":
            monkeypatch.setattr(branch, "_run", run)
            assert append(root, None, "theirs")
        return run(at, arguments, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(branch, "_run", others_first)
    assert append(root, None, "ours") is None
    assert branch.text(root, str(branch.tip(root, "parcels"))) == "theirs"


def test_the_branch_of_origin_is_the_start_where_there_is_no_local_one(root: Path, tmp_path: Path) -> None:
    theirs = append(root, None, "theirs")
    git(tmp_path, "clone", "-q", str(root), "clone")
    clone = tmp_path / "clone"
    assert branch.tip(clone, "parcels") == theirs
    ours = append(clone, theirs, "ours")
    assert git(clone, "rev-parse", "dvc-data/parcels~1") == theirs
    assert branch.tip(clone, "parcels") == ours


def test_commits_have_an_author_and_a_date_of_their_own(root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HOME", "EMAIL", "USER", "LOGNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    monkeypatch.setenv("GIT_COMMITTER_NAME", "Somebody")
    commit = branch.append(root, "parcels", None, "one", "say one", NOW + timedelta(hours=1), SETUP)
    monkeypatch.undo()
    assert (
        git(root, "show", "-s", "--format=%an|%cn|%ct|%s", str(commit))
        == f"Five Pillars|Five Pillars|{int(NOW.timestamp()) + 3600}|say one"
    )


def test_nothing_of_the_user_is_touched(root: Path) -> None:
    (root / "notes.txt").write_text("staged\n")
    git(root, "add", "notes.txt")
    (root / "notes.txt").write_text("not staged\n")
    (root / "untracked.txt").write_text("mine\n")
    git(root, "checkout", "-q", "-b", "feature")

    def state() -> tuple[object, ...]:
        index = root / ".git" / "index"
        return (
            git(root, "symbolic-ref", "HEAD"),
            git(root, "rev-parse", "HEAD"),
            git(root, "diff"),
            git(root, "diff", "--cached"),
            index.read_bytes(),
        )

    before = state()
    append(root, append(root, None, "one"), "two")
    assert state() == before
    assert sorted(p.name for p in root.iterdir()) == [".git", ".gitignore", "notes.txt", "untracked.txt"]


def test_a_folder_outside_git_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="git init"):
        branch.tip(tmp_path, "parcels")


def test_a_machine_without_git_says_so(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(StoreUnavailable, match="Install git"):
        branch.tip(root, "parcels")
