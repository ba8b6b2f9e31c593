from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from pillars.recovery.rebasing import rebase, renaming

OLD, NEW = "/home/ada/my project", "/srv/räder/p"


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (f"{OLD}/var/mlflow", f"{NEW}/var/mlflow"),
        ("file:///home/ada/my%20project/var/x", "file:///srv/r%C3%A4der/p/var/x"),
        (f'{{"key": "{OLD}/var"}}', f'{{"key": "{NEW}/var"}}'),
        (OLD, NEW),
        (f"{OLD}2/var", f"{OLD}2/var"),
        (f"/mnt{OLD}/var", f"/mnt{OLD}/var"),
        (f"of {OLD}/a and {OLD}/b", f"of {NEW}/a and {NEW}/b"),
        ("nothing", "nothing"),
    ],
)
def test_places_are_replaced_where_paths_begin_and_end(text: str, wanted: str) -> None:
    assert renaming({OLD: NEW})(text) == wanted


def test_a_new_place_inside_of_the_old_one_is_not_replaced_again() -> None:
    both = renaming({"/a/var": "/a/b/var", "/a": "/a/b"})
    assert both("/a/var/x /a/y") == "/a/b/var/x /a/b/y"


def test_every_text_of_every_table_is_searched(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as file, file:
        file.execute('CREATE TABLE "odd ""name" (id INTEGER PRIMARY KEY, "a b" TEXT, j JSON, n INTEGER, twice TEXT AS ("a b" || "a b"))')
        file.execute('INSERT INTO "odd ""name" VALUES (1, ?, ?, 7)', (f"{OLD}/x", f'["{OLD}/y"]'))
        file.execute('INSERT INTO "odd ""name" VALUES (2, NULL, NULL, NULL)')
    assert rebase(path, {OLD: NEW}) == 2
    with closing(sqlite3.connect(path)) as file:
        assert file.execute('SELECT id, "a b", j, n FROM "odd ""name"').fetchall() == [
            (1, f"{NEW}/x", f'["{NEW}/y"]', 7),
            (2, None, None, None),
        ]
    assert rebase(path, {OLD: NEW}) == 0
