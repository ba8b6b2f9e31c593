"""What a user does with DVC's own command on our branch and remote."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pillars.data.record import parse
from pillars.data.tags import put
from pillars.data.versions import history, pin, publish
from pillars.stores import Stores
from tests.pillars.data.batches import NOW, git, prepared, project

P = project()
Command = Callable[..., str]
CHECKOUT = Path(__file__).resolve().parents[3]


@pytest.fixture
def dvc(tmp_path: Path) -> Command:
    """DVC's command in a folder; what it prints."""
    env = os.environ | {"HOME": str(tmp_path / "home"), "DVC_SITE_CACHE_DIR": str(tmp_path / "site")}

    def command(folder: Path, *arguments: str) -> str:
        done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return command


@pytest.fixture
def published(stores: Stores) -> Stores:
    """A repository as the project's is, with two published periods."""
    shutil.copytree(CHECKOUT / ".dvc", stores.root / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    shutil.copy(CHECKOUT / ".dvcignore", stores.root)
    for period in ("2013-01", "2013-02"):
        publish(stores, P, prepared(stores, period), NOW)
    return stores


def contents(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*.parquet"))}


def source(stores: Stores, *periods: str) -> dict[str, bytes]:
    """What the data folder must hold."""
    files = [(kind, p) for kind in ("outcomes", "rows") for p in periods]
    return {f"parcels/{kind}/{p}.parquet": (stores.var / f"staging/parcels/{p}-0/{kind}.parquet").read_bytes() for kind, p in files}


def test_dvc_get_in_the_repository_gives_any_version(published: Stores, dvc: Command, tmp_path: Path) -> None:
    dvc(published.root, "get", ".", "data", "--rev", "dvc-data/parcels~1", "-o", str(tmp_path / "old"))
    dvc(published.root, "get", ".", "data", "--rev", "dvc-data/parcels", "-o", str(tmp_path / "new"))
    assert contents(tmp_path / "old") == source(published, "2013-01")
    assert contents(tmp_path / "new") == source(published, "2013-01", "2013-02")


@pytest.mark.parametrize(
    ("url", "older"),
    [
        pytest.param("{}", "dvc-data/parcels~1", id="path"),
        pytest.param("file://{}", "origin/dvc-data/parcels~1", id="url"),  # DVC clones it: there the branch is origin's
        pytest.param("file://{}", "{}", id="url and commit"),
    ],
)
def test_dvc_get_elsewhere_finds_the_remote(published: Stores, dvc: Command, tmp_path: Path, url: str, older: str) -> None:
    url, older = url.format(published.root), older.format(git(published.root, "rev-parse", "dvc-data/parcels~1"))
    (tmp_path / "elsewhere").mkdir()
    dvc(tmp_path / "elsewhere", "get", url, "data", "--rev", older)
    assert contents(tmp_path / "elsewhere" / "data") == source(published, "2013-01")


def test_dvc_lists_a_version_by_url(published: Stores, dvc: Command, tmp_path: Path) -> None:
    listed = dvc(tmp_path, "list", f"file://{published.root}", "data", "--rev", "dvc-data/parcels", "-R")
    assert listed.split() == sorted(source(published, "2013-01", "2013-02"))


def test_dvc_pull_restores_the_pin_of_the_working_tree(published: Stores, dvc: Command) -> None:
    (published.root / "data.dvc").write_text(pin(published, "parcels"))
    shutil.rmtree(published.dvc_cache)
    dvc(published.root, "pull", "-q")
    assert contents(published.root / "data") == source(published, "2013-01", "2013-02")
    assert "up to date" in dvc(published.root, "status")
    assert git(published.root, "status", "--porcelain").split("\n") == ["?? .dvc/", "?? .dvcignore", "?? data.dvc"]


def test_dvc_add_of_the_same_files_has_the_same_id(published: Stores, dvc: Command, tmp_path: Path) -> None:
    folder = tmp_path / "by-hand"
    for path, content in source(published, "2013-01", "2013-02").items():
        (folder / "data" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "data" / path).write_bytes(content)
    dvc(folder, "init", "-q", "--no-scm")
    dvc(folder, "add", "-q", "data")
    by_hand, ours = (folder / "data.dvc").read_text().splitlines(), pin(published, "parcels").splitlines()
    assert ours[: len(by_hand)] == by_hand, "id, size and count stand first, then our meta"


SAYS = """
import sys
from dvc.repo import Repo
with Repo.open(sys.argv[1], rev=sys.argv[2]) as repo:
    (out,) = repo.index.outs
    print(out.annot.desc, out.annot.type, *out.annot.labels, sep="|")
"""


def says(published: Stores, rev: str) -> list[str]:
    """What DVC, without us, reads of a version in a repository that it clones by URL."""
    command = [sys.executable, "-c", SAYS, f"file://{published.root}", rev]
    return subprocess.run(command, cwd=published.root, capture_output=True, text=True, check=True).stdout.strip().split("|")


def test_dvc_reads_what_each_version_says_of_itself(published: Stores) -> None:
    desc, kind, *labels = says(published, "origin/dvc-data/parcels")
    assert desc == (
        "parcels: outcomes of 2013-02 (40), rows of 2013-02 (40); now 2 periods 2013-01 to 2013-02, 80 rows, from projects.parcels"
    )
    assert (kind, labels) == ("dataset", ["parcels", "2013-02"])
    assert says(published, "origin/dvc-data/parcels~1")[0].startswith(
        "parcels: outcomes of 2013-01 (40), rows of 2013-01 (40); now 1 period"
    )


@pytest.mark.parametrize("url", ["{}", "file://{}"])
def test_dvc_get_takes_a_tag_for_a_version(published: Stores, dvc: Command, tmp_path: Path, url: str) -> None:
    put(published, history(published, P)[1], "golden", "the first one", NOW)
    dvc(tmp_path, "get", url.format(published.root), "data", "--rev", "dvc-data/parcels/golden", "-o", str(tmp_path / "golden"))
    assert contents(tmp_path / "golden") == source(published, "2013-01")
    assert says(published, "dvc-data/parcels/golden")[-1] == "2013-01"


def test_dvc_add_keeps_what_a_version_says(published: Stores, dvc: Command) -> None:
    (published.root / "data.dvc").write_text(pin(published, "parcels"))
    dvc(published.root, "pull", "-q")
    dvc(published.root, "add", "-q", "data")
    added, pinned = ((parse(text, "here")) for text in ((published.root / "data.dvc").read_text(), pin(published, "parcels")))
    assert added == pinned
    assert added.desc == "parcels: 2 periods 2013-01 to 2013-02, 80 rows, from projects.parcels"


def test_dvc_gc_of_a_working_tree_and_tags_keeps_what_a_tag_names(published: Stores, dvc: Command, tmp_path: Path) -> None:
    put(published, history(published, P)[1], "golden", "", NOW)
    dvc(published.root, "gc", "-T", "-f", "--cloud", "-r", "local")
    dvc(tmp_path, "get", str(published.root), "data", "--rev", "dvc-data/parcels/golden", "-o", str(tmp_path / "golden"))
    assert contents(tmp_path / "golden") == source(published, "2013-01")
