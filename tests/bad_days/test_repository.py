"""A repository that is missing, somebody else's, or in the middle of something: refused in a sentence, or left untouched."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.bad_days.world import NEXT, fingerprint, git, perform, record, refuses
from tests.proofs.stage import Stage

pytestmark = [pytest.mark.flow]

IDENTITY = ("-c", "user.name=A User", "-c", "user.email=user@example.org")


def nothing() -> None:
    """No further preparation in the command's process."""


def without_git_on_path() -> None:
    os.environ["PATH"] = "/nowhere"


def without_repository(clone: Path) -> None:
    (clone / ".git").rename(clone.parent / "git")


def of_another_user(clone: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("only root gives files away")
    for path in (clone, clone / ".git"):
        os.chown(path, 65534, 65534)


@pytest.mark.parametrize(
    ("break_it", "before", "words"),
    [
        pytest.param(without_repository, nothing, ["is in no git repository", "git init", "nothing was changed"], id="no .git"),
        pytest.param(lambda _: None, without_git_on_path, ["git: cannot be run", "Install git"], id="no git on PATH"),
        pytest.param(of_another_user, nothing, ["dubious ownership", "safe.directory", "as it was"], id="of another user"),
    ],
)
def test_without_a_usable_repository_nothing_is_published(
    stage: Stage, break_it: Callable[[Path], None], before: Callable[[], None], words: list[str]
):
    known = record(stage.root)
    break_it(stage.root)
    refuses(perform(stage, "ingest", "small", NEXT, before=before), 6, *words)
    assert record(stage.root) == known
    assert perform(stage, "status", "small", before=before).code == 0


def shallow(clone: Path) -> None:
    commit(clone, "second")
    (clone / ".git" / "shallow").write_text(git(clone, "rev-parse", "HEAD") + "\n")
    assert git(clone, "rev-parse", "--is-shallow-repository") == "true"


def detached_with_staged_changes(clone: Path) -> None:
    git(clone, "checkout", "-q", "--detach")
    (clone / "staged.txt").write_text("mine")
    git(clone, "add", "staged.txt")
    (clone / "staged.txt").write_text("mine, changed since")


def in_the_middle_of_a_rebase(clone: Path) -> None:
    git(clone, "checkout", "-q", "-b", "topic")
    commit(clone, "theirs")
    git(clone, "checkout", "-q", "main")
    commit(clone, "ours")
    stopped = subprocess.run(["git", *IDENTITY, "rebase", "topic"], cwd=clone, capture_output=True, check=False)
    assert stopped.returncode != 0
    assert (clone / ".git" / "rebase-merge").is_dir()


def commit(clone: Path, content: str) -> None:
    (clone / "note.txt").write_text(content)
    git(clone, "add", "note.txt")
    git(clone, *IDENTITY, "commit", "-q", "-m", content)


@pytest.mark.parametrize("awkward", [shallow, detached_with_staged_changes, in_the_middle_of_a_rebase])
def test_what_the_user_is_in_the_middle_of_stays_as_it_is(stage: Stage, awkward: Callable[[Path], None]):
    """The index, HEAD, branches and what git keeps of a rebase, byte for byte; git has no identity here."""

    def mine() -> dict[str, str]:
        files = fingerprint(stage.root / ".git")
        return {name: h for name, h in files.items() if not name.startswith(("objects", "refs/heads/dvc-data", "logs/refs/heads/dvc-data"))}

    awkward(stage.root)
    tree, version = git(stage.root, "status", "--porcelain"), git(stage.root, "rev-parse", "dvc-data/small")
    before = mine()  # after `git status`, which refreshes the index
    done = perform(stage, "ingest", "small", NEXT)
    assert done.code == 0, done.said
    assert mine() == before
    assert git(stage.root, "status", "--porcelain") == tree
    assert git(stage.root, "rev-parse", "dvc-data/small^") == version
