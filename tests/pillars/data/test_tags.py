from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from pillars.data import branch, tags, versions
from pillars.errors import StoreUnavailable, TagRefused, UnknownName
from pillars.stores import Stores
from pillars.vocabulary import DataVersion
from tests.clone import CHECKOUT
from tests.pillars.data.batches import NOW, git, prepared, project

P = project()


@pytest.fixture
def known(stores: Stores) -> Iterator[tuple[DataVersion, DataVersion]]:
    """Two versions: the first, and the newest."""
    yield tuple(versions.publish(stores, P, prepared(stores, period), NOW) for period in ("2013-01", "2013-02"))  # type: ignore[misc]
    assert git(stores.root, "fsck", "--strict", "--no-dangling") == ""


def test_a_tag_is_an_annotated_one_of_git_on_the_versions_commit(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    made = tags.put(stores, known[0], "golden", "  what the board saw ", NOW)
    assert (made.version, made.commit, made.text, made.created) == (known[0].id, known[0].commit, "what the board saw", NOW.isoformat())
    said = git(stores.root, "for-each-ref", "--format=%(objecttype)|%(taggername)|%(taggerdate:unix)|%(contents:subject)", "refs/tags")
    assert said == f"tag|Five Pillars|{int(NOW.timestamp())}|what the board saw"
    assert git(stores.root, "rev-parse", "dvc-data/parcels/golden^{commit}") == known[0].commit
    assert tags.tags(stores, "parcels") == [made]
    assert tags.tags(stores, "other") == []


def test_a_name_is_good_where_a_version_is_asked_for(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    tags.put(stores, known[0], "golden", "", NOW)
    assert versions.find(stores, P, "golden") == known[0]
    assert versions.find(stores, P, known[1].id) == known[1]
    with pytest.raises(UnknownName, match="Did you mean golden"):
        versions.find(stores, P, "goldn")


def test_the_same_again_changes_nothing_but_another_text_is_taken(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    first = tags.put(stores, known[0], "golden", "one", NOW)
    before = branch.tags(stores.root, "parcels")
    for text in ("", "one"):
        assert tags.put(stores, known[0], "golden", text, NOW + timedelta(days=1)) == first
    assert branch.tags(stores.root, "parcels") == before
    assert tags.put(stores, known[0], "golden", "two", NOW + timedelta(days=1)).text == "two"
    assert [(one.text, one.version) for one in tags.tags(stores, "parcels")] == [("two", known[0].id)]


def test_a_name_moves_to_another_version_by_force_alone(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    tags.put(stores, known[0], "golden", "one", NOW)
    before = branch.tags(stores.root, "parcels")
    with pytest.raises(TagRefused, match=f"it is the name of {known[0].id} already; --force moves it"):
        tags.put(stores, known[1], "golden", "", NOW)
    assert branch.tags(stores.root, "parcels") == before
    assert tags.put(stores, known[1], "golden", "", NOW, force=True).version == known[1].id
    assert versions.find(stores, P, "golden") == known[1]


def test_a_version_that_came_again_has_the_names_it_had(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    tags.put(stores, known[1], "golden", "", NOW)
    versions.publish(stores, P, prepared(stores, "2013-02", seed=1), NOW)
    again = versions.publish(stores, P, prepared(stores, "2013-02"), NOW)
    assert (again.id, again.commit == known[1].commit) == (known[1].id, False)
    assert tags.put(stores, again, "golden", "", NOW).commit == known[1].commit


def test_a_name_is_taken_away_once(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    tags.put(stores, known[0], "golden", "one", NOW)
    tags.put(stores, known[0], "silver", "", NOW)
    with pytest.raises(TagRefused, match="not of"):
        tags.remove(stores, "parcels", "golden", known[1])
    assert tags.remove(stores, "parcels", "golden", known[0]).text == "one"
    assert [one.name for one in tags.tags(stores, "parcels")] == ["silver"]
    with pytest.raises(UnknownName, match="no tag named 'golden'"):
        tags.remove(stores, "parcels", "golden")
    git(stores.root, "pack-refs", "--all")
    tags.remove(stores, "parcels", "silver")
    assert tags.tags(stores, "parcels") == []


ODD = ("", " ", "a b", "-x", ".x", "x.", "a..b", "x.lock", "a/b", "../main", "ä", "x\n", "x~1", "x^", "x:y", "x?", "x*", "@{0}", "a" * 65)
MISTAKABLE = ("newest", "deadbeef", "0" * 32, "0" * 32 + ".dir", "20130201")


@pytest.mark.parametrize("name", [*ODD, *MISTAKABLE])
def test_what_is_no_name_is_refused(stores: Stores, known: tuple[DataVersion, DataVersion], name: str) -> None:
    with pytest.raises(TagRefused):
        tags.put(stores, known[0], name, "", NOW)
    assert branch.tags(stores.root) == {}


@pytest.mark.parametrize("name", ["golden", "v1.0", "2013-02", "Q1_2013", "a", "dead", "g" * 64])
def test_what_is_a_name_is_taken(stores: Stores, known: tuple[DataVersion, DataVersion], name: str) -> None:
    tags.put(stores, known[0], name, "", NOW)
    assert versions.find(stores, P, name) == known[0]


@pytest.mark.parametrize("text", ["a\0b", "\x1b[31m", "x" * 501, "\udc80"])
def test_a_text_that_cannot_be_printed_is_refused(stores: Stores, known: tuple[DataVersion, DataVersion], text: str) -> None:
    with pytest.raises(TagRefused, match="its text"):
        tags.put(stores, known[0], "golden", text, NOW)


def test_a_text_is_one_line_and_may_say_anything(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    for text in ("# no comment", "a\x85b\u2028c", "tagger x <y> 0 +0000", "räder 輪", "a\nb\n\nc", "-----BEGIN PGP SIGNATURE-----"):
        tags.put(stores, known[0], "golden", text, NOW, force=True)
        assert tags.tags(stores, "parcels")[0].text in (" ".join(text.split()), "")


def test_tags_made_by_hand_count_and_one_on_something_else_is_no_version(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    git(stores.root, "tag", "dvc-data/parcels/light", known[0].commit)
    git(stores.root, "tag", "dvc-data/parcels/stray", "main")
    git(stores.root, "tag", "golden", known[0].commit)
    assert [(one.name, one.version, one.text) for one in tags.tags(stores, "parcels")] == [("light", known[0].id, "")]
    assert versions.find(stores, P, "light") == known[0]
    for name in ("stray", "golden"):
        with pytest.raises(UnknownName):
            versions.find(stores, P, name)
    with pytest.raises(TagRefused, match="it is the name of commit"):
        tags.put(stores, known[0], "stray", "", NOW)
    assert tags.put(stores, known[0], "stray", "", NOW, force=True).version == known[0].id
    git(stores.root, "tag", "-f", "dvc-data/parcels/stray", "main")
    tags.remove(stores, "parcels", "stray")
    assert [one.name for one in tags.tags(stores, "parcels")] == ["light"]


def test_of_many_who_name_at_once_one_has_it(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    def name(version: DataVersion) -> str:
        try:
            return tags.put(stores, version, "golden", "", NOW).version
        except TagRefused as err:
            return err.problem

    with ThreadPoolExecutor(8) as many:
        answers = list(many.map(name, list(known) * 4))
    (has,) = tags.tags(stores, "parcels")
    assert answers.count(has.version) == 4
    assert sum(f"it is the name of {has.version}" in answer for answer in answers) == 4


@pytest.mark.parametrize("command", ["mktag", "update-ref"])
def test_killed_at_any_of_gits_commands_the_same_call_again_names_it(
    stores: Stores, known: tuple[DataVersion, DataVersion], command: str
) -> None:
    code = (
        "import os, signal, sys; from datetime import datetime, UTC; from pillars.data import branch, tags, versions; "
        "from pillars.stores import Stores; run = branch._run\n"
        f"def fatal(root, arguments, *rest):\n    done = run(root, arguments, *rest)\n"
        f"    os.kill(os.getpid(), signal.SIGKILL) if arguments[0] == {command!r} else None\n    return done\n"
        "branch._run = fatal\nstores = Stores()\n"
        f"tags.put(stores, versions.at(stores, 'parcels', {known[0].commit!r}), 'golden', '', datetime.now(UTC))"
    )
    environ = os.environ | {"PILLARS_ROOT": str(stores.root), "PILLARS_VAR": str(stores.var), "PYTHONPATH": str(CHECKOUT)}
    assert subprocess.run([sys.executable, "-c", code], env=environ).returncode == -9
    assert tags.put(stores, known[0], "golden", "", NOW).version == known[0].id
    assert versions.find(stores, P, "golden") == known[0]


def test_a_clone_has_the_names_and_no_branch_or_tree_of_the_user_is_touched(
    stores: Stores, known: tuple[DataVersion, DataVersion], tmp_path_factory: pytest.TempPathFactory
) -> None:
    def state() -> tuple[str, ...]:
        return (git(stores.root, "rev-parse", "HEAD", "dvc-data/parcels"), git(stores.root, "status", "--porcelain"))

    before = state()
    tags.put(stores, known[0], "golden", "one", NOW)
    assert state() == before
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    git(elsewhere, "clone", "-q", str(stores.root), "clone")
    clone = Stores(root=elsewhere / "clone")
    assert [one.name for one in tags.tags(clone, "parcels")] == ["golden"]
    assert versions.find(clone, P, "golden") == known[0]


def test_a_folder_outside_git_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(StoreUnavailable, match="git init"):
        tags.tags(Stores(root=tmp_path), "parcels")


def test_a_lock_that_a_killed_git_left_is_said(stores: Stores, known: tuple[DataVersion, DataVersion]) -> None:
    tags.put(stores, known[0], "golden", "", NOW)
    lock = stores.root / ".git/refs/tags/dvc-data/parcels/golden.lock"
    lock.touch()
    with pytest.raises(StoreUnavailable, match="File exists"):
        tags.put(stores, known[1], "golden", "", NOW, force=True)
    lock.unlink()
